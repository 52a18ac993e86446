//! What RELIABILITY.md promises of single-flight, with its numbers, in paused time.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::time::sleep;

use super::*;
use crate::ManualClock;

const MS: Duration = Duration::from_millis(1);
const BUDGET: Duration = Duration::from_secs(1);

fn deadline(span: Duration) -> Deadline {
    // Waiting is tokio's; the clock only says that nothing has passed yet.
    Deadline::after(Arc::new(ManualClock::default()), span)
}

/// An origin that counts its reads and takes 50 ms for each.
#[derive(Clone, Default)]
struct Origin(Arc<AtomicUsize>);

impl Origin {
    async fn read(self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed);
        sleep(50 * MS).await;
        42
    }

    fn reads(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_of_one_cold_key_cause_one_read() {
    let (tasks, origin) = (Tasks::new(), Origin::default());
    let flight = Flight::<&str, u32>::new(tasks.clone());
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let (flight, origin) = (flight.clone(), origin.clone());
            tasks.spawn(async move {
                flight
                    .run("hot", &deadline(200 * MS), BUDGET, move || origin.read())
                    .await
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(42));
    }
    assert_eq!(origin.reads(), 1);
    assert_eq!(flight.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_whose_load_is_slower_than_its_callers_is_served_all_the_same() {
    let (tasks, origin) = (Tasks::new(), Origin::default());
    let flight = Flight::<&str, u32>::new(Tasks::new());
    let cache = Arc::new(OnceLock::new());
    let served = Arc::new(AtomicUsize::new(0));
    // 12,000 a second for a second, in ticks of a millisecond.
    for _ in 0..1_000 {
        for _ in 0..12 {
            let (flight, origin, cache, served) = (
                flight.clone(),
                origin.clone(),
                cache.clone(),
                served.clone(),
            );
            tasks.spawn(async move {
                if cache.get().is_none() {
                    // The load fills the cache, not whoever still waits for it.
                    let load = move || async move {
                        let value = origin.read().await;
                        *cache.get_or_init(|| value)
                    };
                    let answer = flight.run("hot", &deadline(30 * MS), BUDGET, load).await;
                    if answer.is_err() {
                        return;
                    }
                }
                served.fetch_add(1, Ordering::Relaxed);
            });
        }
        sleep(MS).await;
    }
    assert!(tasks.drain(BUDGET).await);
    let served = served.load(Ordering::Relaxed);
    assert!(origin.reads() <= 2, "{} reads", origin.reads());
    assert!(served * 100 >= 12_000 * 95, "{served} of 12000 served");
}

#[tokio::test(start_paused = true)]
async fn when_the_first_caller_goes_away_the_rest_are_served() {
    let (tasks, origin) = (Tasks::new(), Origin::default());
    let flight = Flight::<&str, u32>::new(tasks.clone());
    let first = deadline(200 * MS);
    let run = |deadline: Deadline| {
        let (flight, origin) = (flight.clone(), origin.clone());
        tasks.spawn(async move { flight.run("hot", &deadline, BUDGET, || origin.read()).await })
    };
    let leader = run(first.clone());
    sleep(5 * MS).await;
    let aborted = run(deadline(200 * MS));
    let rest: Vec<_> = (0..10).map(|_| run(deadline(200 * MS))).collect();
    sleep(5 * MS).await;
    first.cancel();
    aborted.abort();
    assert_eq!(leader.await.unwrap(), Err(FlightError::Cancelled));
    for waiter in rest {
        assert_eq!(waiter.await.unwrap(), Ok(42));
    }
    assert_eq!(origin.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_cancelled_keys_leave_the_table_empty() {
    let tasks = Tasks::new();
    let flight = Flight::<u32, u32>::new(tasks.clone());
    for wave in 0..10 {
        for n in 0..10_000 {
            // Polled once, so that the load begins, then dropped.
            let deadline = deadline(30 * MS);
            let key = wave * 10_000 + n;
            let call = flight.run(key, &deadline, 50 * MS, pending);
            assert!(call.now_or_never().is_none());
        }
        assert_eq!(flight.in_flight(), 10_000);
        sleep(60 * MS).await;
        assert_eq!(flight.in_flight(), 0);
    }
    assert_eq!(tasks.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_load_answers_everyone_and_the_next_one_is_loaded() {
    let tasks = Tasks::new();
    let flight = Flight::<&str, u32>::new(tasks.clone());
    let callers: Vec<_> = (0..100)
        .map(|n| {
            let flight = flight.clone();
            tasks.spawn(async move {
                let key = if n % 2 == 0 {
                    "in the future"
                } else {
                    "in the closure"
                };
                let in_closure = n % 2 == 1;
                let load = move || {
                    assert!(!in_closure, "planted");
                    async {
                        sleep(5 * MS).await;
                        panic!("planted")
                    }
                };
                flight.run(key, &deadline(200 * MS), BUDGET, load).await
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Err(FlightError::Panicked));
    }
    assert_eq!(flight.in_flight(), 0);
    let again = flight
        .run("in the future", &deadline(MS), BUDGET, || async { 1 })
        .await;
    assert_eq!(again, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_outlives_its_budget_is_dropped_and_said_so() {
    let flight = Flight::<&str, u32>::new(Tasks::new());
    let answer = flight
        .run("slow", &deadline(BUDGET), 50 * MS, pending)
        .await;
    assert_eq!(answer, Err(FlightError::Overran));
    assert_eq!(flight.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_no_load_is_begun_but_those_in_flight_can_be_joined() {
    let tasks = Tasks::new();
    let flight = Flight::<usize, u32>::new(tasks.clone());
    let deadline = deadline(30 * MS);
    for key in 0..FLIGHTS_MAX {
        let load = || async {
            sleep(10 * MS).await;
            7
        };
        assert!(
            flight
                .run(key, &deadline, BUDGET, load)
                .now_or_never()
                .is_none()
        );
    }
    let refused = flight
        .run(FLIGHTS_MAX, &deadline, BUDGET, || async { 7 })
        .await;
    assert_eq!(refused, Err(FlightError::Full));
    assert_eq!(
        flight.run(0, &deadline, BUDGET, || async { 8 }).await,
        Ok(7)
    );
}

#[test]
fn a_runtime_that_shuts_down_leaves_no_key_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let flight = Flight::<&str, u32>::new(Tasks::new());
    runtime.block_on(async {
        let deadline = deadline(MS);
        assert!(
            flight
                .run("lost", &deadline, BUDGET, pending)
                .now_or_never()
                .is_none()
        );
    });
    assert_eq!(flight.in_flight(), 1);
    drop(runtime);
    assert_eq!(flight.in_flight(), 0);
}
