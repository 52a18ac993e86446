//! How often each video was liked, and how sure that is.

use engine::index::format::StatsRow;
use zerocopy::little_endian::U32;

use super::diary::{History, Total, each_once};
use super::shelf::Catalogue;
use crate::BuildOptions;

/// Impressions that a video's own rate has to outweigh.
const PRIOR_IMPRESSIONS: f64 = 20.0;

/// What is known of one video.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    total: Total,
    users: u32,
    popularity: f64,
}

impl Count {
    pub(super) fn row(&self) -> StatsRow {
        StatsRow {
            impressions: U32::new(self.total.impressions),
            clicks: U32::new(self.total.clicks),
            long_views: U32::new(self.total.long_views),
            reactions: U32::new(self.total.reactions),
            refusals: U32::new(self.total.refusals),
            users: U32::new(self.users),
        }
    }
}

/// What is known of every video.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) videos: Vec<Count>,
    rate: f64,
}

impl Counts {
    /// Counts each user once per video, at their newest liking, decayed by age.
    pub(super) fn new(catalogue: &Catalogue, history: &History, options: &BuildOptions) -> Self {
        let mut videos = vec![Count::default(); catalogue.len()];
        for (count, total) in videos.iter_mut().zip(&history.totals) {
            count.total = *total;
        }
        let newest = newest_ms(history, options);
        // Apart from the rest, so that all of them stay near the processor.
        let mut numbers: Vec<(u32, f64)> = vec![(0, 0.0); catalogue.len()];
        for liked in each_once(&history.liked) {
            if let Some((users, popularity)) = numbers.get_mut(liked.item as usize) {
                *users += 1;
                let age_ms = newest.saturating_sub(liked.ts_ms);
                *popularity += half(age_ms, options.popular_half_life_ms);
            }
        }
        for (count, (users, popularity)) in videos.iter_mut().zip(numbers) {
            (count.users, count.popularity) = (users, popularity);
        }
        let sum = |part: fn(&Total) -> f64| history.totals.iter().map(part).sum::<f64>();
        let (shown, long) = (sum(met), sum(|total| f64::from(total.long_views)));
        let rate = if shown > 0.0 { long / shown } else { 0.5 };
        Self { videos, rate }
    }

    /// Liked videos, one per user and video.
    pub(super) fn interactions(&self) -> usize {
        self.videos.iter().map(|count| count.users as usize).sum()
    }

    /// The smoothed chance that who meets the video watches it long.
    pub(super) fn quality(&self, item: u32) -> f32 {
        let total = self
            .videos
            .get(item as usize)
            .map(|count| count.total)
            .unwrap_or_default();
        let long = f64::from(total.long_views);
        ((long + PRIOR_IMPRESSIONS * self.rate) / (met(&total) + PRIOR_IMPRESSIONS)) as f32
    }

    /// The decayed number of people who liked it.
    pub(super) fn popularity(&self, item: u32) -> f32 {
        self.videos
            .get(item as usize)
            .map_or(0.0, |count| count.popularity as f32)
    }
}

/// How often a video was met, as far as its watching was measured: watches without an impression
/// (an import, a client that reports no impressions) count as met.
fn met(total: &Total) -> f64 {
    f64::from(total.impressions.max(total.watches))
}

/// The instant ages are counted from: the generation's time, or the newest liking before it, so
/// that an old data set does not decay to nothing.
pub(super) fn newest_ms(history: &History, options: &BuildOptions) -> i64 {
    let newest = history
        .users
        .iter()
        .filter_map(|user| history.liked(user).last());
    newest
        .map(|liked| liked.ts_ms)
        .max()
        .unwrap_or(0)
        .min(options.as_of_ms)
}

/// What something of this age counts for; 1 without a half-life.
pub(super) fn half(age_ms: i64, half_life_ms: i64) -> f64 {
    if half_life_ms == i64::MAX {
        return 1.0;
    }
    (-(age_ms.max(0) as f64) / half_life_ms.max(1) as f64).exp2()
}
