//! What is about the same as what the user liked.

use std::cell::RefCell;

use async_trait::async_trait;

use super::tally::{Tally, best};
use super::{Proposals, Source};
use crate::ReasonKind;
use crate::pipeline::Prepared;

/// Newest seeds that are looked at.
const SEEDS_MAX: usize = 30;
/// Weight of the next older seed.
const SEED_DECAY: f32 = 0.9;

thread_local! {
    static TALLY: RefCell<Tally> = RefCell::default();
}

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
        TALLY.with_borrow_mut(|tally| near(asked, tally))
    }
}

fn near(asked: &Prepared<'_>, tally: &mut Tally) -> Proposals {
    tally.begin(asked.index.videos());
    let lists = asked.index.content();
    let mut decay = 1.0;
    for seed in asked.seeds.iter().chain(&asked.long_term).take(SEEDS_MAX) {
        if asked.recall_deadline.expired() {
            return Proposals::overrun();
        }
        let weight = seed.weight * decay;
        let rows = lists.row(seed.item).iter();
        tally.add(
            rows.map(|row| (row.item.get(), weight * row.score.get())),
            seed.item,
        );
        decay *= SEED_DECAY;
    }
    best(asked, tally.rows())
}
