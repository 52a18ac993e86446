//! Events while they are taken in, and everybody's history in order.

use engine::{Event, EventKind, UserId, VideoId};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use super::BuildError;
use super::ahead::{ahead, fetch};
use super::interner::Interner;
use super::judge::Judge;
use super::shelf::Catalogue;
use crate::BuildOptions;

const HOUR_MS: i64 = 3_600_000;

/// One event that is more than an impression. Numbers are the diary's own until a user's records are
/// read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) ts_ms: i64,
    pub(super) video: u32,
    /// [`NOT_MEASURED`] where nobody measured it.
    pub(super) watch_ms: u32,
    pub(super) duration_ms: u32,
    pub(super) market: u16,
    pub(super) kind: EventKind,
    pub(super) undo: bool,
}

pub(super) const NOT_MEASURED: u32 = u32::MAX;

/// Impressions of a video in a market within one hour; what trending divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Shown {
    pub(super) item: u32,
    pub(super) market: u32,
    pub(super) hour: i64,
}

/// Events while they are taken in.
#[derive(Debug, Default)]
pub(super) struct Diary {
    videos: Interner,
    users: Interner,
    markets: Interner,
    records: Vec<Record>,
    /// Whose record each is.
    owners: Vec<u32>,
    shown: FxHashMap<Shown, u32>,
    met: Vec<u32>,
    too_late: u64,
    events: u64,
}

impl Diary {
    pub(super) fn video_number(&mut self, id: &VideoId) -> Result<u32, BuildError> {
        self.videos.number(id.as_str())
    }

    /// An empty diary that numbers videos alike, so that it fits the same catalogue.
    pub(super) fn sibling(&self) -> Self {
        Self {
            videos: self.videos.clone(),
            ..Self::default()
        }
    }

    /// Where viewers came from, in the order they came; the empty one is "not known".
    pub(super) fn markets(&self) -> &[SmolStr] {
        self.markets.texts()
    }

    pub(super) fn add(&mut self, event: &Event, options: &BuildOptions) -> Result<(), BuildError> {
        if matches!(event.kind, EventKind::Served | EventKind::Exposure) {
            return Ok(());
        }
        if event.ts_ms > options.as_of_ms {
            self.too_late += 1;
            return Ok(());
        }
        self.events += 1;
        let user = self.users.number(event.user_id.as_str())?;
        let video = self.video_number(&event.video_id)?;
        let market = u16::try_from(self.markets.number(&event.market)?)
            .map_err(|_| BuildError::TooMany("markets"))?;
        if event.kind == EventKind::Impression {
            let hour = event.ts_ms.div_euclid(HOUR_MS);
            *self
                .shown
                .entry(Shown {
                    item: video,
                    market: market.into(),
                    hour,
                })
                .or_default() += 1;
            if self.met.len() <= user as usize {
                self.met.resize(user as usize + 1, 0);
            }
            if let Some(met) = self.met.get_mut(user as usize) {
                *met = met.saturating_add(1);
            }
            return Ok(());
        }
        self.owners.push(user);
        self.records.push(Record::of(event, video, market));
        Ok(())
    }

    /// Orders everything by user, time and video, and decides what was liked.
    pub(super) fn arrange(
        mut self,
        catalogue: &Catalogue,
        options: &BuildOptions,
    ) -> Result<History, BuildError> {
        // Their table is not needed any more.
        let (user_texts, user_numbers) = std::mem::take(&mut self.users).sorted();
        let (markets, market_numbers) = self.markets.sorted();
        let mut history = History {
            markets,
            too_late: self.too_late,
            totals: vec![Total::default(); catalogue.len()],
            ..History::default()
        };
        history.take_shown(catalogue, self.shown, &market_numbers);
        let new = |numbers: &[u32], old: u32| numbers.get(old as usize).copied().unwrap_or(0);
        let mut met = vec![0; user_texts.len()];
        for (old, count) in (0u32..).zip(&self.met) {
            if let Some(slot) = met.get_mut(new(&user_numbers, old) as usize) {
                *slot = *count;
            }
        }
        let mut owners = std::mem::take(&mut self.owners);
        for owner in &mut owners {
            *owner = new(&user_numbers, *owner);
        }
        let (places, starts) = by_user(&owners, user_texts.len())?;
        drop(owners);
        let mut judge = Judge::new(catalogue, options, history.rated_from_ms);
        let (records, mut unknown) = (std::mem::take(&mut self.records), 0);
        history.liked.reserve(records.len());
        let mut own: Vec<Record> = Vec::new();
        // All users' in turn: each takes what is theirs, in full.
        let mut in_turn = ahead(&places);
        for ((text, met), span) in user_texts.iter().zip(&met).zip(starts.windows(2)) {
            let &[start, end] = span else {
                continue;
            };
            own.clear();
            let theirs = in_turn.by_ref().take(end - start);
            own.extend(theirs.filter_map(|(place, later)| {
                fetch(&records, later.copied());
                let record = *records.get(*place as usize)?;
                let dense = catalogue.dense(record.video);
                unknown += u64::from(dense.is_none());
                fetch(&history.totals, dense);
                Some(Record {
                    video: dense?,
                    market: new(&market_numbers, record.market.into()) as u16,
                    ..record
                })
            }));
            if own.is_empty() {
                continue;
            }
            let Ok(id) = UserId::parse(text) else {
                continue;
            };
            own.sort_unstable_by_key(Record::order);
            judge.read(&mut history, id, *met, &own);
        }
        history.unknown_videos += unknown;
        history.events = self.events - history.unknown_videos;
        Ok(history)
    }
}

impl Record {
    pub(super) fn of(event: &Event, video: u32, market: u16) -> Self {
        Self {
            ts_ms: event.ts_ms,
            video,
            market,
            watch_ms: event
                .watch_ms
                .map_or(NOT_MEASURED, |ms| ms.min(NOT_MEASURED - 1)),
            duration_ms: event.duration_ms.unwrap_or(0),
            kind: event.kind,
            undo: event.undo,
        }
    }

    /// Every field but the user, so that what was taken in first does not matter.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let what = (self.kind, self.watch_ms, self.duration_ms);
        (self.ts_ms, self.video, what, self.market, self.undo)
    }
}

/// The places of each user's records, and where each user's begin and the last one's end.
///
/// Places are a sixth of the records: moving those instead would need memory for all of them twice.
fn by_user(owners: &[u32], users: usize) -> Result<(Vec<u32>, Vec<usize>), BuildError> {
    u32::try_from(owners.len()).map_err(|_| BuildError::TooMany("events"))?;
    let mut starts = vec![0usize; users + 1];
    for owner in owners {
        if let Some(count) = starts.get_mut(*owner as usize + 1) {
            *count += 1;
        }
    }
    let mut end = 0;
    for start in &mut starts {
        end += *start;
        *start = end;
    }
    let mut free = starts.clone();
    let mut places = vec![0; owners.len()];
    for (place, owner) in (0u32..).zip(owners) {
        if let Some(free) = free.get_mut(*owner as usize)
            && let Some(slot) = places.get_mut(*free)
        {
            *slot = place;
            *free += 1;
        }
    }
    Ok((places, starts))
}

/// What happened to one video.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Total {
    pub(super) impressions: u32,
    pub(super) clicks: u32,
    /// Watches whose length was measured, and those of them that were long views.
    pub(super) watches: u32,
    pub(super) long_views: u32,
    pub(super) reactions: u32,
    pub(super) refusals: u32,
}

/// One time a user liked a video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Liked {
    pub(super) item: u32,
    pub(super) market: u32,
    pub(super) ts_ms: i64,
    /// Share watched, 1 where it was not measured.
    pub(super) watched: f32,
    /// Whether it is the user's last of this video.
    pub(super) last: bool,
}

/// Of what a user liked each video once, at its newest liking, oldest first.
pub(super) fn each_once(liked: &[Liked]) -> impl DoubleEndedIterator<Item = &Liked> {
    liked.iter().filter(|liked| liked.last)
}

/// Tells the first mention of a video from the others, without clearing and without a hash table.
#[derive(Debug, Default)]
pub(super) struct Once {
    round: u32,
    met: Vec<u32>,
}

impl Once {
    /// Forgets everything.
    pub(super) fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.met.fill(0);
            self.round = 1;
        }
    }

    /// Whether this is the first mention since the beginning.
    pub(super) fn first(&mut self, item: u32) -> bool {
        let (round, place) = (self.round, item as usize);
        if self.met.len() <= place {
            self.met.resize(place + 1, 0);
        }
        let met = self.met.get_mut(place);
        met.is_some_and(|met| std::mem::replace(met, round) != round)
    }
}

/// One user with at least one liked video.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) id: UserId,
    pub(super) impressions: u32,
    pub(super) long_views: u32,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Everybody's history, ordered by user id, each by time, then video.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) users: Vec<Reader>,
    /// What they liked, row behind row in the users' order and nothing between.
    pub(super) liked: Vec<Liked>,
    /// Impressions, ordered.
    pub(super) shown: Vec<(Shown, u32)>,
    /// Viewers' markets by number, ascending; the empty one is "not known".
    pub(super) markets: Vec<SmolStr>,
    pub(super) totals: Vec<Total>,
    /// Since when impressions were reported; the beginning of time where none were.
    pub(super) rated_from_ms: i64,
    pub(super) events: u64,
    pub(super) unknown_videos: u64,
    pub(super) too_late: u64,
    once: Once,
}

impl History {
    /// Forgets everybody.
    pub(super) fn clear(&mut self) {
        self.users.clear();
        self.liked.clear();
    }

    /// Adds a user with another history than their own.
    pub(super) fn push(&mut self, user: &Reader, liked: &[Liked]) {
        let start = self.liked.len();
        self.liked.extend_from_slice(liked);
        self.close(Reader {
            start,
            end: self.liked.len(),
            ..user.clone()
        });
    }

    /// Adds a user whose likings stand already, as the newest.
    pub(super) fn close(&mut self, user: Reader) {
        let own = self.liked.get_mut(user.start..user.end);
        self.once.begin();
        for liked in own.unwrap_or_default().iter_mut().rev() {
            liked.last = self.once.first(liked.item);
        }
        self.users.push(user);
    }

    /// What a user liked, oldest first; a video liked twice in a row stands once.
    pub(super) fn liked(&self, user: &Reader) -> &[Liked] {
        self.liked.get(user.start..user.end).unwrap_or_default()
    }

    /// The distinct videos a user liked, newest first, each at its newest liking.
    pub(super) fn distinct(&self, user: &Reader) -> impl Iterator<Item = &Liked> {
        each_once(self.liked(user)).rev()
    }

    fn take_shown(
        &mut self,
        catalogue: &Catalogue,
        shown: FxHashMap<Shown, u32>,
        market_numbers: &[u32],
    ) {
        for (shown, count) in shown {
            let Some(item) = catalogue.dense(shown.item) else {
                self.unknown_videos += u64::from(count);
                continue;
            };
            let market = market_numbers.get(shown.market as usize).copied();
            let market = market.unwrap_or(0);
            self.shown.push((
                Shown {
                    item,
                    market,
                    ..shown
                },
                count,
            ));
            if let Some(total) = self.totals.get_mut(item as usize) {
                total.impressions = total.impressions.saturating_add(count);
            }
        }
        self.shown.sort_unstable();
        let first_hour = self.shown.iter().map(|(shown, _)| shown.hour).min();
        self.rated_from_ms = first_hour.map_or(i64::MIN, |hour| hour.saturating_mul(HOUR_MS));
    }
}

#[cfg(test)]
mod tests;
