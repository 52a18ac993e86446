//! An instant that is passed down and never grows, and a cancellation that goes down and not up.

use std::future::{pending, ready};

use proptest::prelude::*;
use tokio::time::{sleep, timeout};

use super::*;
use crate::{ManualClock, Tasks};

const MS: Duration = Duration::from_millis(1);

fn deadline(ms: u32) -> (Deadline, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting_at(1_700_000_000_000));
    (Deadline::after(clock.clone(), ms * MS), clock)
}

#[test]
fn a_stage_starts_with_five_milliseconds_and_not_with_less() {
    let (request, clock) = deadline(200);
    clock.advance(195 * MS);
    assert!(request.allows_stage());
    clock.advance(Duration::from_nanos(1));
    assert!(!request.allows_stage() && !request.expired());
    clock.advance(5 * MS);
    assert!(request.expired());
    assert_eq!(request.remaining(), Duration::ZERO);
}

#[test]
fn a_share_is_a_part_of_what_is_left_whatever_the_part() {
    let cases = [
        (0.5, 50),
        (1.0, 100),
        (0.0, 0),
        (2.0, 100),
        (-1.0, 0),
        (f64::NAN, 0),
    ];
    for (part, left) in cases {
        let (request, clock) = deadline(200);
        clock.advance(100 * MS);
        assert_eq!(request.share(part).remaining(), left * MS, "{part}");
    }
}

#[tokio::test(start_paused = true)]
async fn cancellation_goes_down_and_not_up() {
    let (request, _) = deadline(200);
    let (stage, sibling) = (request.child(80 * MS), request.child(80 * MS));
    let call = stage.share(0.5);
    stage.cancel();
    for cancelled in [&stage, &call] {
        assert!(cancelled.expired() && !cancelled.allows_stage());
        assert_eq!(
            cancelled.limit(pending::<()>()).await,
            Err(Elapsed::Cancelled)
        );
    }
    for alive in [&request, &sibling] {
        assert_eq!(alive.limit(ready(7)).await, Ok(7));
    }
    request.cancel();
    assert_eq!(sibling.limit(ready(7)).await, Err(Elapsed::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_its_instant_and_drops_what_it_waited_for() {
    struct Dropped(Tasks);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.spawn(pending::<()>());
        }
    }
    let (request, _) = deadline(30);
    let tasks = Tasks::new();
    let held = Dropped(tasks.clone());
    let waited = request.limit(async move {
        let _held = held;
        pending::<()>().await;
    });
    tokio::pin!(waited);
    assert!(timeout(29 * MS, waited.as_mut()).await.is_err());
    assert_eq!(tasks.running(), 0);
    assert_eq!(timeout(MS, waited).await, Ok(Err(Elapsed::Timeout)));
    assert_eq!(tasks.running(), 1);
    assert_eq!(request.limit(async { sleep(20 * MS).await }).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_time_left_never_begins() {
    let (passed, clock) = deadline(30);
    clock.advance(30 * MS);
    let (gone, _) = deadline(30);
    gone.cancel();
    for (over, expected) in [(passed, Elapsed::Timeout), (gone, Elapsed::Cancelled)] {
        let work = async { panic!("it began") };
        assert_eq!(over.limit::<()>(work).await, Err(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_what_works_for_it_at_once() {
    let (request, _) = deadline(200);
    let (gone, tasks) = (request.clone(), Tasks::new());
    tasks.spawn(async move {
        sleep(20 * MS).await;
        gone.cancel();
    });
    let stage = request.child(80 * MS);
    let waited = timeout(21 * MS, stage.limit(pending::<()>())).await;
    assert_eq!(waited, Ok(Err(Elapsed::Cancelled)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_child_never_outlives_its_parent(
        budgets in prop::collection::vec((0_u32..400, 0_u64..50, any::<bool>()), 1..12),
    ) {
        let (mut parent, clock) = deadline(200);
        for (budget, passes, shared) in budgets {
            let child = if shared {
                parent.share(f64::from(budget) / 400.0)
            } else {
                parent.child(budget * MS)
            };
            prop_assert!(child.remaining() <= parent.remaining());
            clock.advance(Duration::from_millis(passes));
            prop_assert!(child.remaining() <= parent.remaining());
            parent = child;
        }
    }
}
