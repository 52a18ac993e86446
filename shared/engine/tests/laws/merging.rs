//! What holds for merging, ordering and arranging.

use std::collections::{BTreeMap, BTreeSet};

use engine::index::format::NONE;
use engine::pipeline::merge::{Share, merge};
use engine::pipeline::{Candidate, Prepared};
use engine::reranker::{DiversityReranker, Reranker};
use engine::source::Proposal;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::wish::wish;
use crate::world::world;

fn score() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => 0.0f32..100.0,
        1 => Just(f32::NAN),
        1 => Just(f32::INFINITY),
        1 => Just(-1.0f32),
    ]
}

fn shares() -> impl Strategy<Value = Vec<Share>> {
    let share = (
        btree_map(0u32..50, score(), 0..30),
        0.01f32..1.0,
        any::<bool>(),
    );
    vec(share, 0..6).prop_map(|all| {
        let share =
            |(source, (found, weight, personal)): (usize, (BTreeMap<u32, f32>, f32, bool))| {
                let proposal = |(item, score)| Proposal {
                    item,
                    score,
                    because: NONE,
                };
                let proposals = found.into_iter().map(proposal).collect();
                Share {
                    source,
                    weight,
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
    #![proptest_config(ProptestConfig::with_cases(1_500))]

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
    fn diversity_is_a_permutation(world in world(), wish in wish(), scores in vec(score(), 40)) {
        let query = world.query(&wish);
        let asked = Prepared::new(&query);
        let mut given: Vec<Candidate> =
            (0u32..).zip(&scores).map(|(item, score)| candidate(item, *score)).collect();
        given.sort_unstable_by(Candidate::by_score);
        let arranged = DiversityReranker.rerank(&asked, given.clone());
        let ids = |all: &[Candidate]| all.iter().map(|one| one.item).collect::<BTreeSet<_>>();
        prop_assert_eq!(arranged.len(), given.len());
        prop_assert_eq!(ids(&arranged), ids(&given));
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
