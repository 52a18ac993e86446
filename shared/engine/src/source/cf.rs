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
    met: Vec<vmis::Met>,
    blended: Vec<Blended>,
    keys: Vec<u64>,
    found: Vec<Proposal>,
}

/// What both views say of a video.
#[derive(Debug, Clone, Copy)]
struct Blended {
    item: u32,
    near: f32,
    voted: f32,
    because: u32,
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
    let share = knobs.session_share.get();
    scratch.collaborate(index, knobs, seeds, &[], || true);
    let mut keys = std::mem::take(&mut scratch.keys);
    keys.clear();
    // What is behind this is not among the best.
    let mut last = u64::MAX;
    let room = (4 * most).max(64);
    let mut offer = |row: Proposal, score: f32| {
        let key = best_first(row.item, score);
        if key < last && keeps(row.item) {
            if keys.len() == room {
                last = keep_least(&mut keys, most);
            }
            keys.push(key);
        }
    };
    if share >= 1.0 {
        let scale = 1.0 / scratch.sessions.highest().max(f32::MIN_POSITIVE);
        let rows = scratch.sessions.rows();
        rows.for_each(|row| offer(row, row.score * scale));
    } else {
        let rows = scratch.scores(share);
        rows.for_each(|row| offer(row, row.score));
    }
    keep_least(&mut keys, most);
    keys.sort_unstable();
    let mut found = std::mem::take(&mut scratch.found);
    found.clear();
    found.extend(keys.iter().map(|key| {
        let item = *key as u32;
        Proposal {
            item,
            score: f32::from_bits(!((key >> 32) as u32)),
            because: scratch.because(item),
        }
    }));
    (scratch.keys, scratch.found) = (keys, found);
    &scratch.found
}

/// Keeps the `most` least numbers, and answers the greatest of them.
fn keep_least(keys: &mut Vec<u64>, most: usize) -> u64 {
    let Some(at) = most.checked_sub(1) else {
        keys.clear();
        return 0;
    };
    if keys.len() <= most {
        return u64::MAX;
    }
    let (_, last, _) = keys.select_nth_unstable(at);
    let last = *last;
    keys.truncate(most);
    last
}

/// Orders scores of at least 0 like floats, highest first, ties by id: one integer is compared, and
/// moved, faster than a row.
fn best_first(item: u32, score: f32) -> u64 {
    u64::from(!score.max(0.0).to_bits()) << 32 | u64::from(item)
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
            let weight = seed.weight * decay;
            let rows = lists.row(seed.item).iter();
            let scores = rows.map(|row| (row.item.get(), weight * row.score.get()));
            self.neighbours.add(scores, seed.item);
            decay *= knobs.seed_decay.get();
        }
        true
    }

    /// On whose account a video was found: the neighbour's, else the session's.
    fn because(&self, item: u32) -> u32 {
        let found = self
            .neighbours
            .get(item)
            .or_else(|| self.sessions.get(item));
        found.map_or(NONE, |(_, because)| because)
    }

    /// Each view divided by its highest score, then mixed; one alone counts in full.
    fn scores(&mut self, share: f32) -> impl Iterator<Item = Proposal> {
        let (sessions, neighbours) = (&self.sessions, &self.neighbours);
        let mut highest = (f32::MIN_POSITIVE, f32::MIN_POSITIVE);
        self.blended.clear();
        let near = neighbours.rows().map(|row| {
            let voted = sessions.get(row.item).map_or(0.0, |(score, _)| score);
            Blended {
                item: row.item,
                near: row.score,
                voted,
                because: row.because,
            }
        });
        let voted = sessions
            .rows()
            .filter(|row| neighbours.get(row.item).is_none());
        let voted = voted.map(|row| Blended {
            item: row.item,
            near: 0.0,
            voted: row.score,
            because: row.because,
        });
        self.blended.extend(near.chain(voted).inspect(|row| {
            highest = (highest.0.max(row.near), highest.1.max(row.voted));
        }));
        let share = match (sessions.is_empty(), neighbours.is_empty()) {
            (true, _) => 0.0,
            (false, true) => 1.0,
            (false, false) => share,
        };
        let (by_near, by_voted) = ((1.0 - share) / highest.0, share / highest.1);
        self.blended.iter().map(move |row| Proposal {
            item: row.item,
            score: row.near * by_near + row.voted * by_voted,
            because: row.because,
        })
    }
}
