//! Tables that accept a question and never answer it, in paused time: gates are its milliseconds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt;
use guard::{Clock, Deadline};
use http::Request;
use ops::RealClock;
use tower::ServiceExt;

use super::world::*;

const MS: Duration = Duration::from_millis(1);
/// Timers end at whole milliseconds, and one may follow another.
const TICK: Duration = Duration::from_millis(3);

/// A process whose tables stall, and whose clock is the paused one.
struct Stalled {
    world: World,
    router: Router,
    clock: Arc<dyn Clock>,
}

impl Stalled {
    async fn new() -> Self {
        let world = World::new().await;
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let router = world.process_by(Arc::clone(&clock));
        world.tables.stalled.store(true, Ordering::Relaxed);
        tokio::time::pause();
        Self {
            world,
            router,
            clock,
        }
    }

    /// Asks with a host's deadline, if any; the answer and how long it took.
    async fn timed(&self, uri: &str, host: Option<Duration>) -> (Reply, Duration) {
        let mut request = Request::get(uri);
        if let Some(budget) = host {
            request = request.extension(Deadline::after(Arc::clone(&self.clock), budget));
        }
        let began = self.clock.now().mono;
        let reply = reply(self.router.clone(), request.body(Body::empty()).unwrap()).await;
        (reply, self.clock.now().mono - began)
    }

    /// Calls that stalled so far, and those that nobody has given up yet.
    fn calls(&self) -> (usize, usize) {
        let tables = &self.world.tables;
        let read = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::Relaxed);
        (read(&tables.waited), read(&tables.waiting))
    }
}

#[tokio::test]
async fn with_stalled_tables_every_answer_is_valid_and_within_its_deadline() {
    let stalled = Stalled::new().await;
    let mut longest = Duration::ZERO;
    // Nobody is asked for twice: each is a miss until the breaker spares the wait.
    for number in 0..40 {
        let uri = format!("/recommend?user_id=u{number}");
        let (reply, took) = stalled.timed(&uri, None).await;
        assert_eq!(reply.status, 200, "{}", reply.json);
        assert_eq!(reply.ids().len(), 20);
        assert!(took <= 200 * MS + TICK, "{took:?}");
        longest = longest.max(took);
    }
    let (waited, waiting) = stalled.calls();
    assert_eq!(waiting, 0);
    assert!(waited < 40, "{waited}: the breaker spares the wait");
    println!(
        "shown: tables stalled, 40 users: 40 valid answers, the latest after {longest:?}, {waited} calls waited for"
    );
}

/// The host's own deadline, as Lambda has one, cuts what the tuning would allow.
#[tokio::test]
async fn a_hosts_earlier_deadline_is_the_one_that_counts() {
    let stalled = Stalled::new().await;
    for (uri, status) in [("/recommend?user_id=u1", 200), ("/users/u2/history", 503)] {
        let (reply, took) = stalled.timed(uri, Some(20 * MS)).await;
        assert_eq!(reply.status, status, "{uri} {}", reply.json);
        assert!((20 * MS..=20 * MS + TICK).contains(&took), "{uri} {took:?}");
    }
}

#[tokio::test]
async fn a_client_gone_after_twenty_milliseconds_takes_its_call_along_at_once() {
    let stalled = Stalled::new().await;
    let request = Request::get("/users/u1/history").body(Body::empty());
    let asked = stalled.router.clone().oneshot(request.unwrap());
    let left = tokio::time::timeout(20 * MS, asked).await;
    assert!(left.is_err(), "it still waits");
    assert_eq!(stalled.calls(), (1, 0));
}

#[tokio::test]
async fn histories_and_videos_are_read_behind_a_breaker_within_the_tables_budget() {
    let stalled = Stalled::new().await;
    // For a video it is also asked what is hidden.
    for (what, status, most) in [
        ("users/u{}/history", 503, 60 * MS),
        ("videos/v{}", 200, 120 * MS),
    ] {
        let (before, _) = stalled.calls();
        for number in 0..40 {
            let uri = format!("/{}", what.replace("{}", &number.to_string()));
            let (reply, took) = stalled.timed(&uri, None).await;
            assert_eq!(reply.status, status, "{uri} {}", reply.json);
            assert!(took <= most + TICK, "{uri} {took:?}");
        }
        let (waited, waiting) = stalled.calls();
        assert!(
            waited - before < 10,
            "{what}: {} waited for",
            waited - before
        );
        assert_eq!(waiting, 0);
    }
}

#[tokio::test]
async fn histories_and_videos_count_as_work_and_more_than_may_be_is_refused() {
    let stalled = Stalled::new().await;
    let narrow = r#"{"guard":{"concurrency":{"limit":1,"waiting_max":0,"adaptive":false}}}"#;
    stalled.world.tuning.offer(narrow).unwrap();
    for (one, other) in [
        ("/users/u1/history", "/users/u2/history"),
        ("/videos/v1", "/videos/v2"),
    ] {
        let asked = tokio::join!(stalled.timed(one, None), stalled.timed(other, None));
        let ((first, _), (second, _)) = asked;
        assert_ne!(first.json["code"], "overloaded", "{one}");
        assert_eq!(second.status, 503, "{other}");
        assert_eq!(second.json["code"], "overloaded", "{other}");
    }
}

#[tokio::test]
async fn a_page_at_hand_takes_no_seat() {
    let world = World::new().await;
    let router = world.another_process();
    let ask = |uri: &str| {
        reply(
            router.clone(),
            Request::get(uri).body(Body::empty()).unwrap(),
        )
    };
    let narrow = r#"{"guard":{"concurrency":{"limit":1,"waiting_max":0,"adaptive":false}}}"#;
    world.tuning.offer(narrow).unwrap();
    let made = ask("/recommend?user_id=u1").await;
    assert_eq!(made.json["rung"], "personal", "{}", made.json);
    world.tables.stalled.store(true, Ordering::Relaxed);
    let mut at_work = Box::pin(ask("/users/u2/history"));
    assert!((&mut at_work).now_or_never().is_none());
    let at_hand = ask("/recommend?user_id=u1").await;
    assert_eq!(at_hand.json["rung"], "personal", "{}", at_hand.json);
    let anew = ask("/recommend?user_id=u9").await;
    assert_eq!(anew.json["code"], "overloaded", "{}", anew.json);
}
