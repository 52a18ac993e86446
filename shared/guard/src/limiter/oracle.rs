//! The bucket beside governor's, which is another algorithm (GCRA) for the same promise.

use std::num::NonZeroU32;

use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use proptest::prelude::*;

use super::*;
use crate::ManualClock;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn governor_admits_exactly_what_the_bucket_admits(
        // Rates whose tokens take whole nanoseconds, so that neither has to round.
        rate in prop::sample::select(vec![1_u32, 2, 5, 8, 10, 20, 40, 50, 100, 125, 200, 250, 500, 1_000]),
        burst in 1_u32..100,
        steps in prop::collection::vec((0_u64..200, 1_u8..20), 1..80),
    ) {
        let theirs_clock = FakeRelativeClock::default();
        let (rate_n, burst_n) = (NonZeroU32::new(rate), NonZeroU32::new(burst));
        let quota = Quota::per_second(rate_n.expect("positive")).allow_burst(burst_n.expect("positive"));
        let theirs = RateLimiter::direct_with_clock(quota, theirs_clock.clone());
        let clock = Arc::new(ManualClock::default());
        let ours = Limiter::new(rate.into(), burst.into(), clock.clone());
        for (pause_ms, asks) in steps {
            let pause = Duration::from_millis(pause_ms);
            clock.advance(pause);
            theirs_clock.advance(pause);
            for _ in 0..asks {
                prop_assert_eq!(ours.take().is_ok(), theirs.check().is_ok());
            }
        }
    }
}
