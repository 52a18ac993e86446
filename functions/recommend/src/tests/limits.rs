//! Limits over HTTP: what a refused request gets, and what it does not touch.

use std::sync::atomic::Ordering;

use super::world::*;

const NARROW: &str = r#"{"guard":{"limits":{"user":{"per_second":0.4,"burst":2}}}}"#;
const WIDE: &str = r#"{"guard":{"limits":{"user":{"per_second":400,"burst":200}}}}"#;

#[tokio::test]
async fn a_refused_request_says_when_to_come_back_and_asks_no_dependency() {
    let world = World::new().await;
    world.tuning.offer(NARROW).unwrap();
    let ask = "/recommend?user_id=u1&limit=3";
    for _ in 0..2 {
        assert_eq!(world.get(ask).await.status, 200);
    }
    let calls = world.tables.calls.load(Ordering::Relaxed);
    for path in [
        ask,
        "/users/u1/history",
        "/recommend?user_id=u1&explain=true",
    ] {
        let reply = world.get(path).await;
        assert_eq!(reply.status, 429, "{path}");
        assert_eq!(reply.header("retry-after"), "3", "{path}");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.json["code"], "user_limit");
    }
    assert_eq!(world.tables.calls.load(Ordering::Relaxed), calls);
    assert_eq!(world.get("/recommend?user_id=u2").await.status, 200);
}

#[tokio::test]
async fn a_changed_document_holds_for_the_next_request() {
    let world = World::new().await;
    world.tuning.offer(NARROW).unwrap();
    let passed = async || {
        let mut passed = 0;
        for _ in 0..10 {
            let reply = world.get("/recommend?user_id=u1&limit=3").await;
            passed += usize::from(reply.status == 200);
        }
        passed
    };
    assert_eq!(passed().await, 2);
    world.tuning.offer(WIDE).unwrap();
    assert_eq!(passed().await, 0, "no new burst");
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(passed().await, 10);
}

/// A limited request neither consults nor counts on a breaker: the one of the users' state would
/// open after six failures in a row.
#[tokio::test]
async fn refused_requests_open_no_breaker() {
    let world = World::new().await;
    world.tuning.offer(NARROW).unwrap();
    for _ in 0..50 {
        world.get("/recommend?user_id=u1&limit=3").await;
    }
    let reply = world.get("/recommend?user_id=u2&limit=3").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json["rung"]),
        (200, &"personal".into())
    );
    assert!(reply.degraded().is_empty(), "{}", reply.json);
}
