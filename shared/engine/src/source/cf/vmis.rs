//! VMIS-kNN (Kersbergen, Sprangers, Schelter: Serenade, SIGMOD 2022) on flat arrays.
//!
//! It wants the newest sessions that share a video with the user. Sessions are numbered by recency
//! and postings are ordered newest first, so merging the postings of the user's videos meets
//! exactly those, newest first, without a heap and without a hash table.

use zerocopy::little_endian::U32;

use super::super::tally::Tally;
use crate::Index;
use crate::index::format::{CfKnobs, NONE};
use crate::pipeline::prepared::Seed;

/// Most videos that look for sessions, whatever the knobs say.
const LAST_MAX: usize = 16;
/// Most sessions that are looked at, whatever the knobs say.
const SESSIONS_MAX: usize = 5_000;

/// A session that shares something with the user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vote {
    session: u32,
    similarity: f32,
    /// Position of the newest shared video, 0 is the newest.
    newest: u32,
}

/// The closest of the newest sessions vote for what they hold.
///
/// Similarity of a session is the sum over shared videos of (n − position) / n, position 0 being
/// the newest of the n videos that look; its vote is similarity × match × idf, where match is
/// 1 − 0.1 × (position + 1) of the newest shared video and idf is log(sessions / sessions with it).
/// Of equally close sessions the newer one votes.
pub(super) fn vote(
    index: &Index,
    knobs: &CfKnobs,
    seeds: &[Seed],
    met: &mut Vec<Vote>,
    tally: &mut Tally,
) {
    let last = (knobs.last.get() as usize).clamp(1, LAST_MAX);
    let seeds = seeds.get(..last.min(seeds.len())).unwrap_or_default();
    let most = (knobs.sessions.get() as usize).clamp(1, SESSIONS_MAX);
    meet(index, seeds, most, met);
    let voters = (knobs.voters.get() as usize).max(1);
    if met.len() > voters {
        met.select_nth_unstable_by(voters, |a, b| {
            b.similarity
                .total_cmp(&a.similarity)
                .then_with(|| b.session.cmp(&a.session))
        });
        met.truncate(voters);
    }
    let (sessions, idf) = (index.sessions(), index.idf());
    let age = Age {
        sessions: sessions.len() as f32,
        half_life: knobs.session_half_life.get() as f32,
    };
    for voter in met.iter() {
        let weight = voter.similarity * match_weight(voter.newest) * age.of(voter.session);
        let because = seeds
            .get(voter.newest as usize)
            .map_or(NONE, |seed| seed.item);
        for item in sessions.row(voter.session) {
            let idf = idf.get(item.get() as usize).map_or(0.0, |idf| idf.get());
            tally.add(item.get(), weight * idf, because);
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
    (0.9 - 0.1 * newest as f32).max(0.0)
}

/// What the age of a session, told in newer sessions, takes from its vote.
struct Age {
    sessions: f32,
    half_life: f32,
}

impl Age {
    fn of(&self, session: u32) -> f32 {
        if self.half_life > 0.0 {
            ((session as f32 - self.sessions) / self.half_life).exp2()
        } else {
            1.0
        }
    }
}
