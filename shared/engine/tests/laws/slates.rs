//! What holds for every slate.

use std::collections::BTreeSet;

use engine::Pipeline;
use futures_util::FutureExt;
use proptest::prelude::*;

use crate::wish::wish;
use crate::world::{name, world};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// One property, because making a world costs more than asking it everything.
    #[test]
    fn slates_hold_what_may_be_shown_once_and_as_many_as_asked(world in world(), wish in wish()) {
        let query = world.query(&wish);
        // Ready at the first poll: the built-in stages need no runtime.
        let ranked = Pipeline::standard().run(&query).now_or_never().unwrap();
        let shown: Vec<_> = ranked.items.iter().map(|item| item.video_id.clone()).collect();
        let distinct: BTreeSet<_> = shown.iter().cloned().collect();
        let eligible: BTreeSet<_> = world.eligible(&wish).into_iter().map(name).collect();

        prop_assert_eq!(distinct.len(), shown.len(), "a video stands twice");
        let wrong: Vec<_> = distinct.difference(&eligible).collect();
        prop_assert!(wrong.is_empty(), "{:?} must not be shown", wrong);
        prop_assert_eq!(shown.len(), wish.wanted.min(eligible.len()), "too few");
        let short = shown.len() < wish.wanted;
        prop_assert_eq!(ranked.degraded.iter().any(|cause| cause == "size_not_enough"), short);
        prop_assert_eq!(ranked.degraded.len(), usize::from(short), "{:?}", ranked.degraded);
        prop_assert_eq!(ranked.explained.len(), shown.len());
        prop_assert!(ranked.items.iter().all(|item| !item.sources.is_empty()));
        prop_assert!(ranked.items.iter().all(|item| item.score.is_finite()));
    }
}
