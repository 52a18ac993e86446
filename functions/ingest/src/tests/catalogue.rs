//! The catalogue's routes and forgetting a user.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use engine::VideoId;
use guard::{Clock, Deadline, ManualClock, Tasks};
use http::{Method, Request};
use serde_json::{Value, json};
use store::{Read, RedisSettings, Shared};

use super::world::*;

fn id(text: &str) -> VideoId {
    VideoId::parse(text).unwrap()
}

async fn stored(world: &World, video: &str) -> Option<engine::Video> {
    world
        .catalogue
        .load(&[id(video)], &world.deadline())
        .await
        .unwrap()
        .pop()
        .flatten()
}

#[tokio::test]
async fn a_video_is_stored_changed_and_removed() {
    let world = World::new(None);
    let put = json!({"title": "One", "categories": ["sport"], "markets": ["de"], "own": true});
    let reply = world.json(Method::PUT, "/videos/v1", &put).await;
    assert_eq!((reply.status.as_u16(), &reply.json), (204, &Value::Null));
    let video = stored(&world, "v1").await.unwrap();
    assert_eq!(
        (video.title.as_str(), video.markets.as_slice()),
        ("One", &["DE".into()][..])
    );

    let patched = world
        .json(Method::PATCH, "/videos/v1", &json!({"hidden": true}))
        .await;
    assert_eq!(
        (patched.status.as_u16(), &patched.json["hidden"]),
        (200, &json!(true))
    );
    assert_eq!(patched.json["title"], "One");
    world.clock.advance(Duration::from_secs(5));
    assert!(
        world
            .catalogue
            .hidden(&world.deadline())
            .await
            .contains(&id("v1"))
    );

    for _ in 0..2 {
        let removed = world.json(Method::DELETE, "/videos/v1", &Value::Null).await;
        assert_eq!(removed.status, 204);
    }
    assert_eq!(stored(&world, "v1").await, None);
    let gone = world
        .json(Method::PATCH, "/videos/v1", &json!({"title": "x"}))
        .await;
    assert_problem(&gone, 404, "not_found", "gone");
}

#[tokio::test]
async fn a_batch_stores_what_is_valid() {
    let world = World::new(None);
    let batch = json!({"videos": [
        {"id": "v1", "title": "first"}, {"title": "nameless"}, {"id": "v2", "hidden": "no"},
        {"id": "v3"}, {"id": "v1", "title": "later"},
    ]});
    let reply = world.json(Method::PUT, "/videos", &batch).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.json,
        json!({"stored": 2, "rejected": [
            {"index": 1, "code": "invalid_field", "field": "id"},
            {"index": 2, "code": "invalid_field", "field": "hidden"},
        ]})
    );
    assert_eq!(stored(&world, "v1").await.unwrap().title, "later");
    let none = world
        .json(Method::PUT, "/videos", &json!({"videos": [{}]}))
        .await;
    assert_problem(&none, 400, "no_valid_video", "none");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::new(None);
    for (method, uri, body, field) in [
        (Method::PUT, "/videos/v%201", json!({}), "id"),
        (Method::PUT, "/videos/v1", json!({"id": "v2"}), "id"),
        (Method::PUT, "/videos/v1", json!({"id": 5}), "id"),
        (Method::PUT, "/videos/v1", json!({"tags": "a"}), "tags"),
        (
            Method::PATCH,
            "/videos/v1",
            json!({"duration_ms": "long"}),
            "duration_ms",
        ),
        (Method::PUT, "/videos", json!({"videos": 1}), "videos"),
        (Method::DELETE, "/users/a.b", json!({}), "id"),
    ] {
        let reply = world.json(method, uri, &body).await;
        assert_problem(&reply, 400, "invalid_field", uri);
        assert_eq!(reply.json["field"], field, "{uri}");
    }
    let large = json!({"title": "x".repeat(64 * 1024)});
    let large = world.json(Method::PUT, "/videos/v1", &large).await;
    assert_problem(&large, 413, "too_large", "large");
}

#[tokio::test]
async fn admin_routes_are_closed_before_anything_is_read() {
    let routes = [
        (Method::PUT, "/videos/v1"),
        (Method::PUT, "/videos/not%20an%20id"),
        (Method::PUT, "/videos"),
        (Method::PATCH, "/videos/v1"),
        (Method::DELETE, "/videos/v1"),
        (Method::DELETE, "/users/u1"),
    ];
    let ask = |method: &Method, uri: &str, peer: [u8; 4], key: Option<&str>| {
        let mut request = Request::builder().method(method.clone()).uri(uri);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let peer = ConnectInfo(SocketAddr::from((peer, 9)));
        request
            .extension(peer)
            .body(Body::from("not json"))
            .unwrap()
    };
    let (open, keyed) = (World::new(None), World::new(Some("s3cret")));
    for (method, uri) in &routes {
        let far = open.send(ask(method, uri, [192, 0, 2, 1], None)).await;
        assert_problem(&far, 403, "forbidden", uri);
        for key in [None, Some("wrong")] {
            let wrong = keyed.send(ask(method, uri, [127, 0, 0, 1], key)).await;
            assert_problem(&wrong, 401, "unauthorized", uri);
        }
        let right = keyed
            .send(ask(method, uri, [192, 0, 2, 1], Some("s3cret")))
            .await;
        assert!(
            ![401, 403].contains(&right.status.as_u16()),
            "{uri} {}",
            right.status
        );
    }
}

#[tokio::test]
async fn forgetting_leaves_a_tombstone_and_says_when_it_is_complete() {
    let world = World::new(None);
    let deadline = world.deadline();
    let known = |state: &mut engine::UserState| {
        state.updated_ms = NOW_MS - 1;
        state.seen.push(1);
        true
    };
    world
        .users
        .update(&user("u1"), &deadline, known)
        .await
        .unwrap();
    let reply = world.json(Method::DELETE, "/users/u1", &Value::Null).await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.json, json!({"complete_at": "2025-10-11T08:53:20Z"}));
    let state = world
        .users
        .load(&[user("u1")], Read::Consistent, &deadline)
        .await
        .unwrap();
    let state = state.into_iter().next().flatten().unwrap();
    assert_eq!((state.tombstone_ms, state.seen.len()), (Some(NOW_MS), 0));
    let unknown = world
        .json(Method::DELETE, "/users/nobody", &Value::Null)
        .await;
    assert_eq!(unknown.status, 202, "known and unknown look the same");
}

/// A user whose slates others may still be served is not forgotten; asking again is safe.
#[tokio::test]
async fn forgetting_waits_for_the_shared_tier() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(NOW_MS));
    let soon = Deadline::after(Arc::clone(&clock), Duration::from_millis(50));
    let nobody_there = RedisSettings::new("redis://127.0.0.1:1");
    let shared = Shared::connect(&nobody_there, clock, Tasks::new(), &soon).await;
    let world = World::sharing(None, Some(shared.unwrap()));
    let reply = world.json(Method::DELETE, "/users/u1", &Value::Null).await;
    assert_eq!(reply.status, 503, "{}", reply.json);
    assert_eq!(reply.headers["retry-after"], "5");
}
