//! What viewers did with each video in the last hours: a dense table behind an atomic snapshot.
//!
//! ```text
//! counters ──► Builder (decays, ranks) ──► Snapshot ──► Table::replace     a refresher, now and then
//!                                              ▲
//!                     Table::snapshot ─────────┘ once per request, then rows by dense id
//! ```
//!
//! A snapshot belongs to one generation, because dense ids do; it never changes. Reading a row takes
//! no lock, counts no reference and allocates nothing.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use smol_str::SmolStr;

use crate::Index;

/// Longest list of what is watched now.
pub const TRENDING_MAX: usize = 500;

/// What happened to one video, each older count weighing less.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[repr(C)]
pub struct Row {
    /// Impressions.
    pub impressions: f32,
    /// Clicks.
    pub clicks: f32,
    /// Likes.
    pub likes: f32,
    /// Long views.
    pub long_views: f32,
}

impl Row {
    /// How often it was watched at length once it was shown, pulled towards `prior` as by
    /// `prior_impressions` imagined ones; between 0 and 1.
    #[must_use]
    pub fn long_view_rate(&self, prior: f32, prior_impressions: f32) -> f32 {
        let shown = self.impressions.max(self.long_views) + prior_impressions;
        if shown <= 0.0 {
            return prior;
        }
        ((self.long_views + prior * prior_impressions) / shown).clamp(0.0, 1.0)
    }

    /// How much is going on around it: what takes more of a viewer weighs more.
    #[must_use]
    pub fn heat(&self) -> f32 {
        self.clicks + 2.0 * self.long_views + 3.0 * self.likes
    }

    fn add(&mut self, other: Self, weight: f32) {
        self.impressions += weight * other.impressions;
        self.clicks += weight * other.clicks;
        self.likes += weight * other.likes;
        self.long_views += weight * other.long_views;
    }

    fn is_sound(&self) -> bool {
        let all = [self.impressions, self.clicks, self.likes, self.long_views];
        all.iter().all(|count| count.is_finite() && *count >= 0.0)
    }
}

/// The rows of every video of one generation, as of one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    generation: SmolStr,
    as_of_ms: i64,
    rows: Box<[Row]>,
    trending: Box<[(u32, f32)]>,
}

impl Snapshot {
    /// The row of a video by its dense id; zeros for one that nothing is known of.
    #[must_use]
    #[inline]
    pub fn row(&self, item: u32) -> Row {
        self.rows.get(item as usize).copied().unwrap_or_default()
    }

    /// Dense ids by [`Row::heat`], hottest first, at most [`TRENDING_MAX`]; those without any are
    /// not listed.
    #[must_use]
    pub fn trending(&self) -> &[(u32, f32)] {
        &self.trending
    }

    /// Whether its dense ids are those of this index.
    #[must_use]
    pub fn belongs_to(&self, index: &Index) -> bool {
        self.generation == index.generation()
    }

    /// The moment its counts are weighed at, Unix time in milliseconds; 0 for the empty one.
    #[must_use]
    pub fn as_of_ms(&self) -> i64 {
        self.as_of_ms
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// The snapshot that is in force. Replaced by one refresher, read by everybody.
#[derive(Debug, Default)]
pub struct Table {
    current: ArcSwap<Snapshot>,
}

impl Table {
    /// An empty table: every row is zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The snapshot in force, for one request. Keep it no longer: it is the cheap form.
    #[must_use]
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The snapshot in force, for keeping.
    #[must_use]
    pub fn owned(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts another snapshot in force; who reads the old one goes on with it.
    pub fn replace(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }
}

/// Adds up counts for one snapshot.
#[derive(Debug)]
pub struct Builder {
    generation: SmolStr,
    as_of_ms: i64,
    half_life_ms: f64,
    rows: Vec<Row>,
}

impl Builder {
    /// No counts yet for any video of `index`; a count weighs half for every `half_life_ms` that it
    /// is older than `as_of_ms`.
    #[must_use]
    pub fn new(index: &Index, as_of_ms: i64, half_life_ms: u32) -> Self {
        Self::sized(index.generation(), index.videos(), as_of_ms, half_life_ms)
    }

    /// The same for a generation of this name with so many videos.
    #[must_use]
    pub fn sized(generation: &str, videos: usize, as_of_ms: i64, half_life_ms: u32) -> Self {
        Self {
            generation: SmolStr::new(generation),
            as_of_ms,
            half_life_ms: f64::from(half_life_ms.max(1)),
            rows: vec![Row::default(); videos],
        }
    }

    /// As [`Self::new`] without an index, for this crate's tests.
    #[cfg(test)]
    pub(crate) fn of_rows(
        generation: &str,
        as_of_ms: i64,
        half_life_ms: u32,
        videos: usize,
    ) -> Self {
        Self {
            generation: SmolStr::new(generation),
            as_of_ms,
            half_life_ms: f64::from(half_life_ms),
            rows: vec![Row::default(); videos],
        }
    }

    /// Adds what was counted around `at_ms`. Answers whether it was taken: a dense id that is not
    /// there, or a count that is no count, is not.
    pub fn add(&mut self, item: u32, at_ms: i64, counts: Row) -> bool {
        let Some(row) = self.rows.get_mut(item as usize) else {
            return false;
        };
        if !counts.is_sound() {
            return false;
        }
        let age_ms = self.as_of_ms.saturating_sub(at_ms).max(0) as f64;
        row.add(counts, (-age_ms / self.half_life_ms).exp2() as f32);
        true
    }

    /// Ranks and seals.
    #[must_use]
    pub fn finish(self) -> Snapshot {
        let mut trending: Vec<(u32, f32)> = (0_u32..)
            .zip(&self.rows)
            .map(|(item, row)| (item, row.heat()))
            .filter(|(_, heat)| *heat > 0.0)
            .collect();
        trending.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        trending.truncate(TRENDING_MAX);
        Snapshot {
            generation: self.generation,
            as_of_ms: self.as_of_ms,
            rows: self.rows.into_boxed_slice(),
            trending: trending.into_boxed_slice(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u32 = 3_600_000;

    fn builder(videos: usize) -> Builder {
        Builder::sized("g", videos, 10 * i64::from(HOUR_MS), HOUR_MS)
    }

    fn likes(likes: f32) -> Row {
        Row {
            likes,
            ..Row::default()
        }
    }

    #[test]
    fn older_counts_weigh_half_per_half_life_and_future_ones_weigh_one() {
        let mut builder = builder(2);
        let now_ms = builder.as_of_ms;
        assert!(builder.add(0, now_ms - i64::from(HOUR_MS), likes(8.0)));
        assert!(builder.add(0, now_ms - 2 * i64::from(HOUR_MS), likes(8.0)));
        assert!(builder.add(1, now_ms + 5, likes(3.0)));
        let snapshot = builder.finish();
        assert_eq!(snapshot.row(0).likes, 6.0);
        assert_eq!(snapshot.row(1).likes, 3.0);
        assert_eq!(snapshot.row(7), Row::default());
        assert_eq!(snapshot.trending(), [(0, 18.0), (1, 9.0)]);
    }

    #[test]
    fn what_is_no_count_is_not_taken() {
        let mut builder = builder(1);
        for bad in [f32::NAN, f32::INFINITY, -1.0] {
            assert!(!builder.add(0, 0, likes(bad)), "{bad}");
        }
        assert!(!builder.add(1, 0, likes(1.0)), "no such video");
        let snapshot = builder.finish();
        assert_eq!(snapshot.row(0), Row::default());
        assert!(snapshot.trending().is_empty());
    }

    #[test]
    fn a_reader_goes_on_with_the_snapshot_it_has() {
        let table = Table::new();
        assert!(table.snapshot().is_empty());
        let before = table.owned();
        let mut builder = builder(1);
        builder.add(0, builder.as_of_ms, likes(1.0));
        table.replace(builder.finish());
        assert_eq!(before.row(0).likes, 0.0);
        assert_eq!(table.snapshot().row(0).likes, 1.0);
    }

    #[test]
    fn a_rate_starts_at_the_prior_and_stays_a_rate() {
        let row = |impressions, long_views| Row {
            impressions,
            long_views,
            ..Row::default()
        };
        assert_eq!(row(0.0, 0.0).long_view_rate(0.2, 50.0), 0.2);
        assert_eq!(row(0.0, 0.0).long_view_rate(0.2, 0.0), 0.2);
        assert!((row(50.0, 30.0).long_view_rate(0.2, 50.0) - 0.4).abs() < 1e-6);
        assert!(
            row(0.0, 9.0).long_view_rate(0.2, 0.0) <= 1.0,
            "views without impressions"
        );
    }
}
