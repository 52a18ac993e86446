//! What RELIABILITY.md promises at the level of one user and of one client network.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{ManualClock, RegionBreakerTuning, UserBreakerTuning};

const MS: Duration = Duration::from_millis(1);
const OPEN: Duration = Duration::from_secs(30);

fn users(keys_max: usize) -> (KeyedBreaker, Arc<ManualClock>) {
    breaker(UserBreakerTuning::default().into(), keys_max)
}

fn regions() -> (KeyedBreaker, Arc<ManualClock>) {
    breaker(RegionBreakerTuning::default().into(), 1_000)
}

fn breaker(tuning: KeyedBreakerTuning, keys_max: usize) -> (KeyedBreaker, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(1_700_000_000_000));
    (KeyedBreaker::new(tuning, keys_max, clock.clone()), clock)
}

fn report(breaker: &KeyedBreaker, key: u64, sample: Sample, times: usize) {
    (0..times).for_each(|_| breaker.report(key, sample));
}

#[test]
fn three_timeouts_in_a_row_open_for_one_user_alone_and_for_thirty_seconds() {
    for timeout in [Sample::Cut(60 * MS), Sample::Refused] {
        let (users, clock) = users(1_000);
        report(&users, 1, timeout, 2);
        report(&users, 1, Sample::Took(MS), 1);
        report(&users, 1, timeout, 2);
        assert_eq!(users.check(1), Ok(()));
        report(&users, 1, timeout, 1);
        assert_eq!(users.check(1), Err(Open { retry_after: OPEN }));
        assert_eq!((users.check(2), users.open(), users.keys()), (Ok(()), 1, 1));

        clock.advance(10 * Duration::from_secs(1));
        // Begun before, ended after.
        report(&users, 1, Sample::Took(MS), 1);
        let retry_after = Duration::from_secs(20);
        assert_eq!(users.check(1), Err(Open { retry_after }));
        clock.advance(retry_after);
        assert!(users.check(1).is_err());
        clock.advance(Duration::from_nanos(1));
        assert_eq!((users.check(1), users.open()), (Ok(()), 0));
        report(&users, 1, timeout, 2);
        assert_eq!(users.check(1), Ok(()), "from nothing");
        report(&users, 1, timeout, 1);
        assert!(users.check(1).is_err());
    }
}

#[test]
fn a_user_who_is_served_is_not_remembered() {
    let (users, _) = users(1_000);
    for key in 0..10_000 {
        users.report(key, Sample::Took(Duration::from_secs(9)));
    }
    assert_eq!(users.keys(), 0);
}

#[test]
fn a_mean_above_800_ms_over_100_samples_opens_for_one_network() {
    let cases = [
        ("800 ms are endured", 800, 100, false),
        ("801 ms are not", 801, 100, true),
        ("99 samples say nothing", 5_000, 99, false),
    ];
    for (what, ms, samples, opens) in cases {
        let (regions, _) = regions();
        report(&regions, 7, Sample::Took(ms * MS), samples);
        assert_eq!(regions.check(7).is_err(), opens, "{what}");
        assert_eq!(regions.check(8), Ok(()));
    }
}

#[test]
fn what_a_deadline_cut_is_not_taken_for_short() {
    let cases = [
        (
            "nothing ever answers, each is cut after 500 ms",
            0,
            100,
            true,
        ),
        ("every second one: 502 ms spent per answer", 50, 50, false),
        ("two of three: 1,002 ms spent per answer", 34, 68, true),
        ("one of a hundred", 99, 1, false),
    ];
    for (what, took, cut, opens) in cases {
        let (regions, _) = regions();
        report(&regions, 7, Sample::Took(2 * MS), took);
        report(&regions, 7, Sample::Cut(500 * MS), cut);
        assert_eq!(regions.check(7).is_err(), opens, "{what}");
    }
    let (regions, _) = regions();
    report(&regions, 7, Sample::Refused, 1_000);
    assert_eq!(regions.check(7), Ok(()), "a refusal has no time");
}

#[test]
fn a_window_begins_anew_after_five_minutes_and_a_row_goes_on() {
    let (regions, clock) = regions();
    report(&regions, 7, Sample::Took(Duration::from_secs(2)), 99);
    clock.advance(Duration::from_secs(300));
    report(&regions, 7, Sample::Took(Duration::from_secs(2)), 99);
    assert_eq!(regions.check(7), Ok(()));
    clock.advance(Duration::from_secs(299));
    report(&regions, 7, Sample::Took(Duration::from_secs(2)), 1);
    assert!(regions.check(7).is_err());

    let both = KeyedBreakerTuning {
        timeouts: 3,
        ..RegionBreakerTuning::default().into()
    };
    let (breaker, clock) = breaker(both, 8);
    report(&breaker, 1, Sample::Cut(MS), 2);
    clock.advance(Duration::from_secs(300));
    report(&breaker, 1, Sample::Cut(MS), 1);
    assert!(breaker.check(1).is_err());
}

#[test]
fn a_freeze_closes_it() {
    let (users, clock) = users(8);
    report(&users, 1, Sample::Refused, 3);
    assert!(users.check(1).is_err());
    clock.step_wall_ms(600_000);
    assert_eq!(users.check(1), Ok(()));
    clock.step_wall_ms(-1_200_000);
    assert!(
        users.check(1).is_err(),
        "set back, the monotonic clock says when"
    );
    clock.advance(OPEN + MS);
    assert_eq!(users.check(1), Ok(()));
}

#[test]
fn changed_tuning_holds_at_once() {
    let (users, clock) = users(8);
    report(&users, 1, Sample::Refused, 3);
    let quick = UserBreakerTuning {
        timeouts: 1,
        open_ms: 1_000,
    };
    clock.advance(Duration::from_secs(2));
    assert!(users.check(1).is_err());
    users.tune(quick.into());
    assert_eq!(users.check(1), Ok(()));
    users.report(2, Sample::Refused);
    assert!(users.check(2).is_err());
}

#[test]
fn a_crowd_does_not_displace_who_is_left_alone_and_the_table_is_bounded() {
    let (users, clock) = users(8);
    report(&users, 7, Sample::Refused, 3);
    report(&users, 6, Sample::Refused, 2);
    for key in 100..10_000 {
        users.report(key, Sample::Refused);
    }
    assert!(users.check(7).is_err());
    report(&users, 6, Sample::Refused, 1);
    assert!(users.check(6).is_err(), "two in a row outweigh one");
    assert_eq!(users.keys(), 8);
    clock.advance(OPEN + MS);
    for key in 100..200 {
        users.report(key, Sample::Refused);
    }
    report(&users, 7, Sample::Refused, 2);
    assert_eq!(users.check(7), Ok(()));
}

/// Every table of a process that reads and takes events in, with every place taken.
#[test]
fn a_hundred_thousand_users_and_networks_weigh_less_than_64_mib() {
    const KEYS: usize = 100_000;
    /// Networks that the way in for events remembers.
    const NETWORKS: usize = 65_536;
    let limiter = |keys: usize| {
        let limiter = crate::KeyedLimiter::new(20.0, 40.0, keys, Arc::new(ManualClock::default()));
        (0..keys as u64).for_each(|key| assert!(limiter.take(key).is_ok()));
        assert_eq!(limiter.keys(), keys);
        assert!(limiter.bytes() <= crate::KeyedLimiter::bytes_max(keys));
        limiter.bytes()
    };
    let breaker = |tuning: KeyedBreakerTuning| {
        let (breaker, _) = breaker(tuning, KEYS);
        (0..KEYS as u64).for_each(|key| breaker.report(key, Sample::Cut(MS)));
        assert_eq!(breaker.keys(), KEYS);
        assert!(breaker.bytes() <= KeyedBreaker::bytes_max(KEYS));
        breaker.bytes()
    };
    // Reads: users and networks; events: users and networks; breakers: users and networks.
    let limits = 3 * limiter(KEYS) + limiter(NETWORKS);
    let breakers = breaker(UserBreakerTuning::default().into())
        + breaker(RegionBreakerTuning::default().into());
    assert!(limits > 3 * KEYS * 32 && breakers > 2 * KEYS * 32);
    let bytes = limits + breakers;
    assert!(bytes < 64 << 20, "{bytes}");
    println!(
        "shown: limits and breakers of 100,000 users and as many networks, for reads and events: {} KiB",
        bytes >> 10
    );
}

#[test]
fn what_is_least_to_remember_is_forgotten_first() {
    let both = KeyedBreakerTuning {
        timeouts: 3,
        ..RegionBreakerTuning::default().into()
    };
    let (breaker, clock) = breaker(both, 8);
    report(&breaker, 1, Sample::Refused, 3);
    clock.advance(OPEN + MS);
    // What was open and is over, then few calls, then many, then any row of timeouts.
    report(&breaker, 2, Sample::Took(MS), 2);
    report(&breaker, 3, Sample::Took(MS), 9);
    report(&breaker, 4, Sample::Refused, 1);
    for key in 5..9 {
        report(&breaker, key, Sample::Refused, 2);
    }
    let held = |key| {
        let mut set = breaker.table.set(key).unwrap();
        set.held(key).is_some()
    };
    for (new, forgotten) in [(11, 1), (12, 2), (13, 3), (14, 4)] {
        assert!(held(forgotten), "{forgotten}");
        report(&breaker, new, Sample::Refused, 2);
        assert!(!held(forgotten) && held(new), "{forgotten}");
    }
}

/// Forty lines that are too simple to be wrong: everything that ever happened, looked at anew.
#[derive(Default)]
struct Reference {
    seen: Vec<(u64, Sample)>,
    opened: Option<u64>,
    from: u64,
}

impl Reference {
    fn is_open(&self, now: u64) -> bool {
        self.opened.is_some_and(|at| now - at <= 500)
    }

    fn report(&mut self, sample: Sample, now: u64) {
        if self.is_open(now) {
            return;
        }
        if self.opened.take().is_some() || self.seen.is_empty() {
            (self.seen, self.from) = (Vec::new(), now);
        }
        if now - self.from >= 3_000 {
            self.from = now;
        }
        self.seen.push((now, sample));
        let failed = |(_, sample): &&(u64, Sample)| !matches!(sample, Sample::Took(_));
        let row = self.seen.iter().rev().take_while(failed).count();
        let (mut spent, mut took, mut samples) = (0, 0, 0);
        for (at, sample) in &self.seen {
            if let (Sample::Took(time) | Sample::Cut(time), true) = (sample, *at >= self.from) {
                spent += time.as_millis();
                took += u128::from(matches!(sample, Sample::Took(_)));
                samples += 1;
            }
        }
        if row >= 4 || (samples >= 5 && spent > 100 * took) {
            self.opened = Some(now);
        }
    }
}

fn samples() -> impl Strategy<Value = Vec<(u64, Sample, u64)>> {
    let sample = prop_oneof![
        4 => (0_u32..250).prop_map(|ms| Sample::Took(ms * MS)),
        3 => (0_u32..250).prop_map(|ms| Sample::Cut(ms * MS)),
        1 => Just(Sample::Refused),
    ];
    let pause = prop_oneof![6 => 1_u64..80, 1 => 400_u64..3_200];
    prop::collection::vec((0_u64..2, sample, pause), 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn it_does_what_the_reference_does(samples in samples()) {
        let tuning = KeyedBreakerTuning {
            timeouts: 4,
            mean_ms_max: 100,
            samples_min: 5,
            window_ms: 3_000,
            open_ms: 500,
        };
        let (breaker, clock) = breaker(tuning, 8);
        let mut references = HashMap::<u64, Reference>::new();
        let mut now = 0;
        for (key, sample, pause) in samples {
            breaker.report(key, sample);
            references.entry(key).or_default().report(sample, now);
            clock.advance(Duration::from_millis(pause));
            now += pause;
            for (key, reference) in &references {
                prop_assert_eq!(breaker.check(*key).is_err(), reference.is_open(now));
            }
        }
    }
}
