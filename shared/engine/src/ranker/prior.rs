//! The first ranker: what the sources say, leaning towards videos that keep their viewers.

use async_trait::async_trait;

use super::Ranker;
use crate::pipeline::{Candidate, Prepared};

/// How much a video's quality may move its score: from 1 − this to 1 + this at the extremes.
const QUALITY_WEIGHT: f32 = 0.05;

/// Scores (personal × (1 + momentum)^¼ + common) × (1 + weight × (2 × quality − 1)).
///
/// Personal is what the sources say that know the user, common the rest of the merged score.
/// Momentum is the decayed number of likings lately, quality the smoothed chance of a long view.
/// As factors they order what a user's own sources found instead of bringing in what they did not;
/// the common part has its momentum already. The power was chosen on the day before the one that
/// is reported for KuaiRand, from 0 to 0.3, and is a root of a root because that is cheap.
#[derive(Debug, Clone, Copy, Default)]
pub struct PriorRanker;

impl PriorRanker {
    /// Writes a score into every candidate.
    pub(super) fn score(asked: &Prepared<'_>, candidates: &mut [Candidate]) {
        for candidate in candidates {
            let row = asked.items.get(candidate.item as usize);
            let quality = row.map_or(0.5, |row| row.quality.get()).clamp(0.0, 1.0);
            let momentum = row.map_or(0.0, |row| row.momentum.get()).max(0.0);
            let leaning = 1.0 + QUALITY_WEIGHT * (2.0 * quality - 1.0);
            candidate.score = Self::lifted(candidate, momentum) * leaning;
        }
    }

    /// The score but for quality; the night asks it, too, so that it weighs what will be served.
    #[must_use]
    pub fn lifted(candidate: &Candidate, momentum: f32) -> f32 {
        let lift = (1.0 + momentum).sqrt().sqrt();
        let common = candidate.merged - candidate.personal;
        candidate.personal * lift + common
    }
}

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
        Self::score(asked, candidates);
        Ok(())
    }
}
