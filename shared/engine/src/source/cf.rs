//! What people watched who watched what the user watched.
//!
//! Two views of the same evidence, blended as the night found best
//! ([`CfKnobs`]): *sessions* — VMIS-kNN over the newest few videos;
//! *neighbours* — item-item lists over the whole history.

mod vmis;

use std::cell::RefCell;

use async_trait::async_trait;
use zerocopy::little_endian::F32;

use super::tally::{Tally, best};
use super::{Proposal, Proposals, Source};
use crate::index::format::CfKnobs;
use crate::pipeline::Prepared;
use crate::pipeline::prepared::Seed;
use crate::{Index, ReasonKind, Recipe};

/// Seeds between two looks at the deadline.
const SEEDS_PER_POLL: usize = 16;

/// Proposes by collaborative filtering.
#[derive(Debug, Clone, Copy, Default)]
pub struct CfSource;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[async_trait]
impl Source for CfSource {
    fn name(&self) -> &'static str {
        "cf"
    }

    fn reason(&self) -> ReasonKind {
        ReasonKind::WatchedTogether
    }

    async fn propose(&self, asked: &Prepared<'_>) -> Proposals {
        SCRATCH.with_borrow_mut(|scratch| {
            let knobs = asked.index.cf_knobs();
            let similar = matches!(asked.query.recipe, Recipe::Similar(_));
            let share = if similar {
                0.0
            } else {
                knobs.session_share.get()
            };
            let go_on = || !asked.recall_deadline.expired();
            let knobs = CfKnobs {
                session_share: F32::new(share),
                ..*knobs
            };
            let (seeds, long_term) = (&asked.seeds, &asked.long_term);
            if !scratch.collaborate(asked.index, &knobs, seeds, long_term, go_on) {
                return Proposals::overrun();
            }
            best(asked, scratch.scores(share))
        })
    }
}

/// Sums of one query, reused by the next one, so that predicting does not allocate.
#[derive(Debug, Default)]
pub struct Scratch {
    sessions: Tally,
    neighbours: Tally,
    met: Vec<vmis::Vote>,
}

/// What would be watched next by somebody who liked `seeds`, newest first, and nothing else known:
/// every video with a score, unordered, the seeds' own included.
pub fn predict<'a>(
    index: &Index,
    knobs: &CfKnobs,
    seeds: &[Seed],
    scratch: &'a mut Scratch,
) -> impl Iterator<Item = Proposal> + 'a {
    scratch.collaborate(index, knobs, seeds, &[], || true);
    scratch.scores(knobs.session_share.get())
}

impl Scratch {
    /// Adds up both views; `false` when `go_on` said stop.
    fn collaborate(
        &mut self,
        index: &Index,
        knobs: &CfKnobs,
        seeds: &[Seed],
        long_term: &[Seed],
        go_on: impl Fn() -> bool,
    ) -> bool {
        let share = knobs.session_share.get();
        self.sessions.begin(index.videos());
        self.neighbours.begin(index.videos());
        if share > 0.0 {
            vmis::vote(index, knobs, seeds, &mut self.met, &mut self.sessions);
        }
        if share >= 1.0 {
            return true;
        }
        let mut decay = 1.0;
        let lists = index.neighbours();
        for (at, seed) in seeds.iter().chain(long_term).enumerate() {
            if at % SEEDS_PER_POLL == 0 && !go_on() {
                return false;
            }
            for row in lists.row(seed.item) {
                let score = seed.weight * decay * row.score.get();
                self.neighbours.add(row.item.get(), score, seed.item);
            }
            decay *= knobs.seed_decay.get();
        }
        true
    }

    /// Each view divided by its highest score, then mixed; one alone counts in full.
    fn scores(&self, share: f32) -> impl Iterator<Item = Proposal> {
        let (sessions, neighbours) = (&self.sessions, &self.neighbours);
        let share = match (
            sessions.touched().is_empty(),
            neighbours.touched().is_empty(),
        ) {
            (true, _) => 0.0,
            (false, true) => 1.0,
            (false, false) => share,
        };
        let by_session = share / sessions.highest().max(f32::MIN_POSITIVE);
        let by_neighbour = (1.0 - share) / neighbours.highest().max(f32::MIN_POSITIVE);
        let near = neighbours.touched().iter().filter_map(move |item| {
            let (near, because) = neighbours.get(*item)?;
            let voted = sessions.get(*item).map_or(0.0, |(score, _)| score);
            Some(Proposal {
                item: *item,
                score: near * by_neighbour + voted * by_session,
                because,
            })
        });
        let only_voted = sessions.touched().iter().filter_map(move |item| {
            let (voted, because) = sessions.get(*item)?;
            let alone = neighbours.get(*item).is_none();
            alone.then_some(Proposal {
                item: *item,
                score: voted * by_session,
                because,
            })
        });
        near.chain(only_voted)
    }
}
