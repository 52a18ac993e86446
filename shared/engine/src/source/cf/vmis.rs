//! VMIS-kNN (Kersbergen, Sprangers, Schelter: Serenade, SIGMOD 2022) on flat arrays.
//!
//! It wants the newest sessions that share a video with the user. Sessions are numbered by recency
//! and postings are ordered newest first, so merging the postings of the user's videos meets
//! exactly those, newest first, without a heap and without a hash table.

use std::cmp::Reverse;

use zerocopy::little_endian::U32;

use super::super::tally::Tally;
use crate::Index;
use crate::index::format::{CfKnobs, NONE};
use crate::pipeline::prepared::Seed;

/// Most videos that look for sessions, whatever the knobs say: there is a number for every set of
/// them.
const LAST_MAX: usize = 8;
/// Most sessions that are looked at, whatever the knobs say.
const SESSIONS_MAX: usize = 5_000;

/// Sessions whose votes are looked up together.
const VOTES_AT_ONCE: usize = 16;

/// What one query needs besides its sums, reused by the next one.
#[derive(Debug, Default)]
pub(super) struct Room {
    met: Vec<Met>,
    voters: Vec<Voter>,
}

/// A session that shares something with the user.
#[derive(Debug, Clone, Copy)]
struct Met {
    session: u32,
    /// The positions of what is shared as a set of bits, the lowest being the newest video.
    shared: u32,
}

/// A session that votes.
#[derive(Debug, Clone, Copy)]
struct Voter {
    /// The weight's bits above the session's number: positive numbers lie as their bits do.
    rank: u64,
    because: u32,
}

impl Voter {
    fn weight(self) -> f32 {
        f32::from_bits((self.rank >> 32) as u32)
    }

    fn session(self) -> u32 {
        self.rank as u32
    }
}

/// The closest of the newest sessions vote for what they hold.
///
/// Similarity of a session is the sum over shared videos of (n − position) / n, position 0 being
/// the newest of the n videos that look; its vote is similarity × match × idf, where match is
/// 1 − 0.1 × (position + 1) of the newest shared video and idf is log(sessions / sessions with it);
/// the last is the same for every vote that a video gets, and left to whoever reads the sums.
/// Of equally close sessions the newer one votes.
pub(super) fn vote(
    index: &Index,
    knobs: &CfKnobs,
    seeds: &[Seed],
    room: &mut Room,
    tally: &mut Tally,
) {
    let last = (knobs.last.get() as usize).clamp(1, LAST_MAX);
    let seeds = seeds.get(..last.min(seeds.len())).unwrap_or_default();
    let most = (knobs.sessions.get() as usize).clamp(1, SESSIONS_MAX);
    let voters = (knobs.voters.get() as usize).max(1);
    meet(index, seeds, most, voters, &mut room.met);
    let close = Closeness::new(seeds, &room.met, voters);
    let sessions = index.sessions();
    let age = Age {
        sessions: sessions.len() as f32,
        half_life: knobs.session_half_life.get() as f32,
    };
    let mut undecided = close.undecided;
    let closest = room.met.iter().filter_map(|Met { session, shared }| {
        let similarity = close.of(*shared);
        if similarity < close.least {
            return None;
        }
        if similarity == close.least {
            undecided = undecided.checked_sub(1)?;
        }
        let newest = shared.trailing_zeros();
        let weight = similarity * match_weight(newest) * age.of(*session);
        Some(Voter {
            rank: u64::from(weight.max(0.0).to_bits()) << 32 | u64::from(*session),
            because: seeds.get(newest as usize).map_or(NONE, |seed| seed.item),
        })
    });
    room.voters.clear();
    room.voters.extend(closest);
    // Who speaks most for a video is then who speaks of it first, of equals the newest session.
    room.voters
        .sort_unstable_by_key(|voter| Reverse(voter.rank));
    // Where the votes lie is found out for some sessions together, so that these waits for memory
    // overlap; with each before its own counting they would follow one another.
    for some in room.voters.chunks(VOTES_AT_ONCE) {
        let mut votes: [&[U32]; VOTES_AT_ONCE] = [&[]; VOTES_AT_ONCE];
        for (vote, voter) in votes.iter_mut().zip(some) {
            *vote = sessions.row(voter.session());
        }
        for (vote, voter) in votes.iter().zip(some) {
            let items = vote.iter().map(|item| item.get());
            tally.add_heaviest_first(items, voter.weight(), voter.because);
        }
    }
}

/// Collects the `most` newest sessions that share a video with the seeds, newest first; no more once
/// there are enough `voters` that share all of them, because none can be closer.
fn meet(index: &Index, seeds: &[Seed], most: usize, voters: usize, met: &mut Vec<Met>) {
    let postings = index.postings();
    let mut lists: [&[U32]; LAST_MAX] = [&[]; LAST_MAX];
    for (list, seed) in lists.iter_mut().zip(seeds) {
        *list = postings.row(seed.item);
    }
    met.clear();
    let all = (1 << seeds.len()) - 1;
    let enough = Enough { most, voters, all };
    // The fewer lists, the less there is to compare for each session.
    match lists {
        [one, ..] if seeds.len() < 2 => merge([one], enough, met),
        [a, b, ..] if seeds.len() < 3 => merge([a, b], enough, met),
        [a, b, c, d, ..] if seeds.len() < 5 => merge([a, b, c, d], enough, met),
        all => merge(all, enough, met),
    }
}

/// When no more sessions are wanted.
#[derive(Debug, Clone, Copy)]
struct Enough {
    most: usize,
    voters: usize,
    /// The set of all positions.
    all: u32,
}

/// Which list goes on is nothing that a processor could guess, so nothing branches on it.
fn merge<const LISTS: usize>(lists: [&[U32]; LISTS], enough: Enough, met: &mut Vec<Met>) {
    // What each list shows: one more than the session's number, 0 at its end.
    let shows = |list: &[U32], at: usize| list.get(at).map_or(0, |session| session.get() + 1);
    let mut at = [0; LISTS];
    let mut heads = lists.map(|list| shows(list, 0));
    let mut share_all = 0;
    while met.len() < enough.most && share_all < enough.voters {
        let newest = heads.iter().copied().fold(0, u32::max);
        if newest == 0 {
            return;
        }
        let mut shared = 0;
        for (position, ((head, at), list)) in heads.iter_mut().zip(&mut at).zip(lists).enumerate() {
            let here = *head == newest;
            shared |= u32::from(here) << position;
            *at += usize::from(here);
            *head = shows(list, *at);
        }
        share_all += usize::from(shared == enough.all);
        met.push(Met {
            session: newest - 1,
            shared,
        });
    }
}

/// How close a session is depends only on which videos it shares: whatever the number of sessions,
/// there are few answers, and the closest need no sorting.
struct Closeness {
    by_set: [f32; 1 << LAST_MAX],
    /// What is less close does not vote.
    least: f32,
    /// Of those that are exactly as close as `least`, so many vote.
    undecided: usize,
}

impl Closeness {
    fn new(seeds: &[Seed], met: &[Met], voters: usize) -> Self {
        let mut close = Self {
            by_set: [0.0; 1 << LAST_MAX],
            least: 0.0,
            undecided: voters,
        };
        let step = 1.0 / seeds.len().max(1) as f32;
        for (position, seed) in seeds.iter().enumerate() {
            let own = seed.weight * (1.0 - position as f32 * step);
            let (without, with) = close.by_set.split_at_mut(1 << position);
            for (with, without) in with.iter_mut().zip(without) {
                *with = *without + own;
            }
        }
        if met.len() <= voters {
            return close;
        }
        // How many sessions there are of each closeness, closest first.
        let mut answers = close.by_set.map(|similarity| (similarity, 0));
        for one in met {
            if let Some((_, sessions)) = answers.get_mut(one.shared as usize) {
                *sessions += 1;
            }
        }
        let answers = answers.get_mut(..1 << seeds.len()).unwrap_or_default();
        answers.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut closer = 0;
        for alike in answers.chunk_by(|(a, _), (b, _)| a == b) {
            let sessions: usize = alike.iter().map(|(_, sessions)| sessions).sum();
            if closer + sessions >= voters {
                close.least = alike.first().map_or(0.0, |(similarity, _)| *similarity);
                close.undecided = voters - closer;
                break;
            }
            closer += sessions;
        }
        close
    }

    fn of(&self, shared: u32) -> f32 {
        self.by_set.get(shared as usize).copied().unwrap_or(0.0)
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
