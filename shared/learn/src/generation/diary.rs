//! Events while they are taken in, and everybody's history in order.

use engine::interest::{Meeting, interest};
use engine::{Event, EventKind, UserId, VideoId};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use super::BuildError;
use super::shelf::{Catalogue, Interner};
use crate::BuildOptions;

const HOUR_MS: i64 = 3_600_000;

/// One event that is more than an impression. Numbers are the diary's own.
#[derive(Debug, Clone, Copy)]
struct Record {
    ts_ms: i64,
    user: u32,
    video: u32,
    market: u32,
    watch_ms: u32,
    duration_ms: u32,
    kind: EventKind,
    undo: bool,
}

const NOT_MEASURED: u32 = u32::MAX;

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
    shown: FxHashMap<Shown, u32>,
    met: Vec<u32>,
    too_late: u64,
    events: u64,
}

impl Diary {
    pub(super) fn video_number(&mut self, id: &VideoId) -> Result<u32, BuildError> {
        self.videos.number(&SmolStr::new(id.as_str()))
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
        let user = self.users.number(&SmolStr::new(event.user_id.as_str()))?;
        let video = self.video_number(&event.video_id)?;
        let market = self.markets.number(&event.market)?;
        if event.kind == EventKind::Impression {
            let hour = event.ts_ms.div_euclid(HOUR_MS);
            *self
                .shown
                .entry(Shown {
                    item: video,
                    market,
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
        self.records.push(Record {
            ts_ms: event.ts_ms,
            user,
            video,
            market,
            watch_ms: event
                .watch_ms
                .map_or(NOT_MEASURED, |ms| ms.min(NOT_MEASURED - 1)),
            duration_ms: event.duration_ms.unwrap_or(0),
            kind: event.kind,
            undo: event.undo,
        });
        Ok(())
    }

    /// Orders everything by user, time and video, and decides what was liked.
    pub(super) fn arrange(
        mut self,
        catalogue: &Catalogue,
        options: &BuildOptions,
    ) -> Result<History, BuildError> {
        let (user_texts, user_numbers) = self.users.sorted();
        let (markets, market_numbers) = self.markets.sorted();
        let mut history = History {
            markets,
            too_late: self.too_late,
            ..History::default()
        };
        history.totals = vec![Total::default(); catalogue.len()];
        let new = |numbers: &[u32], old: u32| numbers.get(old as usize).copied().unwrap_or(0);
        let mut known = Vec::with_capacity(self.records.len());
        for record in std::mem::take(&mut self.records) {
            let Some(video) = catalogue.dense(record.video) else {
                history.unknown_videos += 1;
                continue;
            };
            let user = new(&user_numbers, record.user);
            let market = new(&market_numbers, record.market);
            known.push(Record {
                user,
                video,
                market,
                ..record
            });
        }
        known.sort_unstable_by_key(|r| {
            (
                r.user,
                r.ts_ms,
                r.video,
                r.kind,
                r.watch_ms,
                r.duration_ms,
                r.market,
                r.undo,
            )
        });
        for (shown, count) in self.shown {
            let Some(item) = catalogue.dense(shown.item) else {
                history.unknown_videos += u64::from(count);
                continue;
            };
            let market = new(&market_numbers, shown.market);
            history.shown.push((
                Shown {
                    item,
                    market,
                    hour: shown.hour,
                },
                count,
            ));
            if let Some(total) = history.totals.get_mut(item as usize) {
                total.impressions = total.impressions.saturating_add(count);
            }
        }
        history.shown.sort_unstable();
        let first_hour = history.shown.iter().map(|(shown, _)| shown.hour).min();
        let rated_from_ms = first_hour.map_or(i64::MIN, |hour| hour.saturating_mul(HOUR_MS));
        history.rated_from_ms = rated_from_ms;
        history.events = self.events - history.unknown_videos;
        let mut met = vec![0; user_texts.len()];
        for (old, count) in self.met.iter().enumerate() {
            if let Some(slot) = met.get_mut(new(&user_numbers, old as u32) as usize) {
                *slot = *count;
            }
        }
        let measured = FxHashMap::default();
        let mut judge = Judge {
            catalogue,
            options,
            rated_from_ms,
            measured,
        };
        for records in known.chunk_by(|a, b| a.user == b.user) {
            let Some(user) = records.first().map(|record| record.user as usize) else {
                continue;
            };
            let met = met.get(user).copied().unwrap_or(0);
            let Some(id) = user_texts
                .get(user)
                .and_then(|text| UserId::parse(text).ok())
            else {
                continue;
            };
            judge.read(&mut history, id, met, records);
        }
        Ok(history)
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Liked {
    pub(super) item: u32,
    pub(super) market: u32,
    pub(super) ts_ms: i64,
}

/// One user with at least one liked video.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) id: UserId,
    pub(super) impressions: u32,
    pub(super) long_views: u32,
    start: usize,
    end: usize,
}

/// Everybody's history, ordered by user id, each by time, then video.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) users: Vec<Reader>,
    liked: Vec<Liked>,
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
}

impl History {
    /// Adds a user with another history than their own.
    pub(super) fn push(&mut self, user: &Reader, liked: &[Liked]) {
        let start = self.liked.len();
        self.liked.extend_from_slice(liked);
        self.users.push(Reader {
            start,
            end: self.liked.len(),
            ..user.clone()
        });
    }

    /// What a user liked, oldest first; a video liked twice in a row stands once.
    pub(super) fn liked(&self, user: &Reader) -> &[Liked] {
        self.liked.get(user.start..user.end).unwrap_or_default()
    }

    /// The distinct videos a user liked, newest first, at most `most`.
    pub(super) fn distinct(&self, user: &Reader, most: usize, out: &mut Vec<u32>) {
        out.clear();
        let mut met = rustc_hash::FxHashSet::default();
        for liked in self.liked(user).iter().rev() {
            if out.len() >= most {
                return;
            }
            if met.insert(liked.item) {
                out.push(liked.item);
            }
        }
    }

    /// Liked videos, one per user and video.
    pub(super) fn interactions(&self) -> usize {
        let mut items = Vec::new();
        let distinct = self.users.iter().map(|user| {
            items.clear();
            items.extend(self.liked(user).iter().map(|liked| liked.item));
            items.sort_unstable();
            items.dedup();
            items.len()
        });
        distinct.sum()
    }
}

/// Decides what one user's records say.
struct Judge<'a> {
    catalogue: &'a Catalogue,
    options: &'a BuildOptions,
    /// Since when impressions were reported; what was watched before says nothing about rates.
    rated_from_ms: i64,
    /// Videos whose watching was measured: their clicks say nothing of their own.
    measured: FxHashMap<u32, ()>,
}

impl Judge<'_> {
    fn read(&mut self, history: &mut History, id: UserId, impressions: u32, records: &[Record]) {
        self.measured.clear();
        let measured = records.iter().filter(|r| r.watch_ms != NOT_MEASURED);
        self.measured.extend(measured.map(|r| (r.video, ())));
        let mut taken_back: FxHashMap<(u32, EventKind), i64> = FxHashMap::default();
        for record in records.iter().filter(|record| record.undo) {
            taken_back.insert((record.video, record.kind), record.ts_ms);
        }
        let (start, mut long_views) = (history.liked.len(), 0);
        for record in records.iter().filter(|record| !record.undo) {
            let undone = taken_back.get(&(record.video, record.kind));
            if undone.is_some_and(|undone| *undone >= record.ts_ms) {
                continue;
            }
            let liked = self.likes(record);
            let measured = record.kind == EventKind::Watch
                && record.watch_ms != NOT_MEASURED
                && record.ts_ms >= self.rated_from_ms;
            long_views += u32::from(measured && liked);
            if let Some(total) = history.totals.get_mut(record.video as usize) {
                count(total, record.kind, measured, liked);
            }
            let newest = history.liked.get(start..).and_then(<[Liked]>::last);
            if liked && newest.is_none_or(|newest| newest.item != record.video) {
                let (item, market, ts_ms) = (record.video, record.market, record.ts_ms);
                history.liked.push(Liked {
                    item,
                    market,
                    ts_ms,
                });
            }
        }
        let end = history.liked.len();
        if end > start {
            history.users.push(Reader {
                id,
                impressions,
                long_views,
                start,
                end,
            });
        }
    }

    fn likes(&self, record: &Record) -> bool {
        if record.kind == EventKind::Click && self.measured.contains_key(&record.video) {
            return false;
        }
        let own = self
            .catalogue
            .book(record.video)
            .map_or(0, |book| book.duration_ms);
        let duration_ms = if record.duration_ms > 0 {
            record.duration_ms
        } else {
            own
        };
        let watch_ratio = match (record.watch_ms, duration_ms) {
            (NOT_MEASURED, _) => 1.0,
            // Without a length only the threshold of a long view can be met.
            (watched, 0) => f32::from(u8::from(watched >= self.options.long_view_ms)),
            (watched, duration) => (f64::from(watched) / f64::from(duration)) as f32,
        };
        let meeting = Meeting {
            kind: record.kind,
            watch_ratio,
            duration_ms,
        };
        interest(meeting, self.options.long_view_ms) > 0.0
    }
}

fn count(total: &mut Total, kind: EventKind, measured: bool, liked: bool) {
    total.watches = total.watches.saturating_add(u32::from(measured));
    let counter = match kind {
        EventKind::Click => &mut total.clicks,
        EventKind::Watch if measured && liked => &mut total.long_views,
        EventKind::Like | EventKind::Share | EventKind::Follow | EventKind::Comment => {
            &mut total.reactions
        }
        EventKind::Skip | EventKind::Hide => &mut total.refusals,
        _ => return,
    };
    *counter = counter.saturating_add(1);
}
