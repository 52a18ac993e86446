//! Sessions numbered by recency, and each video's newest sessions.

use engine::index::IndexWriter;
use engine::index::format::{CfKnobs, Kind};
use zerocopy::little_endian::{F32, U32};

use super::diary::{History, Liked, Once};
use super::shelf::Catalogue;
use crate::BuildOptions;

/// A run of likings of one user without a longer pause.
#[derive(Debug, Clone, Copy)]
struct Session {
    ended_ms: i64,
    start: usize,
    end: usize,
}

/// Sessions of at least two videos, and what they hold one behind the other.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: Vec<Session>,
    items: Vec<u32>,
}

/// Writes sessions, postings, idf and how they are to be used; returns how many sessions there are.
///
/// Sessions of one video say nothing about any other and are left out. Order is by the time of
/// the newest liking, then by what the session holds, so it does not depend on the users' names.
pub(super) fn put(
    index: &mut IndexWriter,
    catalogue: &Catalogue,
    history: &History,
    knobs: CfKnobs,
    options: &BuildOptions,
) -> usize {
    let mut all = Sessions::default();
    let mut once = Once::default();
    for user in &history.users {
        all.read(catalogue, history.liked(user), &mut once, options);
    }
    all.cut(options.session_quantile);
    all.order();
    all.put(index, catalogue.len(), knobs, options);
    all.len()
}

impl Sessions {
    /// Takes what one user liked, oldest first.
    pub(super) fn read(
        &mut self,
        catalogue: &Catalogue,
        liked: &[Liked],
        once: &mut Once,
        options: &BuildOptions,
    ) {
        let gap = options.session_gap_ms;
        let runs = liked.chunk_by(|a, b| b.ts_ms.saturating_sub(a.ts_ms) <= gap);
        runs.for_each(|run| self.take(catalogue, run, once, options));
    }

    /// Takes a session as the newest.
    pub(super) fn push(&mut self, ended_ms: i64, items: &[u32]) {
        let start = self.items.len();
        self.items.extend_from_slice(items);
        self.sessions.push(Session {
            ended_ms,
            start,
            end: self.items.len(),
        });
    }

    /// When each ended and what it holds, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &[u32])> {
        let each = self.sessions.iter();
        each.map(|session| (session.ended_ms, self.items_of(session)))
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn clear(&mut self) {
        self.sessions.clear();
        self.items.clear();
    }

    /// Writes sessions that are in order, and what is read off them.
    pub(super) fn put(
        &self,
        index: &mut IndexWriter,
        videos: usize,
        knobs: CfKnobs,
        options: &BuildOptions,
    ) {
        index.put(Kind::CfKnobs, &[knobs]);
        self.put_postings(index, videos, options.postings_max);
        let mut starts = Vec::with_capacity(self.sessions.len() + 1);
        starts.push(U32::ZERO);
        starts.extend(self.sessions.iter().map(|session| place(session.end)));
        index.put(Kind::SessionStarts, &starts);
        let items: Vec<[u8; 4]> = self.items.iter().map(|item| item.to_le_bytes()).collect();
        index.put_bytes(Kind::SessionItems, items.into_flattened());
    }

    fn items_of(&self, session: &Session) -> &[u32] {
        self.items
            .get(session.start..session.end)
            .unwrap_or_default()
    }

    /// Takes the newest distinct videos of a run, oldest first.
    fn take(
        &mut self,
        catalogue: &Catalogue,
        run: &[Liked],
        once: &mut Once,
        options: &BuildOptions,
    ) {
        let Some(newest) = run.last() else {
            return;
        };
        let start = self.items.len();
        once.begin();
        for liked in run.iter().rev() {
            if self.items.len() - start >= options.session_videos_max {
                break;
            }
            if !catalogue.hidden(liked.item) && once.first(liked.item) {
                self.items.push(liked.item);
            }
        }
        if self.items.len() - start < 2 {
            self.items.truncate(start);
            return;
        }
        if let Some(own) = self.items.get_mut(start..) {
            own.reverse();
        }
        self.sessions.push(Session {
            ended_ms: newest.ts_ms,
            start,
            end: self.items.len(),
        });
    }

    /// Leaves out the longest sessions, those of crawlers and shared devices.
    fn cut(&mut self, quantile: f64) {
        let length = |session: &Session| session.end - session.start;
        let Some(place) = longest_kept(self.sessions.len(), quantile) else {
            return;
        };
        let mut lengths: Vec<usize> = self.sessions.iter().map(length).collect();
        let (_, longest, _) = lengths.select_nth_unstable(place);
        let longest = *longest;
        self.sessions.retain(|session| length(session) <= longest);
    }

    fn order(&mut self) {
        let mut sessions = std::mem::take(&mut self.sessions);
        sessions.sort_unstable_by(|a, b| {
            a.ended_ms
                .cmp(&b.ended_ms)
                .then_with(|| self.items_of(a).cmp(self.items_of(b)))
        });
        // What they hold goes the same way, so that from here on it is read from front to back.
        let mut items = Vec::with_capacity(self.items.len());
        for session in &mut sessions {
            let start = items.len();
            items.extend_from_slice(self.items_of(session));
            (session.start, session.end) = (start, items.len());
        }
        (self.sessions, self.items) = (sessions, items);
    }

    /// Writes idf, counted over every session, and each video's newest ones, newest first.
    fn put_postings(&self, index: &mut IndexWriter, videos: usize, most: usize) {
        let mut held = vec![0u32; videos];
        for item in &self.items {
            if let Some(held) = held.get_mut(*item as usize) {
                *held += 1;
            }
        }
        let idf = |held: &u32| F32::new(idf(self.sessions.len(), *held));
        index.put(Kind::Idf, &held.iter().map(idf).collect::<Vec<_>>());
        let mut starts = Vec::with_capacity(videos + 1);
        let mut free = Vec::with_capacity(videos);
        let mut end = 0usize;
        starts.push(U32::ZERO);
        for held in &held {
            free.push(end);
            end += (*held as usize).min(most);
            starts.push(place(end));
        }
        let mut postings = vec![U32::ZERO; end];
        for (number, session) in self.sessions.iter().enumerate().rev() {
            for item in self.items_of(session) {
                let item = *item as usize;
                let end = starts.get(item + 1).map_or(0, |end| end.get() as usize);
                if let Some(free) = free.get_mut(item)
                    && *free < end
                    && let Some(slot) = postings.get_mut(*free)
                {
                    *slot = place(number);
                    *free += 1;
                }
            }
        }
        index.put(Kind::PostingStarts, &starts);
        index.put(Kind::Postings, &postings);
    }
}

/// The place of the longest session that is kept, among all ordered by length; `None` where all are.
pub(super) fn longest_kept(sessions: usize, quantile: f64) -> Option<usize> {
    let last = sessions.checked_sub(1).filter(|_| quantile < 1.0)?;
    Some(((sessions as f64 * quantile.max(0.0)) as usize).min(last))
}

/// An offset; what does not fit is refused when the generation is opened.
fn place(offset: usize) -> U32 {
    U32::new(u32::try_from(offset).unwrap_or(u32::MAX))
}

pub(super) fn idf(sessions: usize, with_it: u32) -> f32 {
    if with_it == 0 {
        0.0
    } else {
        (sessions as f64 / f64::from(with_it)).ln() as f32
    }
}
