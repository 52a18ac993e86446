//! Every order in which threads may meet, as far as seeded schedules reach.
//!
//! `cargo test -p guard --features interleavings interleavings`. What tokio's own semaphore and
//! watch do inside is taken as one step.

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::thread;

use crate::breaker::Counts;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::*;

/// Schedules per claim.
const SCHEDULES: usize = 5_000;
/// Preemptions placed on purpose (Burckhardt et al., *A Randomized Scheduler with Probabilistic
/// Guarantees of Finding Bugs*, ASPLOS 2010).
const DEPTH: usize = 3;

/// Runs a claim under random and under priority schedules. Timers exist and never fire.
fn check(claim: impl Fn() + Send + Sync + Copy + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    shuttle::check_random(claim, SCHEDULES);
    shuttle::check_pct(claim, SCHEDULES, DEPTH);
}

fn deadline() -> Deadline {
    Deadline::after(Arc::new(ManualClock::default()), Duration::from_secs(1))
}

fn threads<T: Send + 'static>(
    count: usize,
    work: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let work = Arc::new(work);
    let start = |n| {
        let work = Arc::clone(&work);
        thread::spawn(move || work(n))
    };
    let running: Vec<_> = (0..count).map(start).collect();
    running
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

/// Counts who is inside and refuses one too many.
#[derive(Default)]
struct Room(AtomicUsize);

impl Room {
    fn visit(&self, most: usize) {
        let inside = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(inside <= most, "{inside} inside");
        thread::yield_now();
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_half_open_breaker_lets_no_more_probes_in_than_it_may_and_loses_no_slot() {
    check(|| {
        let clock = Arc::new(ManualClock::default());
        let tuning = BreakerTuning {
            half_open_max: 2,
            ..BreakerTuning::default()
        };
        let breaker = Breaker::new("model", tuning, clock.clone());
        for _ in 0..6 {
            breaker.acquire().unwrap().report(Outcome::Failure);
        }
        clock.advance(Duration::from_millis(30_001));
        let (room, probed) = (Arc::new(Room::default()), breaker.clone());
        threads(4, move |n| {
            let Ok(permit) = probed.acquire() else { return };
            room.visit(2);
            if n % 2 == 0 {
                drop(permit);
            } else {
                permit.report(Outcome::Excluded);
            }
        });
        assert_eq!(
            (breaker.counts().probes, breaker.state()),
            (0, BreakerState::HalfOpen)
        );
    });
}

#[test]
fn a_breaker_counts_every_answer_once_whoever_gives_it() {
    check(|| {
        let breaker = Breaker::new(
            "model",
            BreakerTuning::default(),
            Arc::new(ManualClock::default()),
        );
        let asked = breaker.clone();
        threads(3, move |n| {
            for outcome in [Outcome::Success, Outcome::Failure, Outcome::Excluded] {
                let permit = asked.acquire().unwrap();
                permit.report(if n == 0 { Outcome::Success } else { outcome });
            }
        });
        let Counts {
            calls, failures, ..
        } = breaker.counts();
        assert_eq!((calls, failures), (7, 2));
    });
}

#[test]
fn a_gate_keeps_its_limit_and_loses_no_seat_while_the_limit_changes() {
    check(|| {
        let gate = Gate::new(2, 8);
        let (room, entered) = (Arc::new(Room::default()), gate.clone());
        threads(4, move |n| {
            if n == 3 {
                entered.set_limit(1);
                entered.set_limit(2);
                return;
            }
            let permit = block_on(entered.enter(&deadline())).unwrap();
            room.visit(2);
            drop(permit);
        });
        assert_eq!((gate.inside(), gate.waiting(), gate.limit()), (0, 0, 2));
        let all: Vec<_> = (0..2)
            .map(|_| block_on(gate.enter(&deadline())).unwrap())
            .collect();
        gate.set_waiting_max(0);
        assert_eq!(block_on(gate.enter(&deadline())).unwrap_err(), Shed::Full);
        drop(all);
    });
}

#[test]
fn one_flight_per_key_answers_everybody_and_leaves_no_key() {
    check(|| {
        let loads = Arc::new(AtomicUsize::new(0));
        let flight = Flight::<u8, usize>::new(Tasks::new());
        let (joined, counted) = (flight.clone(), Arc::clone(&loads));
        let answers = threads(3, move |_| {
            let counted = Arc::clone(&counted);
            let load = move || async move { counted.fetch_add(1, Ordering::SeqCst) };
            block_on(joined.run(7, &deadline(), Duration::from_secs(1), load))
        });
        let loads = loads.load(Ordering::SeqCst);
        assert!((1..=3).contains(&loads));
        assert!(
            answers
                .iter()
                .all(|answer| answer.is_ok_and(|load| load < loads))
        );
        // The last leader may still be leaving.
        while flight.in_flight() > 0 {
            thread::yield_now();
        }
    });
}

#[test]
fn a_caller_that_leaves_takes_nobody_along() {
    check(|| {
        let flight = Flight::<u8, u8>::new(Tasks::new());
        let joined = flight.clone();
        let answers = threads(3, move |n| {
            let deadline = deadline();
            if n == 0 {
                deadline.cancel();
            }
            let load = || async {
                shuttle::future::yield_now().await;
                9
            };
            block_on(joined.run(7, &deadline, Duration::from_secs(1), load))
        });
        assert_eq!(answers, [Err(FlightError::Cancelled), Ok(9), Ok(9)]);
        while flight.in_flight() > 0 {
            thread::yield_now();
        }
    });
}
