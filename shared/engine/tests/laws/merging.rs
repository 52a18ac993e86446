//! What holds for merging, ordering and arranging.

use std::collections::{BTreeMap, BTreeSet};

use engine::index::format::NONE;
use engine::pipeline::merge::{Share, merge};
use engine::pipeline::{Candidate, Prepared};
use engine::reranker::{DiversityReranker, ExploreReranker, FreshReranker, MmrReranker, Reranker};
use engine::source::Proposal;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::wish::wish;
use crate::world::world;

fn score() -> impl Strategy<Value = f32> {
    (0..11, 0.0f32..100.0).prop_map(|(kind, score)| match kind {
        ..8 => score,
        8 => f32::NAN,
        9 => f32::INFINITY,
        _ => -1.0,
    })
}

/// Scores, weight, worth, whether personal.
type Found = (BTreeMap<u32, f32>, f32, f32, bool);

fn shares() -> impl Strategy<Value = Vec<Share>> {
    let share = (
        btree_map(0u32..50, score(), 0..30),
        0.01f32..1.0,
        0.001f32..1.0,
        any::<bool>(),
    );
    vec(share, 0..6).prop_map(|all| {
        let share = |(source, (found, weight, worth, personal)): (usize, Found)| {
            let proposal = |(item, score)| Proposal {
                item,
                score,
                because: NONE,
            };
            let proposals = found.into_iter().map(proposal).collect();
            Share {
                source,
                weight,
                worth,
                personal,
                proposals,
            }
        };
        all.into_iter().enumerate().map(share).collect()
    })
}

fn candidate(item: u32, score: f32) -> Candidate {
    Candidate {
        score,
        ..Candidate::new(item)
    }
}

proptest! {
    #![proptest_config(crate::tries(1_500))]

    #[test]
    fn merging_loses_no_video_and_no_source(shares in shares()) {
        let merged = merge(&shares);
        let items: BTreeSet<u32> = merged.iter().map(|candidate| candidate.item).collect();
        prop_assert_eq!(items.len(), merged.len(), "a video stands twice");
        for share in &shares {
            for proposal in &share.proposals {
                let own = merged.iter().find(|candidate| candidate.item == proposal.item);
                prop_assert!(own.is_some_and(|own| own.from_source(share.source)));
            }
        }
        let proposed = shares.iter().flat_map(|share| &share.proposals).count();
        let kept: u32 = merged.iter().map(|candidate| candidate.sources.count_ones()).sum();
        prop_assert_eq!(kept as usize, proposed);
        for candidate in &merged {
            let sum: f32 = candidate.parts.iter().sum();
            prop_assert!((sum - candidate.merged).abs() < 1e-5);
            prop_assert!((0.0..=1.0001).contains(&candidate.merged), "{}", candidate.merged);
            let most = candidate.parts.iter().copied().fold(0.0, f32::max);
            prop_assert_eq!(candidate.parts[usize::from(candidate.strongest)], most);
        }
    }

    #[test]
    fn weights_count_among_the_sources_that_brought_something(shares in shares()) {
        let mut with_idle = shares.clone();
        with_idle.push(Share { source: 7, weight: 0.9, ..Share::default() });
        prop_assert_eq!(merge(&shares), merge(&with_idle));
    }

    /// Whatever scale a source speaks in, it is heard as what it is worth.
    #[test]
    fn the_scale_of_a_source_does_not_matter(
        found in btree_map(0u32..50, 0.1f32..100.0, 1..30),
        scale in 0.001f32..1_000.0,
        worth in 0.001f32..0.05,
    ) {
        let share = |scale: f32| Share {
            weight: 1.0,
            worth,
            proposals: found
                .iter()
                .map(|(item, score)| Proposal { item: *item, score: score * scale, because: NONE })
                .collect(),
            ..Share::default()
        };
        let (one, other) = (merge(&[share(1.0)]), merge(&[share(scale)]));
        for (one, other) in one.iter().zip(&other) {
            prop_assert!((one.merged - other.merged).abs() <= 1e-4 * one.merged);
        }
        let mut first: Vec<f32> = one.iter().map(|one| one.merged).collect();
        first.sort_unstable_by(|a, b| b.total_cmp(a));
        first.truncate(20);
        let mean = first.iter().sum::<f32>() / first.len() as f32;
        prop_assert!((mean - worth).abs() <= 1e-3 * worth, "{mean} for a worth of {worth}");
    }

    #[test]
    fn order_is_total_even_without_numbers(
        scores in vec(prop_oneof![score(), Just(0.0f32), Just(-0.0f32)], 3),
        ids in vec(0u32..3, 3),
    ) {
        let all: Vec<Candidate> =
            ids.iter().zip(&scores).map(|(id, score)| candidate(*id, *score)).collect();
        let (a, b, c) = (&all[0], &all[1], &all[2]);
        prop_assert_eq!(a.by_score(b), b.by_score(a).reverse());
        if a.by_score(b).is_le() && b.by_score(c).is_le() {
            prop_assert!(a.by_score(c).is_le());
        }
        if a.score.is_nan() && !b.score.is_nan() && b.score > f32::NEG_INFINITY {
            prop_assert!(a.by_score(b).is_gt(), "what is no number comes last");
        }
    }

    #[test]
    fn rerankers_are_permutations(world in world(), wish in wish(), scores in vec(score(), 40)) {
        let query = world.query(&wish);
        let asked = Prepared::new(&query);
        let mut given: Vec<Candidate> =
            (0u32..).zip(&scores).map(|(item, score)| candidate(item, *score)).collect();
        given.sort_unstable_by(Candidate::by_score);
        let ids = |all: &[Candidate]| all.iter().map(|one| one.item).collect::<BTreeSet<_>>();
        let rerankers: [&dyn Reranker; 4] =
            [&MmrReranker, &FreshReranker, &DiversityReranker, &ExploreReranker];
        for reranker in rerankers {
            let arranged = reranker.rerank(&asked, given.clone());
            prop_assert_eq!(arranged.len(), given.len(), "{}", reranker.name());
            prop_assert_eq!(ids(&arranged), ids(&given), "{}", reranker.name());
            let chances = || arranged.iter().map(|one| one.propensity);
            prop_assert!(chances().all(|chance| chance > 0.0 && chance <= 1.0));
            let random = reranker.name() == "rerank.explore";
            prop_assert!(random || chances().all(|chance| chance == 1.0), "{}", reranker.name());
        }
    }

    /// New videos are moved up to their share and no further; the others keep their order.
    #[test]
    fn new_videos_get_their_share_and_no_more(
        qualities in vec(0.0f32..1.0, 40),
        share in 0.05f32..0.5,
    ) {
        let film = |quality: &f32| crate::world::Film {
            creator: None,
            categories: BTreeSet::new(),
            markets: BTreeSet::new(),
            hidden: false,
            from_ms: i64::MIN,
            until_ms: i64::MAX,
            quality: *quality,
            links: Vec::new(),
        };
        let films: Vec<_> = qualities.iter().map(film).collect();
        let world = crate::world::World { films, sessions: Vec::new(), trending: Vec::new() };
        let mut wish = crate::wish::quiet();
        (wish.wanted, wish.arranging.1) = (40, share);
        let query = world.query(&wish);
        let asked = Prepared::new(&query);
        let given: Vec<Candidate> = (0..40).map(|n| candidate(n, 1.0 - n as f32 / 100.0)).collect();
        let arranged = FreshReranker.rerank(&asked, given);
        let is_new = |one: &Candidate| qualities[one.item as usize] > 0.5;
        for kind in [true, false] {
            let own: Vec<u32> =
                arranged.iter().filter(|one| is_new(one) == kind).map(|one| one.item).collect();
            prop_assert!(own.is_sorted(), "{own:?}");
        }
        let stretch = (1.0 / share).ceil() as usize;
        let new = arranged.iter().filter(|one| is_new(one)).count();
        let mut seen = 0;
        for (place, one) in arranged.iter().enumerate() {
            let moved = is_new(one) && (one.item as usize) > place;
            seen += usize::from(is_new(one));
            if moved {
                let before = &arranged[place.saturating_sub(stretch - 1)..place];
                prop_assert!(before.len() == stretch - 1 && !before.iter().any(is_new), "{place}");
            }
            let due = place + 1 >= stretch && seen < new;
            let window = &arranged[(place + 1).saturating_sub(stretch)..=place];
            prop_assert!(!due || window.iter().any(is_new), "nothing new up to {place}");
        }
    }

    #[test]
    fn no_window_has_too_much_of_one_creator_where_there_is_choice(wish in wish()) {
        // Three creators and a cap of at least 1 in a window of at most 3: always satisfiable.
        let mut wish = wish;
        wish.caps.2 = wish.caps.2.min(3);
        wish.wanted = 12;
        let film = |creator| crate::world::Film {
            creator: Some(creator),
            categories: BTreeSet::new(),
            markets: BTreeSet::new(),
            hidden: false,
            from_ms: i64::MIN,
            until_ms: i64::MAX,
            quality: 0.5,
            links: Vec::new(),
        };
        let films = (0..30).map(|n| film(n / 10)).collect();
        let world = crate::world::World { films, sessions: Vec::new(), trending: Vec::new() };
        let query = world.query(&wish);
        let asked = Prepared::new(&query);
        let given: Vec<Candidate> = (0..30).map(|n| candidate(n, 1.0 - n as f32 / 100.0)).collect();
        let arranged = DiversityReranker.rerank(&asked, given);
        let (cap, _, window) = wish.caps;
        for neighbours in arranged[..wish.wanted].windows(window as usize) {
            for creator in 0..3 {
                let same = neighbours.iter().filter(|one| one.item / 10 == creator).count();
                prop_assert!(same <= cap as usize, "{neighbours:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// What is logged is what happens: over many seeds each video gets its place as often as said.
    #[test]
    fn propensities_are_true(chance in 0.05f32..0.2, pool in 2u32..6) {
        const ROUNDS: u64 = 4_000;
        let films = (0..8).map(|_| crate::world::Film {
            creator: None,
            categories: BTreeSet::new(),
            markets: BTreeSet::new(),
            hidden: false,
            from_ms: i64::MIN,
            until_ms: i64::MAX,
            quality: 0.5,
            links: Vec::new(),
        });
        let world =
            crate::world::World { films: films.collect(), sessions: Vec::new(), trending: Vec::new() };
        let mut wish = crate::wish::quiet();
        (wish.wanted, wish.arranging) = (3, (0.0, 0.0, chance, pool));
        let mut query = world.query(&wish);
        let mut first = BTreeMap::<u32, (u64, f32)>::new();
        for seed in 0..ROUNDS {
            query.seed = seed;
            let asked = Prepared::new(&query);
            let given: Vec<Candidate> = (0..8).map(|n| candidate(n, 1.0 - n as f32 / 10.0)).collect();
            let arranged = ExploreReranker.rerank(&asked, given);
            let own = first.entry(arranged[0].item).or_insert((0, arranged[0].propensity));
            own.0 += 1;
            prop_assert_eq!(own.1, arranged[0].propensity);
            prop_assert_eq!(arranged[3].propensity, 1.0, "beyond what was asked for");
        }
        for (item, (times, said)) in first {
            let seen = times as f32 / ROUNDS as f32;
            let error = (said * (1.0 - said) / ROUNDS as f32).sqrt();
            prop_assert!((seen - said).abs() < 6.0 * error, "{item}: {seen} for {said}");
        }
    }
}
