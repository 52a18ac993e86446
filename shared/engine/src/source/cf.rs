//! What people watched who watched what the user watched.
//!
//! Two views of the same evidence, blended as the night found best ([`CfKnobs`]):
//! *sessions* — VMIS-kNN (Kersbergen, Sprangers, Schelter: Serenade, SIGMOD 2022) over the newest
//! few videos; *neighbours* — item-item lists over the whole history.
//!
//! VMIS-kNN wants the `sessions` newest sessions that share a video with the user. Sessions are
//! numbered by recency and postings are ordered newest first, so merging the postings of the
//! user's videos meets exactly those, newest first, without a heap and without a hash table.

use std::cell::RefCell;

use async_trait::async_trait;
use zerocopy::little_endian::U32;

use super::tally::{Tally, best};
use super::{Proposal, Proposals, Source};
use crate::ReasonKind;
use crate::index::format::{CfKnobs, NONE};
use crate::pipeline::Prepared;
use crate::pipeline::prepared::Seed;
use crate::{Index, Recipe};

/// Most videos that look for sessions, whatever the knobs say.
const LAST_MAX: usize = 16;
/// Most sessions that are looked at, whatever the knobs say.
const SESSIONS_MAX: usize = 5_000;
/// Seeds between two looks at the deadline.
const SEEDS_PER_POLL: usize = 16;

/// Reused between queries of one thread, so that predicting does not allocate.
#[derive(Debug, Default)]
pub struct Scratch {
    sessions: Tally,
    neighbours: Tally,
    met: Vec<Vote>,
}

/// A session that shares something with the user.
#[derive(Debug, Clone, Copy)]
struct Vote {
    session: u32,
    similarity: f32,
    /// Position of the newest shared video, 0 is the newest.
    newest: u32,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Proposes by collaborative filtering.
#[derive(Debug, Clone, Copy, Default)]
pub struct CfSource;

#[async_trait]
impl Source for CfSource {
    fn name(&self) -> &'static str {
        "cf"
    }

    fn reason(&self) -> ReasonKind {
        ReasonKind::WatchedTogether
    }

    async fn propose(&self, asked: &Prepared<'_>) -> Proposals {
        SCRATCH.with_borrow_mut(|scratch| collaborate(asked, scratch))
    }
}

fn collaborate(asked: &Prepared<'_>, scratch: &mut Scratch) -> Proposals {
    let knobs = asked.index.cf_knobs();
    let similar = matches!(asked.query.recipe, Recipe::Similar(_));
    let share = if similar {
        0.0
    } else {
        knobs.session_share.get()
    };
    scratch.sessions.begin(asked.index.videos());
    scratch.neighbours.begin(asked.index.videos());
    if share > 0.0 {
        vote(asked.index, knobs, &asked.seeds, scratch);
    }
    if share < 1.0 {
        let mut decay = 1.0;
        let lists = asked.index.neighbours();
        for (at, seed) in asked.seeds.iter().chain(&asked.long_term).enumerate() {
            if at % SEEDS_PER_POLL == 0 && asked.recall_deadline.expired() {
                return Proposals::overrun();
            }
            for row in lists.row(seed.item) {
                let score = seed.weight * decay * row.score.get();
                scratch.neighbours.add(row.item.get(), score, seed.item);
            }
            decay *= knobs.seed_decay.get();
        }
    }
    blend(asked, share, scratch)
}

fn blend(asked: &Prepared<'_>, share: f32, scratch: &Scratch) -> Proposals {
    let (sessions, neighbours) = (&scratch.sessions, &scratch.neighbours);
    if neighbours.touched().is_empty() {
        return sessions.proposals(asked);
    }
    if sessions.touched().is_empty() {
        return neighbours.proposals(asked);
    }
    let by_session = share / sessions.highest().max(f32::MIN_POSITIVE);
    let by_neighbour = (1.0 - share) / neighbours.highest().max(f32::MIN_POSITIVE);
    let near = neighbours.touched().iter().filter_map(|item| {
        let (near, because) = neighbours.get(*item)?;
        let voted = sessions.get(*item).map_or(0.0, |(score, _)| score);
        Some(Proposal {
            item: *item,
            score: near * by_neighbour + voted * by_session,
            because,
        })
    });
    let only_voted = sessions.touched().iter().filter_map(|item| {
        let (voted, because) = sessions.get(*item)?;
        let alone = neighbours.get(*item).is_none();
        alone.then_some(Proposal {
            item: *item,
            score: voted * by_session,
            because,
        })
    });
    best(asked, near.chain(only_voted))
}

/// VMIS-kNN: the closest of the newest sessions vote for what they hold.
///
/// Similarity of a session is the sum over shared videos of (n − position) / n, position 0 being
/// the newest of the n videos that look; its vote is similarity × match × idf, where match falls
/// by 0.1 per position of the newest shared video and idf is log(sessions / sessions with it).
fn vote(index: &Index, knobs: &CfKnobs, seeds: &[Seed], scratch: &mut Scratch) {
    let last = (knobs.last.get() as usize).clamp(1, LAST_MAX);
    let seeds = seeds.get(..last.min(seeds.len())).unwrap_or_default();
    let most = (knobs.sessions.get() as usize).clamp(1, SESSIONS_MAX);
    meet(index, seeds, most, &mut scratch.met);
    let voters = (knobs.voters.get() as usize).max(1);
    if scratch.met.len() > voters {
        scratch.met.select_nth_unstable_by(voters, |a, b| {
            b.similarity
                .total_cmp(&a.similarity)
                .then_with(|| b.session.cmp(&a.session))
        });
        scratch.met.truncate(voters);
    }
    let (sessions, idf) = (index.sessions(), index.idf());
    for voter in &scratch.met {
        let weight = voter.similarity * match_weight(voter.newest);
        let because = seeds
            .get(voter.newest as usize)
            .map_or(NONE, |seed| seed.item);
        for item in sessions.row(voter.session) {
            let idf = idf.get(item.get() as usize).map_or(0.0, |idf| idf.get());
            scratch.sessions.add(item.get(), weight * idf, because);
        }
    }
}

/// Collects the `most` newest sessions that share a video with the seeds, newest first.
fn meet(index: &Index, seeds: &[Seed], most: usize, met: &mut Vec<Vote>) {
    met.clear();
    let postings = index.postings();
    let mut lists: [&[U32]; LAST_MAX] = [&[]; LAST_MAX];
    for (list, seed) in lists.iter_mut().zip(seeds) {
        *list = postings.row(seed.item);
    }
    let lists = lists.get_mut(..seeds.len()).unwrap_or_default();
    let step = 1.0 / seeds.len().max(1) as f32;
    while met.len() < most {
        let heads = lists.iter().filter_map(|list| list.first());
        let Some(session) = heads.map(|head| head.get()).max() else {
            return;
        };
        let mut vote = Vote {
            session,
            similarity: 0.0,
            newest: u32::MAX,
        };
        for (position, (list, seed)) in (0u32..).zip(lists.iter_mut().zip(seeds)) {
            if let [head, rest @ ..] = list
                && head.get() == session
            {
                *list = rest;
                vote.similarity += seed.weight * (1.0 - position as f32 * step);
                vote.newest = vote.newest.min(position);
            }
        }
        met.push(vote);
    }
}

fn match_weight(newest: u32) -> f32 {
    (1.0 - 0.1 * newest as f32).max(0.0)
}
