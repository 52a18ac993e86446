//! Limits over HTTP: what a refused request gets, and what it does not touch.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::Request;
use serde_json::json;

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

/// A body whose sender waits to be asked for it.
fn unread(read: &Arc<AtomicUsize>) -> Body {
    let read = Arc::clone(read);
    let ask = br#"{"user_id":"u1","limit":3}"#;
    Body::from_stream(futures_util::stream::once(async move {
        read.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(Bytes::from_static(ask))
    }))
}

#[tokio::test]
async fn a_body_is_read_once_network_and_process_let_it_in_and_before_the_user_is_known() {
    let rate = |burst: u32| json!({"per_second": 0.4, "burst": burst});
    for (interface, region, user, bodies, code) in [
        (2, 9, 9, 2, "interface_limit"),
        (9, 2, 9, 2, "region_limit"),
        (9, 9, 2, 5, "user_limit"),
    ] {
        let world = World::new().await;
        let limits =
            json!({"interface": rate(interface), "region": rate(region), "user": rate(user)});
        let document = json!({"guard": {"limits": limits}});
        world.tuning.offer(&document.to_string()).unwrap();
        let read = Arc::default();
        for number in 0..5 {
            let peer: SocketAddr = "192.0.2.1:9".parse().unwrap();
            let request = Request::post("/recommend")
                .header("content-type", "application/json")
                .extension(ConnectInfo(peer));
            let reply = world.send(request.body(unread(&read)).unwrap()).await;
            if number < 2 {
                assert_eq!(reply.status, 200, "{}", reply.json);
            } else {
                assert_eq!(reply.status, 429, "{code}");
                assert_eq!(reply.json["code"], code);
            }
        }
        assert_eq!(read.load(Ordering::Relaxed), bodies, "{code}");
    }
}
