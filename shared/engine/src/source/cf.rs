//! What people watched who watched what the user watched.
//!
//! Two views of the same evidence, blended as the night found best
//! ([`CfKnobs`]): *sessions* — VMIS-kNN over the newest few videos;
//! *neighbours* — item-item lists over the whole history.

mod vmis;

use std::cell::RefCell;

use async_trait::async_trait;
use zerocopy::little_endian::F32;

use super::tally::{Sum, Tally};
use super::top::Top;
use super::{Proposal, Proposals, Source};
use crate::index::format::{CfKnobs, NONE};
use crate::pipeline::Prepared;
use crate::pipeline::prepared::Seed;
use crate::{Index, ReasonKind, Recipe};

/// Seeds between two looks at the deadline.
const SEEDS_PER_POLL: usize = 16;

/// Proposes by collaborative filtering.
#[derive(Debug, Clone, Copy, Default)]
pub struct CfSource;

thread_local! {
    pub(super) static SCRATCH: RefCell<Scratch> = RefCell::default();
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
            scratch.blend(asked.index, share);
            let because = because(&scratch.sessions, &scratch.neighbours);
            scratch.top.proposals(asked, &scratch.rows, because)
        })
    }
}

/// Sums of one query, reused by the next one, so that predicting does not allocate.
#[derive(Debug, Default)]
pub struct Scratch {
    sessions: Tally,
    pub(super) neighbours: Tally,
    room: vmis::Room,
    both: Vec<Both>,
    pub(super) rows: Vec<Sum>,
    pub(super) top: Top,
    found: Vec<Proposal>,
}

/// What both views say of a video.
#[derive(Debug, Clone, Copy)]
struct Both {
    item: u32,
    near: f32,
    voted: f32,
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
    scratch.blend(index, knobs.session_share.get());
    let because = because(&scratch.sessions, &scratch.neighbours);
    scratch.rows.iter().map(move |row| row.proposal(&because))
}

/// The `most` best of what [`predict`] answers and `keeps` holds for, best first, ties by id.
///
/// They stand in `scratch`: once that has grown, nothing is allocated.
pub fn predict_best<'a>(
    index: &Index,
    knobs: &CfKnobs,
    seeds: &[Seed],
    most: usize,
    keeps: impl Fn(u32) -> bool,
    scratch: &'a mut Scratch,
) -> &'a [Proposal] {
    scratch.collaborate(index, knobs, seeds, &[], || true);
    scratch.blend(index, knobs.session_share.get());
    let because = because(&scratch.sessions, &scratch.neighbours);
    let best = scratch.top.best(&scratch.rows, most, keeps);
    scratch.found.clear();
    scratch.found.extend(best.map(|row| row.proposal(&because)));
    &scratch.found
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
            vmis::vote(index, knobs, seeds, &mut self.room, &mut self.sessions);
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
            let weight = seed.weight * decay;
            let rows = lists.row(seed.item).iter();
            let scores = rows.map(|row| (row.item.get(), weight * row.score.get()));
            self.neighbours.add(scores, seed.item);
            decay *= knobs.seed_decay.get();
        }
        true
    }

    /// Each view divided by its highest score, then mixed, into `rows`; one alone counts in full.
    fn blend(&mut self, index: &Index, share: f32) {
        let Self {
            sessions,
            neighbours,
            both,
            rows,
            ..
        } = self;
        let idf = index.idf();
        let voted = sessions.rows().map(|Sum { item, score }| {
            let rare = idf.get(item as usize).map_or(0.0, |idf| idf.get());
            let score = score * rare;
            Sum { item, score }
        });
        both.clear();
        rows.clear();
        if neighbours.is_empty() {
            rows.extend(voted);
            let by = 1.0 / highest(rows.iter().map(|row| row.score));
            rows.iter_mut().for_each(|row| row.score *= by);
            return;
        }
        // What both views know of is taken out of the neighbours' rows and counted once.
        both.extend(voted.map(|Sum { item, score: voted }| {
            let near = neighbours.take(item).unwrap_or(0.0);
            Both { item, near, voted }
        }));
        rows.extend(neighbours.rows());
        let share = if both.is_empty() { 0.0 } else { share };
        let nearest = both.iter().map(|both| both.near);
        let nearest = highest(nearest.chain(rows.iter().map(|row| row.score)));
        let by_near = (1.0 - share) / nearest;
        let by_voted = share / highest(both.iter().map(|both| both.voted));
        rows.iter_mut().for_each(|row| row.score *= by_near);
        rows.extend(both.iter().map(|both| Sum {
            item: both.item,
            score: both.near * by_near + both.voted * by_voted,
        }));
    }
}

/// The highest score, above 0.
fn highest(scores: impl Iterator<Item = f32>) -> f32 {
    scores.fold(f32::MIN_POSITIVE, f32::max)
}

/// On whose account a video was found: the neighbour's, else the session's.
fn because(sessions: &Tally, neighbours: &Tally) -> impl Fn(u32) -> u32 {
    |item| {
        let found = neighbours.because(item).or_else(|| sessions.because(item));
        found.unwrap_or(NONE)
    }
}
