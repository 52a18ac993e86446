//! Some places go to chance, so that what is never shown can prove itself and what is learned from
//! what was shown can be corrected for how likely it was to be shown.

use super::Reranker;
use crate::Recipe;
use crate::pipeline::{Candidate, Prepared};

/// Gives each place, with the scene's chance ε, to one of the next `pool` videos in line, drawn
/// evenly; otherwise to the first in line. Personal slates only: what many share is not a place for
/// experiments on one.
///
/// The propensity of a place's video is ε/n, n being how many it was drawn from, plus 1 − ε if it
/// was the first in line. An explored video may stand in a window that its neighbours fill.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExploreReranker;

impl Reranker for ExploreReranker {
    fn name(&self) -> &'static str {
        "rerank.explore"
    }

    fn rerank(&self, asked: &Prepared<'_>, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        let chance = asked.scene.explore_share;
        if chance <= 0.0 || asked.query.recipe != Recipe::Personal {
            return candidates;
        }
        let pool = asked.scene.explore_pool as usize;
        let mut random = SplitMix(asked.query.seed);
        for place in 0..asked.query.wanted.min(candidates.len()) {
            let Some(line) = candidates.get_mut(place..) else {
                break;
            };
            let drawn_from = pool.min(line.len());
            if drawn_from < 2 {
                break;
            }
            let even = chance / drawn_from as f32;
            let mut at = 0;
            if random.share() < chance {
                at = random.below(drawn_from);
                if let Some(line) = line.get_mut(..=at) {
                    line.rotate_right(1);
                }
            }
            if let Some(first) = line.first_mut() {
                first.propensity = if at == 0 { 1.0 - chance + even } else { even };
            }
        }
        candidates
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a few draws per slate, the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below 1.
    fn share(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Below `bound`, which is above 0.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
