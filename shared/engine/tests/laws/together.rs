//! What is watched together: on flat arrays exactly what the definition says, session by session.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::index::Index;
use engine::index::format::CfKnobs;
use engine::pipeline::prepared::Seed;
use engine::source::Proposal;
use engine::source::cf::{Scratch, predict, predict_best};
use proptest::collection::vec;
use proptest::prelude::*;
use zerocopy::little_endian::{F32, U32};

use crate::world::{World, film};

prop_compose! {
    fn town()(
        films in vec(film(), 12),
        sessions in vec(vec(0usize..12, 2..6), 0..40),
    ) -> World {
        World { films, sessions, trending: Vec::new() }
    }
}

prop_compose! {
    fn knobs()(
        (last, sessions, voters) in (1u32..6, 1u32..25, 1u32..12),
        seed_decay in 0.1f32..1.0,
        half_life in prop_oneof![Just(0u32), 1u32..20],
    ) -> CfKnobs {
        CfKnobs {
            last: U32::new(last),
            sessions: U32::new(sessions),
            voters: U32::new(voters),
            seed_decay: F32::new(seed_decay),
            session_half_life: U32::new(half_life),
            ..CfKnobs::default()
        }
    }
}

/// Distinct films that somebody liked, newest first.
fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let films = prop::sample::subsequence((0u32..12).collect::<Vec<_>>(), 0..6).prop_shuffle();
    (films, vec(0.1f32..1.0, 6)).prop_map(|(films, weights)| {
        let seeds = films.into_iter().zip(weights);
        seeds.map(|(item, weight)| Seed { item, weight }).collect()
    })
}

type Scores = BTreeMap<u32, f64>;

/// What each session holds, oldest first.
fn held(world: &World) -> Vec<BTreeSet<u32>> {
    let films = |session: &Vec<usize>| session.iter().map(|film| *film as u32).collect();
    world.sessions.iter().map(films).collect()
}

/// The definition, with sets: the newest sessions that share something, of them the closest, of
/// equally close ones the newer; each with its vote and the newest film it shares.
fn votes(world: &World, knobs: &CfKnobs, seeds: &[Seed]) -> Vec<(usize, f64, u32)> {
    let sessions = held(world);
    let looking: Vec<&Seed> = seeds.iter().take(knobs.last.get() as usize).collect();
    let mut met: Vec<(usize, f64, usize)> = Vec::new();
    for (number, session) in sessions.iter().enumerate().rev() {
        let shared: Vec<usize> = (0..looking.len())
            .filter(|position| session.contains(&looking[*position].item))
            .collect();
        let similarity = |position: &usize| {
            let falls = 1.0 - *position as f64 / looking.len() as f64;
            f64::from(looking[*position].weight) * falls
        };
        if let Some(newest) = shared.first() {
            met.push((number, shared.iter().map(similarity).sum(), *newest));
        }
    }
    met.truncate(knobs.sessions.get() as usize);
    // Stable: of those that are equally close the newer one stays ahead.
    met.sort_by(|a, b| (b.1 as f32).total_cmp(&(a.1 as f32)));
    met.truncate(knobs.voters.get() as usize);
    let vote = |(number, similarity, newest): (usize, f64, usize)| {
        let age = (sessions.len() - number) as f64;
        let faded = match knobs.session_half_life.get() {
            0 => 1.0,
            half_life => (-age / f64::from(half_life)).exp2(),
        };
        let vote = similarity * (1.0 - 0.1 * (newest + 1) as f64) * faded;
        (number, vote, looking[newest].item)
    };
    met.into_iter().map(vote).collect()
}

/// What the votes add up to.
fn by_definition(world: &World, knobs: &CfKnobs, seeds: &[Seed]) -> Scores {
    let (sessions, mut scores) = (held(world), Scores::new());
    for (number, vote, _) in votes(world, knobs, seeds) {
        for film in &sessions[number] {
            let with = sessions
                .iter()
                .filter(|session| session.contains(film))
                .count();
            let idf = (sessions.len() as f64 / with as f64).ln();
            *scores.entry(*film).or_default() += vote * idf;
        }
    }
    scores
}

/// The sum of the neighbours' scores of everything liked, older likings counting less.
fn neighbours(world: &World, knobs: &CfKnobs, seeds: &[Seed]) -> Scores {
    let mut scores = Scores::new();
    for (age, seed) in seeds.iter().enumerate() {
        let decay = f64::from(knobs.seed_decay.get()).powi(age as i32);
        for (to, score) in &world.films[seed.item as usize].links {
            if *to < world.films.len() {
                *scores.entry(*to as u32).or_default() +=
                    f64::from(seed.weight) * decay * f64::from(*score);
            }
        }
    }
    scores
}

fn scaled(scores: Scores) -> Scores {
    let highest = scores.values().copied().fold(f64::MIN_POSITIVE, f64::max);
    scores
        .into_iter()
        .map(|(film, score)| (film, score / highest))
        .collect()
}

fn predicted(index: &Index, knobs: &CfKnobs, seeds: &[Seed], scratch: &mut Scratch) -> Scores {
    predict(index, knobs, seeds, scratch)
        .map(|row| (row.item, f64::from(row.score)))
        .collect()
}

fn same(found: &Scores, expected: &Scores) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (film, score) in expected {
        prop_assert!(
            (found[film] - score).abs() < 1e-4,
            "{film}: {} {score}",
            found[film]
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::tries(2_000))]

    /// The scratch goes from question to question, as it does in serving.
    #[test]
    fn sessions_vote_exactly_as_defined(world in town(), knobs in knobs(), asked in vec(seeds(), 1..4)) {
        let index = Index::open(Arc::new(world.bytes())).unwrap();
        let knobs = CfKnobs { session_share: F32::new(1.0), ..knobs };
        let mut scratch = Scratch::default();
        for seeds in asked {
            let found = predicted(&index, &knobs, &seeds, &mut scratch);
            same(&found, &scaled(by_definition(&world, &knobs, &seeds)))?;
        }
    }

    /// Where two spoke as much but for rounding, either may be named.
    #[test]
    fn who_spoke_most_for_a_film_is_named(world in town(), knobs in knobs(), seeds in seeds()) {
        let index = Index::open(Arc::new(world.bytes())).unwrap();
        let knobs = CfKnobs { session_share: F32::new(1.0), ..knobs };
        let (sessions, votes) = (held(&world), votes(&world, &knobs, &seeds));
        let mut scratch = Scratch::default();
        for row in predict(&index, &knobs, &seeds, &mut scratch) {
            let loudest = |by: &dyn Fn(u32) -> bool| {
                let own = votes.iter().filter(|(number, _, newest)| {
                    sessions[*number].contains(&row.item) && by(*newest)
                });
                own.map(|(_, vote, _)| *vote).fold(0.0, f64::max)
            };
            let (named, any) = (loudest(&|newest| newest == row.because), loudest(&|_| true));
            prop_assert!(named > any * (1.0 - 1e-5), "{}: {named} of {any}", row.item);
        }
    }

    #[test]
    fn neighbours_and_blends_add_up_exactly(
        world in town(),
        knobs in knobs(),
        asked in vec(seeds(), 1..4),
        share in 0.0f32..1.0,
    ) {
        let index = Index::open(Arc::new(world.bytes())).unwrap();
        let knobs = CfKnobs { session_share: F32::new(share), ..knobs };
        let mut scratch = Scratch::default();
        for seeds in asked {
            let near = scaled(neighbours(&world, &knobs, &seeds));
            let mut voted = scaled(by_definition(&world, &knobs, &seeds));
            if share <= 0.0 {
                voted.clear();
            }
            // One view alone counts in full.
            let share = match (near.is_empty(), voted.is_empty()) {
                (true, _) => 1.0,
                (_, true) => 0.0,
                _ => f64::from(share),
            };
            let mut blend = Scores::new();
            for (scores, part) in [(near, 1.0 - share), (voted, share)] {
                for (film, score) in scores {
                    *blend.entry(film).or_default() += part * score;
                }
            }
            same(&predicted(&index, &knobs, &seeds, &mut scratch), &blend)?;
        }
    }

    #[test]
    fn the_best_are_the_first_of_all(world in town(), knobs in knobs(), seeds in seeds(), most in 0usize..8) {
        let index = Index::open(Arc::new(world.bytes())).unwrap();
        let mut scratch = Scratch::default();
        let keeps = |item: u32| !item.is_multiple_of(3);
        let mut all: Vec<Proposal> = predict(&index, &knobs, &seeds, &mut scratch)
            .filter(|row| keeps(row.item))
            .collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.item.cmp(&b.item)));
        all.truncate(most);
        let best = predict_best(&index, &knobs, &seeds, most, keeps, &mut scratch);
        prop_assert_eq!(best, &all[..]);
    }
}
