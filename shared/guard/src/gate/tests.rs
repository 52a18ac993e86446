//! Who is let in, who waits and who is shed, in paused time.

use std::time::Duration;

use super::*;
use crate::{ManualClock, Tasks};

fn deadline(ms: u64) -> Deadline {
    Deadline::after(Arc::new(ManualClock::default()), Duration::from_millis(ms))
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_waits_and_what_may_not_wait_is_shed_at_once() {
    let gate = Gate::new(2, 1);
    let first = gate.enter(&deadline(10)).await.unwrap();
    let _second = gate.enter(&deadline(10)).await.unwrap();

    let tasks = Tasks::new();
    let queued = gate.clone();
    let third = tasks.spawn(async move { queued.enter(&deadline(50)).await.map(drop) });
    tokio::task::yield_now().await;
    assert_eq!((gate.inside(), gate.waiting()), (2, 1));
    assert_eq!(gate.enter(&deadline(10)).await.unwrap_err(), Shed::Full);

    drop(first);
    assert_eq!(third.await.unwrap(), Ok(()));
    assert_eq!((gate.inside(), gate.waiting()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_its_deadline_and_leaves_the_queue() {
    let gate = Gate::new(1, 5);
    let _inside = gate.enter(&deadline(10)).await.unwrap();
    assert_eq!(gate.enter(&deadline(30)).await.unwrap_err(), Shed::Timeout);

    let gone = deadline(1_000);
    gone.cancel();
    assert_eq!(gate.enter(&gone).await.unwrap_err(), Shed::Cancelled);
    assert_eq!(gate.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_leaves_the_queue() {
    let gate = Gate::new(1, 5);
    let _inside = gate.enter(&deadline(10)).await.unwrap();
    let short = Duration::from_millis(1);
    let waiting = deadline(1_000);
    assert!(
        tokio::time::timeout(short, gate.enter(&waiting))
            .await
            .is_err()
    );
    assert_eq!(gate.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn seats_that_are_free_go_at_once_and_are_not_owed() {
    let gate = Gate::new(3, 0);
    let inside = gate.enter(&deadline(10)).await.unwrap();
    gate.set_limit(1);
    drop(inside);
    for _ in 0..4 {
        let inside = gate.enter(&deadline(10)).await.unwrap();
        assert_eq!(gate.enter(&deadline(10)).await.unwrap_err(), Shed::Full);
        drop(inside);
    }
    gate.set_limit(3);
    let mut inside = Vec::new();
    for _ in 0..3 {
        inside.push(gate.enter(&deadline(10)).await.unwrap());
    }
    gate.set_limit(1);
    gate.set_limit(2);
    inside.pop();
    assert_eq!((gate.limit(), gate.inside()), (2, 2));
    assert_eq!(gate.enter(&deadline(10)).await.unwrap_err(), Shed::Full);
    inside.pop();
    assert!(gate.enter(&deadline(10)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_smaller_limit_holds_once_enough_have_left() {
    let gate = Gate::new(3, 0);
    let mut inside = Vec::new();
    for _ in 0..3 {
        inside.push(gate.enter(&deadline(10)).await.unwrap());
    }
    gate.set_limit(1);
    for left in [2, 1] {
        inside.pop();
        assert_eq!(gate.inside(), left);
        assert_eq!(gate.enter(&deadline(10)).await.unwrap_err(), Shed::Full);
    }
    inside.pop();
    inside.push(gate.enter(&deadline(10)).await.unwrap());
    assert_eq!(gate.enter(&deadline(10)).await.unwrap_err(), Shed::Full);

    gate.set_limit(2);
    inside.push(gate.enter(&deadline(10)).await.unwrap());
    assert_eq!(gate.enter(&deadline(10)).await.unwrap_err(), Shed::Full);
}

#[tokio::test(start_paused = true)]
async fn who_will_not_wait_is_let_in_at_once_or_not_at_all_and_overtakes_nobody() {
    let gate = Gate::new(1, 1);
    let inside = gate.try_enter().unwrap();
    assert!(gate.try_enter().is_none());
    let tasks = Tasks::new();
    let queued = gate.clone();
    let second = tasks.spawn(async move { queued.enter(&deadline(50)).await });
    tokio::task::yield_now().await;
    drop(inside);
    assert!(gate.try_enter().is_none(), "the seat is of who waited");
    let second = second.await.unwrap();
    assert!(second.is_ok());
    drop(second);
    assert!(gate.try_enter().is_some());
}
