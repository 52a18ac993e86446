//! Decides what one user's records say.

use engine::interest::{Meeting, interest};
use engine::{EventKind, UserId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::diary::{History, Liked, NOT_MEASURED, Reader, Record, Total};
use super::shelf::Catalogue;
use crate::BuildOptions;

/// Reads one user after the other.
pub(super) struct Judge<'a> {
    catalogue: &'a Catalogue,
    options: &'a BuildOptions,
    /// Since when impressions were reported; what was watched before says nothing about rates.
    rated_from_ms: i64,
    /// Videos whose watching was measured: their clicks say nothing of their own.
    measured: FxHashSet<u32>,
    taken_back: FxHashMap<(u32, EventKind), i64>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        catalogue: &'a Catalogue,
        options: &'a BuildOptions,
        rated_from_ms: i64,
    ) -> Self {
        Self {
            catalogue,
            options,
            rated_from_ms,
            measured: FxHashSet::default(),
            taken_back: FxHashMap::default(),
        }
    }

    /// Adds what one user's records say; they are in order.
    pub(super) fn read(
        &mut self,
        history: &mut History,
        id: UserId,
        impressions: u32,
        records: &[Record],
    ) {
        self.measured.clear();
        if records.iter().any(|record| record.kind == EventKind::Click) {
            let measured = records.iter().filter(|r| r.watch_ms != NOT_MEASURED);
            self.measured.extend(measured.map(|r| r.video));
        }
        self.taken_back.clear();
        for record in records.iter().filter(|record| record.undo) {
            let what = (record.video, record.kind);
            self.taken_back.insert(what, record.ts_ms);
        }
        let (start, mut long_views) = (history.liked.len(), 0);
        for record in records.iter().filter(|record| !record.undo) {
            if self.is_taken_back(record) {
                continue;
            }
            let watched = self.liked(record);
            let measured = record.kind == EventKind::Watch
                && record.watch_ms != NOT_MEASURED
                && record.ts_ms >= self.rated_from_ms;
            long_views += u32::from(measured && watched.is_some());
            if let Some(total) = history.totals.get_mut(record.video as usize) {
                count(total, record.kind, measured, watched.is_some());
            }
            let Some(watched) = watched else {
                continue;
            };
            let newest = history.liked.get_mut(start..).and_then(<[Liked]>::last_mut);
            match newest {
                Some(newest) if newest.item == record.video => {
                    newest.watched = newest.watched.max(watched);
                }
                _ => history.liked.push(Liked {
                    item: record.video,
                    market: record.market.into(),
                    ts_ms: record.ts_ms,
                    watched,
                    last: false,
                }),
            }
        }
        let end = history.liked.len();
        if end > start {
            history.close(Reader {
                id,
                impressions,
                long_views,
                start,
                end,
            });
        }
    }

    fn is_taken_back(&self, record: &Record) -> bool {
        if self.taken_back.is_empty() {
            return false;
        }
        let undone = self.taken_back.get(&(record.video, record.kind));
        undone.is_some_and(|undone| *undone >= record.ts_ms)
    }

    /// The share watched where the user liked it.
    fn liked(&self, record: &Record) -> Option<f32> {
        if record.kind == EventKind::Click && self.measured.contains(&record.video) {
            return None;
        }
        let duration_ms = match record.duration_ms {
            0 => self.catalogue.duration_ms(record.video),
            own => own,
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
        let liked = interest(meeting, self.options.long_view_ms) > 0.0;
        liked.then_some(watch_ratio.clamp(0.0, 1.0))
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
