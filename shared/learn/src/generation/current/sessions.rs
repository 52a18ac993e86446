//! Everybody's sessions by recency, put in and taken out one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::sessions::{Sessions, idf, longest_kept};
use crate::BuildOptions;

/// A session; the order of its fields is the order of sessions.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Session {
    ended_ms: i64,
    /// Oldest first.
    items: Box<[u32]>,
    /// Tells those apart that ended at one time and hold the same.
    user: u32,
}

/// All sessions of at least two videos, oldest first, and for each video those that hold it.
#[derive(Debug)]
pub(super) struct CurrentSessions {
    all: BTreeSet<Arc<Session>>,
    holding: Vec<BTreeSet<Arc<Session>>>,
    /// How many there are of each length.
    lengths: BTreeMap<usize, usize>,
    quantile: f64,
    postings_max: usize,
}

impl CurrentSessions {
    pub(super) fn new(videos: usize, options: &BuildOptions) -> Self {
        let mut holding = Vec::new();
        holding.resize_with(videos, BTreeSet::new);
        Self {
            all: BTreeSet::new(),
            holding,
            lengths: BTreeMap::new(),
            quantile: options.session_quantile,
            postings_max: options.postings_max,
        }
    }

    /// Puts a user's new sessions in place of their old ones. Both are in order, and those that
    /// stand in both are not touched.
    pub(super) fn replace(&mut self, own: &mut Vec<Arc<Session>>, new: &Sessions, user: u32) {
        let old = std::mem::take(own);
        for (ended_ms, items) in new.iter() {
            let place = old.binary_search_by(|old| {
                let by_time = old.ended_ms.cmp(&ended_ms);
                by_time.then_with(|| old.items.as_ref().cmp(items))
            });
            if let Some(kept) = place.ok().and_then(|place| old.get(place)) {
                own.push(Arc::clone(kept));
                continue;
            }
            let session = Arc::new(Session {
                ended_ms,
                items: items.into(),
                user,
            });
            self.put(&session);
            own.push(session);
        }
        for gone in old.iter().filter(|old| own.binary_search(old).is_err()) {
            self.take_out(gone);
        }
    }

    /// The newest that hold a video, newest first.
    pub(super) fn with(&self, item: u32) -> impl Iterator<Item = &[u32]> {
        let longest = self.longest();
        self.holding(item)
            .filter(move |session| session.items.len() <= longest)
            .take(self.postings_max)
            .map(|session| session.items.as_ref())
    }

    pub(super) fn idf(&self, item: u32) -> f32 {
        let longest = self.longest();
        let kept = self.lengths.range(..=longest).map(|(_, count)| count).sum();
        let with_it = self.holding(item).filter(|one| one.items.len() <= longest);
        idf(kept, with_it.count() as u32)
    }

    /// Those that a generation holds, as it holds them.
    pub(super) fn flat(&self) -> Sessions {
        let (mut flat, longest) = (Sessions::default(), self.longest());
        for session in self.all.iter().filter(|one| one.items.len() <= longest) {
            flat.push(session.ended_ms, &session.items);
        }
        flat
    }

    fn holding(&self, item: u32) -> impl Iterator<Item = &Session> {
        let holding = self.holding.get(item as usize);
        holding.into_iter().flatten().rev().map(Arc::as_ref)
    }

    /// How long a session may be.
    fn longest(&self) -> usize {
        let Some(mut place) = longest_kept(self.all.len(), self.quantile) else {
            return usize::MAX;
        };
        for (length, count) in &self.lengths {
            match place.checked_sub(*count) {
                Some(rest) => place = rest,
                None => return *length,
            }
        }
        usize::MAX
    }

    fn put(&mut self, session: &Arc<Session>) {
        self.all.insert(Arc::clone(session));
        *self.lengths.entry(session.items.len()).or_default() += 1;
        for item in &session.items {
            if let Some(holding) = self.holding.get_mut(*item as usize) {
                holding.insert(Arc::clone(session));
            }
        }
    }

    fn take_out(&mut self, session: &Arc<Session>) {
        self.all.remove(session);
        let length = session.items.len();
        if let Some(count) = self.lengths.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
        for item in &session.items {
            if let Some(holding) = self.holding.get_mut(*item as usize) {
                holding.remove(session);
            }
        }
    }
}
