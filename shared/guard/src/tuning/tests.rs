use super::*;

#[test]
fn the_defaults_may_be_applied() {
    assert_eq!(GuardTuning::default().problems(), Vec::<String>::new());
}

#[test]
fn every_value_out_of_bounds_is_named_at_once() {
    let mut tuning = GuardTuning::default();
    tuning.breaker.failure_share_max = f64::NAN;
    tuning.breaker.half_open_max = 0;
    tuning.redis_breaker.consecutive_failures_max = 0;
    tuning.redis_breaker.open_ms = 99;
    tuning.redis_breaker.window_ms = 3_600_001;
    tuning.user_breaker.timeouts = 1_001;
    tuning.lag.target_ms = 0;
    tuning.lag.interval_ms = 60_001;
    tuning.shedder.full_ms = 1;
    tuning.limits.interface.per_second = -1.0;
    tuning.limits.region.burst = f64::INFINITY;
    tuning.limits.vip = vec![String::new(); VIP_MAX + 1];
    let expected = [
        "breaker.failure_share_max is not 0.01 to 1",
        "breaker.half_open_max is not 1 to 10000",
        "redis_breaker.consecutive_failures_max is not 1 to 1000",
        "redis_breaker.window_ms is not 3000 to 3600000",
        "redis_breaker.open_ms is not 100 to 600000",
        "user_breaker.timeouts is not 1 to 1000",
        "lag.target_ms is not 1 to 10000",
        "lag.interval_ms is not 1 to 60000",
        "shedder.full_ms is not 2 to 60000",
        "limits.interface.per_second is not 0.01 to 1000000",
        "limits.region.burst is not 1 to 1000000",
        "limits.vip names more than 1000 users",
    ];
    assert_eq!(tuning.problems(), expected);
}

#[test]
fn a_bound_itself_is_inside() {
    let mut tuning = GuardTuning::default();
    tuning.breaker.consecutive_failures_max = 1_000;
    tuning.breaker.failure_share_max = 0.01;
    tuning.limits.user_share_alone = 1.0;
    tuning.limits.vip = vec![String::new(); VIP_MAX];
    tuning.limits.vip_share = 0.0;
    assert_eq!(tuning.problems(), Vec::<String>::new());
    tuning.limits.user_share_alone = 0.0;
    tuning.limits.vip_share = 0.91;
    assert_eq!(tuning.problems().len(), 2);
}

#[test]
fn rates_are_cut_to_what_arithmetic_can_bear() {
    let sane = |per_second, burst| {
        let Rate { per_second, burst } = Rate { per_second, burst }.sane();
        (per_second, burst)
    };
    assert_eq!(sane(20.0, 40.0), (20.0, 40.0));
    assert_eq!(sane(0.0, 0.0), (0.01, 1.0));
    assert_eq!(sane(f64::NAN, f64::NAN), (0.01, 1.0));
    assert_eq!(sane(f64::INFINITY, 1e9), (1e6, 1e6));
}
