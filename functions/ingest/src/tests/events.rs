//! `POST /events`.

use std::sync::atomic::Ordering;

use axum::body::Body;
use http::{Method, Request};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use store::publish::bucket;
use web::{Audience, ItemToken};

use super::world::*;

pub(super) fn click(user: &str, video: &str) -> Value {
    json!({"kind": "click", "user_id": user, "video_id": video, "ts": NOW_MS})
}

pub(super) async fn post(world: &World, events: Vec<Value>) -> Reply {
    world
        .json(Method::POST, "/events", &json!({ "events": events }))
        .await
}

#[tokio::test]
async fn a_bad_neighbour_costs_a_good_event_nothing() {
    let world = World::new(None);
    let mut late = click("u1", "v9");
    late["ts"] = json!(NOW_MS - 25 * 3_600_000);
    let batch = vec![
        click("u1", "v1"),
        json!("?"),
        click("u 1", "v2"),
        click("u2", "v3"),
        late,
    ];
    let reply = post(&world, batch).await;
    assert_eq!(reply.status, 202);
    assert_eq!(
        reply.json,
        json!({"accepted": 2, "rejected": [
            {"index": 1, "code": "not_an_object"},
            {"index": 2, "code": "invalid_field", "field": "user_id"},
            {"index": 4, "code": "ts_out_of_range", "field": "ts"},
        ]})
    );
    let mut videos: Vec<_> = world
        .streamed()
        .await
        .iter()
        .map(|event| event.video_id.to_string())
        .collect();
    videos.sort_unstable();
    assert_eq!(videos, ["v1", "v3"]);
}

#[tokio::test]
async fn the_same_event_sent_twice_has_one_id() {
    let world = World::new(None);
    post(&world, vec![click("u1", "v1")]).await;
    post(&world, vec![click("u1", "v1"), click("u1", "v2")]).await;
    let mut ids: Vec<_> = world
        .streamed()
        .await
        .into_iter()
        .map(|event| event.event_id)
        .collect();
    assert_eq!(ids.len(), 3);
    ids.dedup();
    assert_eq!(ids.len(), 2);
}

#[tokio::test]
async fn a_beacon_is_taken() {
    let world = World::new(None);
    let body = json!({ "events": [click("u1", "v1")] }).to_string();
    for content_type in [
        Some("text/plain;charset=UTF-8"),
        Some("application/json"),
        None,
    ] {
        let mut request = Request::post("/events");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let reply = world
            .send(request.body(Body::from(body.clone())).unwrap())
            .await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json["accepted"]),
            (202, &json!(1))
        );
    }
}

#[tokio::test]
async fn a_token_attributes_and_another_users_is_refused() {
    let world = World::new(None);
    let video = "v1".parse().unwrap();
    let audience = Audience::of(Some(&user("u1")), &signer());
    let token = ItemToken::mint(&signer(), "slate-1", 5, &video, "", audience, NOW_MS);
    let with = |who: &str, token: &str| {
        let mut event = click(who, "v1");
        event["token"] = json!(token);
        event
    };
    let changed = format!("{}A", &token[..token.len() - 1]);
    let changed = if changed == token {
        format!("{}B", &token[..token.len() - 1])
    } else {
        changed
    };
    let reply = post(
        &world,
        vec![with("u1", &token), with("u2", &token), with("u1", &changed)],
    )
    .await;
    assert_eq!(reply.json["accepted"], 1);
    let codes: Vec<_> = reply.json["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["code"])
        .collect();
    assert_eq!(codes, [&json!("token_user"), &json!("token_invalid")]);
    let streamed = world.streamed().await;
    assert_eq!(streamed[0].recommendation_id, "slate-1");
    assert_eq!(streamed[0].slate_position, Some(5));
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_did_not_acknowledge_is_to_be_sent_again() {
    let world = World::new(None);
    let users: Vec<String> = (0..20).map(|n| format!("u{n}")).collect();
    let refused = bucket(&user("u3"));
    *world.stream.refused_key.lock().unwrap() = Some(refused.clone());
    let reply = post(&world, users.iter().map(|u| click(u, "v1")).collect()).await;
    assert_eq!(reply.status, 202);
    let again: Vec<usize> = users
        .iter()
        .enumerate()
        .filter(|(_, u)| bucket(&user(u)) == refused)
        .map(|(index, _)| index)
        .collect();
    let listed = reply.json["rejected"].as_array().unwrap().to_vec();
    let expected: Vec<_> = again
        .iter()
        .map(|index| json!({"index": index, "code": "retry"}))
        .collect();
    assert_eq!(listed, expected);
    assert_eq!(reply.json["accepted"], users.len() - again.len());
    assert_eq!(world.streamed().await.len(), users.len() - again.len());
}

#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_503_with_a_time_to_come_back() {
    let world = World::new(None);
    world.stream.down.store(true, Ordering::Relaxed);
    let reply = post(
        &world,
        vec![click("u1", "v1"), json!({}), click("u2", "v1")],
    )
    .await;
    assert_problem(&reply, 503, "unavailable", "down");
    assert_eq!(reply.headers["retry-after"], "1");
    let codes: Vec<_> = reply.json["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["code"].clone())
        .collect();
    assert_eq!(
        codes,
        [json!("retry"), json!("missing_field"), json!("retry")]
    );
    world.stream.down.store(false, Ordering::Relaxed);
    let healed = post(&world, vec![click("u1", "v1"), click("u2", "v1")]).await;
    assert_eq!(
        (healed.status.as_u16(), &healed.json["accepted"]),
        (202, &json!(2))
    );
}

#[tokio::test]
async fn a_batch_without_a_valid_event_is_400_and_asks_the_stream_nothing() {
    let world = World::new(None);
    let reply = post(&world, vec![json!({}), json!(1)]).await;
    assert_problem(&reply, 400, "no_valid_event", "none");
    assert_eq!(reply.json["field"], "events");
    assert_eq!(reply.json["rejected"].as_array().unwrap().len(), 2);
    assert_eq!(world.stream.appends.load(Ordering::Relaxed), 0);
    let empty = post(&world, Vec::new()).await;
    assert_eq!(
        (empty.status.as_u16(), &empty.json["accepted"]),
        (202, &json!(0))
    );
}

#[tokio::test]
async fn a_body_that_cannot_be_a_batch_is_refused() {
    let world = World::new(None);
    let many = json!({ "events": vec![click("u1", "v1"); 501] }).to_string();
    let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    for (content_type, body, status, code) in [
        ("application/json", many, 400, "invalid_field"),
        (
            "application/json",
            "{\"events\":{}}".to_owned(),
            400,
            "invalid_field",
        ),
        ("application/json", "{}".to_owned(), 400, "invalid_field"),
        ("application/json", "[]".to_owned(), 400, "invalid_field"),
        ("application/json", "{".to_owned(), 400, "not_json"),
        ("application/json", deep, 400, "too_deep"),
        (
            "application/json",
            " ".repeat(512 * 1024 + 1),
            413,
            "too_large",
        ),
        (
            "application/xml",
            "{}".to_owned(),
            415,
            "unsupported_media_type",
        ),
    ] {
        let request = Request::post("/events").header("content-type", content_type);
        let reply = world.send(request.body(Body::from(body)).unwrap()).await;
        assert_problem(&reply, status, code, code);
    }
    let full = post(&world, vec![click("u1", "v1"); 500]).await;
    assert_eq!(full.status, 202);
    for (method, uri, status, code) in [
        (Method::GET, "/events", 405, "method_not_allowed"),
        (Method::POST, "/events/", 404, "not_found"),
        (Method::POST, "/event", 404, "not_found"),
    ] {
        let reply = world.json(method, uri, &json!({})).await;
        assert_problem(&reply, status, code, uri);
    }
}

#[tokio::test]
async fn a_subject_sends_only_its_own_events() {
    let world = World::new(None);
    let body = json!({ "events": [click("u1", "v1"), click("u2", "v1")] }).to_string();
    let request = Request::post("/events")
        .extension(web::Caller {
            subject: Some("u1".into()),
            admin: false,
        })
        .body(Body::from(body))
        .unwrap();
    let reply = world.send(request).await;
    assert_eq!(
        reply.json,
        json!({"accepted": 1,
            "rejected": [{"index": 1, "code": "forbidden", "field": "user_id"}]})
    );
}

#[test]
fn arbitrary_bytes_are_never_our_mistake() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = World::new(None);
    let value = prop_oneof![
        Just("null".to_owned()),
        "-?[0-9]{1,25}(\\.[0-9]{1,3})?",
        "\"[a-z0-9 /]{0,70}\"",
        Just("[]".to_owned()),
        Just("{\"a\":[1]}".to_owned()),
    ];
    let field = "(event_id|kind|user_id|video_id|ts|watch_ms|scene|creator_id|undo|token|market)";
    let field = proptest::string::string_regex(field).unwrap();
    let event = prop::collection::vec((field, value), 0..9).prop_map(|fields| {
        let fields: Vec<_> = fields.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        format!("{{\"events\":[{{{}}}]}}", fields.join(",")).into_bytes()
    });
    let body = prop_oneof![prop::collection::vec(any::<u8>(), 0..300), event];
    let methods = prop::sample::select(vec![Method::POST, Method::PUT, Method::PATCH]);
    let paths = prop::sample::select(vec!["/events", "/videos", "/videos/v1", "/users/u1"]);
    TestRunner::new(Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    })
    .run(&(methods, paths, body), |(method, path, body)| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .extension(web::Caller {
                subject: None,
                admin: true,
            })
            .body(Body::from(body))
            .unwrap();
        let reply = runtime.block_on(world.send(request));
        prop_assert!(
            reply.status.as_u16() < 500,
            "{} {}",
            reply.status,
            reply.json
        );
        Ok(())
    })
    .unwrap();
}
