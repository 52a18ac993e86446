//! The first ranker: what the sources say, leaning towards videos that keep their viewers.

use async_trait::async_trait;

use super::Ranker;
use crate::pipeline::{Candidate, Prepared};

/// How much a video's quality may move its score: from 1 − this to 1 + this at the extremes.
const QUALITY_WEIGHT: f32 = 0.3;

/// Scores merged × (1 + weight × (2 × quality − 1)), quality being the smoothed chance of a long
/// view. Without impressions every video has the same quality, and the merged order stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct PriorRanker;

#[async_trait]
impl Ranker for PriorRanker {
    fn name(&self) -> &'static str {
        "rank"
    }

    async fn rank(
        &self,
        asked: &Prepared<'_>,
        candidates: &mut [Candidate],
    ) -> Result<(), &'static str> {
        for candidate in candidates {
            let row = asked.items.get(candidate.item as usize);
            let quality = row.map_or(0.5, |row| row.quality.get()).clamp(0.0, 1.0);
            candidate.score = candidate.merged * (1.0 + QUALITY_WEIGHT * (2.0 * quality - 1.0));
        }
        Ok(())
    }
}
