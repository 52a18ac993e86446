//! What is about the same as what the user liked.

use async_trait::async_trait;

use super::cf::{self, Scratch};
use super::{Proposals, Source};
use crate::ReasonKind;
use crate::index::format::NONE;
use crate::pipeline::Prepared;

/// Newest seeds that are looked at.
const SEEDS_MAX: usize = 30;
/// Weight of the next older seed.
const SEED_DECAY: f32 = 0.9;

/// Proposes neighbours by tags, categories, creator and language; it carries videos that nobody
/// has watched yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContentSource;

#[async_trait]
impl Source for ContentSource {
    fn name(&self) -> &'static str {
        "content"
    }

    fn reason(&self) -> ReasonKind {
        ReasonKind::SimilarContent
    }

    async fn propose(&self, asked: &Prepared<'_>) -> Proposals {
        // The two never run at once on a thread, and sums that were just used are near.
        cf::SCRATCH.with_borrow_mut(|scratch| near(asked, scratch))
    }
}

fn near(asked: &Prepared<'_>, scratch: &mut Scratch) -> Proposals {
    let Scratch {
        neighbours: sums,
        rows,
        top,
        ..
    } = scratch;
    sums.begin(asked.index.videos());
    let lists = asked.index.content();
    let mut decay = 1.0;
    for seed in asked.seeds.iter().chain(&asked.long_term).take(SEEDS_MAX) {
        if asked.recall_deadline.expired() {
            return Proposals::overrun();
        }
        let weight = seed.weight * decay;
        let near = lists.row(seed.item).iter();
        let near = near.map(|row| (row.item.get(), weight * row.score.get()));
        sums.add(near, seed.item);
        decay *= SEED_DECAY;
    }
    rows.clear();
    rows.extend(sums.rows());
    top.proposals(asked, rows, |item| sums.because(item).unwrap_or(NONE))
}
