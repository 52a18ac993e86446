//! Rerankers do what their definitions say, told the slow way.

use engine::index::format::NONE;
use engine::pipeline::candidate::sorted;
use engine::pipeline::{Candidate, Prepared};
use engine::reranker::{DiversityReranker, MmrReranker, Reranker};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::wish::wish;
use crate::world::world;

/// Candidates that a reranker looks at for one place.
const LOOKED_AT: usize = 200;
/// Candidates that are arranged by likeness.
const ARRANGED: usize = 60;

/// Candidates best first; `merged` tells them apart, for videos may stand several times.
fn line(items: &[u32]) -> Vec<Candidate> {
    let candidate = |(place, item): (usize, &u32)| Candidate {
        score: 1.0 - place as f32 / 1_000.0,
        merged: place as f32,
        ..Candidate::new(*item)
    };
    items.iter().enumerate().map(candidate).collect()
}

fn places(all: &[Candidate]) -> Vec<usize> {
    all.iter().map(|one| one.merged as usize).collect()
}

fn creator(asked: &Prepared<'_>, one: &Candidate) -> u32 {
    let row = asked.items.get(one.item as usize);
    row.map_or(NONE, |row| row.creator.get())
}

fn categories(asked: &Prepared<'_>, one: &Candidate) -> Vec<u32> {
    let own = asked.index.item_categories().row(one.item);
    own.iter().map(|category| category.get()).collect()
}

/// For each place the best left that keeps both caps, or the best left.
fn diverse(asked: &Prepared<'_>, mut left: Vec<Candidate>) -> Vec<Candidate> {
    let scene = &asked.scene;
    let window = scene.diversity_window as usize - 1;
    let mut taken: Vec<Candidate> = Vec::new();
    while taken.len() < asked.query.wanted && !left.is_empty() {
        let before = &taken[taken.len().saturating_sub(window)..];
        let has_room = |one: &Candidate| {
            let own = creator(asked, one);
            let alike = before.iter().filter(|other| creator(asked, other) == own);
            let by_creator = own == NONE || alike.count() < scene.creator_max as usize;
            by_creator
                && categories(asked, one).iter().all(|own| {
                    let alike = before
                        .iter()
                        .filter(|other| categories(asked, other).contains(own));
                    alike.count() < scene.category_max as usize
                })
        };
        let fits = left.iter().take(LOOKED_AT).position(has_room);
        taken.push(left.remove(fits.unwrap_or(0)));
    }
    taken.extend(left);
    taken
}

/// For each place the candidate whose score, less what its likeness to any before takes, is highest.
fn unlike(asked: &Prepared<'_>, mut left: Vec<Candidate>) -> Vec<Candidate> {
    let rest = left.split_off(left.len().min(ARRANGED));
    let likeness = |one: &Candidate, other: &Candidate| {
        let same = creator(asked, one) != NONE && creator(asked, one) == creator(asked, other);
        let (own, others) = (categories(asked, one), categories(asked, other));
        let shared = own.iter().filter(|own| others.contains(own)).count();
        let either = (own.len() + others.len() - shared).max(1);
        0.5 * f32::from(u8::from(same)) + 0.5 * (shared as f32 / either as f32)
    };
    let all = left.clone();
    let row = |one| all.iter().map(|other| likeness(one, other)).collect();
    let rows: Vec<Vec<f32>> = all.iter().map(row).collect();
    let mut taken: Vec<Candidate> = Vec::new();
    while taken.len() < asked.query.wanted && !left.is_empty() {
        let value = |one: &Candidate| {
            let row = &rows[one.merged as usize];
            let alike = taken.iter().map(|other| row[other.merged as usize]);
            one.score - asked.scene.mmr_weight * alike.fold(0.0, f32::max) * one.score.abs()
        };
        let mut best = 0;
        for place in 1..left.len() {
            if value(&left[place]) > value(&left[best]) {
                best = place;
            }
        }
        taken.push(left.remove(best));
    }
    taken.extend(left);
    taken.extend(rest);
    taken
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_place_goes_to_the_best_that_keeps_both_caps(
        world in world(),
        mut wish in wish(),
        items in vec(0u32..26, 0..320),
        wanted in 0usize..120,
    ) {
        wish.wanted = wanted;
        let query = world.query(&wish);
        let asked = Prepared::new(&query);
        let given = line(&items);
        let arranged = DiversityReranker.rerank(&asked, given.clone());
        prop_assert_eq!(places(&arranged), places(&diverse(&asked, given)));
    }

    #[test]
    fn each_place_goes_to_the_best_less_its_likeness(
        world in world(),
        mut wish in wish(),
        items in vec(0u32..26, 0..90),
        wanted in 0usize..80,
    ) {
        wish.wanted = wanted;
        let query = world.query(&wish);
        let asked = Prepared::new(&query);
        let given = line(&items);
        let arranged = MmrReranker.rerank(&asked, given.clone());
        prop_assert_eq!(places(&arranged), places(&unlike(&asked, given)));
    }

    #[test]
    fn sorting_orders_as_comparing_does(
        scores in vec(prop_oneof![(-3i8..3).prop_map(f32::from), Just(f32::NAN), Just(-0.0f32)], 0..60),
        seed in any::<u32>(),
    ) {
        let candidate = |(n, score): (u32, &f32)| Candidate {
            score: *score,
            ..Candidate::new(n.wrapping_mul(7).wrapping_add(seed) % 100)
        };
        let given: Vec<Candidate> = (0..).zip(&scores).map(candidate).collect();
        let mut compared = given.clone();
        compared.sort_by(Candidate::by_score);
        let items = |all: &[Candidate]| all.iter().map(|one| one.item).collect::<Vec<_>>();
        prop_assert_eq!(items(&sorted(&given)), items(&compared));
    }
}
