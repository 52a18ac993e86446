//! What RELIABILITY.md promises of the breaker, with its numbers.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::{ManualClock, Tasks};

const OPEN: Duration = Duration::from_secs(30);

fn breaker() -> (Breaker, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(1_700_000_000_000));
    (
        Breaker::new("ranker", BreakerTuning::default(), clock.clone()),
        clock,
    )
}

fn report(breaker: &Breaker, outcome: Outcome, times: usize) {
    for _ in 0..times {
        breaker.acquire().expect("let through").report(outcome);
    }
}

fn opened() -> (Breaker, Arc<ManualClock>) {
    let (breaker, clock) = breaker();
    report(&breaker, Outcome::Failure, 6);
    assert_eq!(breaker.state(), BreakerState::Open);
    (breaker, clock)
}

fn half_open() -> (Breaker, Arc<ManualClock>) {
    let (breaker, clock) = opened();
    clock.advance(OPEN + Duration::from_nanos(1));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    (breaker, clock)
}

#[test]
fn five_failures_in_a_row_are_endured_and_a_sixth_opens() {
    for failure in [Outcome::Failure, Outcome::Timeout] {
        let (breaker, _) = breaker();
        report(&breaker, failure, 5);
        report(&breaker, Outcome::Success, 1);
        report(&breaker, failure, 5);
        assert_eq!(breaker.state(), BreakerState::Closed);
        report(&breaker, failure, 1);
        assert_eq!(breaker.state(), BreakerState::Open);
    }
}

#[test]
fn it_says_in_a_word_where_it_stands_and_how_often_it_opened() {
    let words = [
        BreakerState::Closed,
        BreakerState::HalfOpen,
        BreakerState::Open,
    ];
    assert_eq!(
        words.map(BreakerState::as_str),
        ["closed", "half_open", "open"]
    );
    let (breaker, _) = half_open();
    assert_eq!((breaker.name(), breaker.counts().opened), ("ranker", 1));
    report(&breaker, Outcome::Failure, 1);
    assert_eq!(breaker.counts().opened, 2);
}

#[test]
fn while_open_a_thousand_calls_reach_nothing_and_count_nothing() {
    let (breaker, clock) = opened();
    clock.advance(Duration::from_secs(10));
    let before = breaker.counts();
    for _ in 0..1_000 {
        let refused = breaker.acquire().expect_err("open");
        assert_eq!(refused.retry_after, Duration::from_secs(20));
    }
    assert_eq!(
        breaker.counts(),
        Counts {
            refused: 1_000,
            ..before
        }
    );
}

#[test]
fn it_is_half_open_a_nanosecond_after_thirty_seconds_and_not_before() {
    let (breaker, clock) = opened();
    clock.advance(Duration::from_millis(29_999));
    assert_eq!(breaker.state(), BreakerState::Open);
    clock.advance(Duration::from_millis(1));
    assert_eq!(breaker.state(), BreakerState::Open);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn of_three_hundred_concurrent_probes_a_hundred_are_admitted() {
    let (breaker, _) = half_open();
    let probes: Vec<_> = (0..300).map(|_| breaker.acquire()).collect();
    assert_eq!(probes.iter().filter(|probe| probe.is_ok()).count(), 100);
}

#[test]
fn a_hundred_successes_close_and_one_failure_among_them_opens() {
    let (breaker, _) = half_open();
    report(&breaker, Outcome::Success, 99);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    report(&breaker, Outcome::Success, 1);
    assert_eq!(breaker.state(), BreakerState::Closed);

    for failure in [Outcome::Failure, Outcome::Timeout] {
        let (breaker, _) = half_open();
        report(&breaker, Outcome::Success, 99);
        report(&breaker, failure, 1);
        assert_eq!(breaker.state(), BreakerState::Open);
    }
}

#[test]
fn probes_that_are_excluded_or_dropped_give_their_slot_back() {
    let (breaker, _) = half_open();
    let probes: Vec<_> = (0..100)
        .map(|_| breaker.acquire().expect("a slot"))
        .collect();
    assert!(breaker.acquire().is_err());
    for (n, probe) in probes.into_iter().enumerate() {
        if n % 2 == 0 {
            probe.report(Outcome::Excluded)
        } else {
            drop(probe)
        }
    }
    assert_eq!(breaker.counts().probes, 0);
    assert!(breaker.acquire().is_ok(), "the 101st");
}

#[test]
fn a_hundred_hanging_probes_open_it_again_after_thirty_seconds() {
    let (breaker, clock) = half_open();
    let hanging: Vec<_> = (0..100)
        .map(|_| breaker.acquire().expect("a slot"))
        .collect();
    clock.advance(Duration::from_millis(29_999));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    clock.advance(Duration::from_millis(1));
    assert_eq!(breaker.state(), BreakerState::Open);

    clock.advance(OPEN + Duration::from_nanos(1));
    let before = breaker.counts();
    for probe in hanging {
        probe.report(Outcome::Success);
    }
    assert_eq!(
        breaker.counts(),
        before,
        "answers of an older generation change nothing"
    );
}

#[test]
fn a_quiet_service_stays_half_open_however_long_it_takes() {
    let (breaker, clock) = half_open();
    for _ in 0..100 {
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        clock.advance(Duration::from_secs(3_600));
        report(&breaker, Outcome::Success, 1);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_call_begun_closed_and_finished_half_open_changes_nothing() {
    for late in [
        Outcome::Success,
        Outcome::Failure,
        Outcome::Timeout,
        Outcome::Excluded,
    ] {
        let (breaker, clock) = breaker();
        let begun_closed = breaker.acquire().expect("closed");
        report(&breaker, Outcome::Failure, 6);
        clock.advance(OPEN + Duration::from_nanos(1));
        let _probe = breaker.acquire().expect("half-open");
        let before = breaker.counts();
        begun_closed.report(late);
        assert_eq!(breaker.counts(), before);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }
}

#[test]
fn thirty_failures_of_a_hundred_are_endured_and_thirty_one_of_a_hundred_and_one_open() {
    let (breaker, _) = breaker();
    for _ in 0..30 {
        report(&breaker, Outcome::Failure, 1);
        report(&breaker, Outcome::Success, 2);
    }
    report(&breaker, Outcome::Success, 10);
    let Counts {
        calls, failures, ..
    } = breaker.counts();
    assert_eq!(
        (calls, failures, breaker.state()),
        (100, 30, BreakerState::Closed)
    );
    report(&breaker, Outcome::Failure, 1);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn a_share_over_fewer_than_a_hundred_calls_means_nothing() {
    let (breaker, _) = breaker();
    for _ in 0..19 {
        report(&breaker, Outcome::Failure, 4);
        report(&breaker, Outcome::Success, 1);
    }
    report(&breaker, Outcome::Failure, 4);
    assert_eq!(breaker.counts().calls, 99);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn excluded_calls_neither_count_nor_interrupt_a_row_of_failures() {
    let (breaker, _) = breaker();
    report(&breaker, Outcome::Failure, 5);
    report(&breaker, Outcome::Excluded, 1_000);
    assert_eq!(breaker.counts().calls, 5);
    report(&breaker, Outcome::Failure, 1);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn failures_older_than_the_window_are_forgotten() {
    let (breaker, clock) = breaker();
    for _ in 0..30 {
        report(&breaker, Outcome::Failure, 1);
        report(&breaker, Outcome::Success, 1);
    }
    clock.advance(Duration::from_secs(300));
    report(&breaker, Outcome::Success, 39);
    report(&breaker, Outcome::Failure, 1);
    let Counts {
        calls, failures, ..
    } = breaker.counts();
    assert_eq!(
        (calls, failures, breaker.state()),
        (40, 1, BreakerState::Closed)
    );
}

#[test]
fn after_a_freeze_the_next_call_is_a_probe() {
    let (breaker, clock) = opened();
    clock.step_wall_ms(600_000);
    assert!(breaker.acquire().is_ok());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn a_wall_clock_set_back_does_not_keep_it_open() {
    let (breaker, clock) = opened();
    clock.step_wall_ms(-3_600_000);
    clock.advance(OPEN + Duration::from_nanos(1));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn a_freeze_is_not_a_probe_that_hangs() {
    let (breaker, clock) = half_open();
    let probe = breaker.acquire().expect("a slot");
    clock.step_wall_ms(600_000);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    probe.report(Outcome::Success);
    assert_eq!(breaker.counts().probes_succeeded, 1);
}

#[test]
fn new_tuning_applies_at_once_and_keeps_what_was_seen() {
    let (breaker, _) = breaker();
    report(&breaker, Outcome::Failure, 3);
    breaker.tune(BreakerTuning {
        consecutive_failures_max: 3,
        ..BreakerTuning::default()
    });
    assert_eq!(breaker.state(), BreakerState::Closed);
    report(&breaker, Outcome::Failure, 1);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_tasks_of_ten_thousand_calls_are_counted_exactly() {
    let clock = Arc::new(ManualClock::default());
    let tuning = BreakerTuning {
        consecutive_failures_max: u32::MAX,
        failure_share_max: 1.0,
        ..BreakerTuning::default()
    };
    let breaker = Breaker::new("ranker", tuning, clock);
    let tasks = Tasks::new();
    for _ in 0..10 {
        let breaker = breaker.clone();
        tasks.spawn(async move {
            for n in 0..10_000 {
                let outcome = if n % 4 == 0 {
                    Outcome::Failure
                } else {
                    Outcome::Success
                };
                breaker.acquire().expect("closed").report(outcome);
            }
        });
    }
    assert!(tasks.drain(Duration::from_secs(60)).await);
    let Counts {
        calls, failures, ..
    } = breaker.counts();
    assert_eq!((calls, failures), (100_000, 25_000));
}
