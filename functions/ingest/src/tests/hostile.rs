//! `POST /events` under load, and from clients that mean harm.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use serde_json::{Value, json};
use web::{Audience, ItemToken};

use super::events::{click, post};
use super::world::*;

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_fills_the_places_and_the_rest_is_told_at_once() {
    let world = World::new(None);
    world.stream.stalled.store(true, Ordering::Relaxed);
    let inside = crate::doors::INSIDE_MAX + crate::doors::WAITING_MAX;
    let send = |_| post(&world, vec![click("u1", "v1")]);
    let mut all: futures_util::stream::FuturesUnordered<_> = (0..inside + 50).map(send).collect();
    let mut at_once = 0;
    // Whoever has no place is answered before anything else can happen.
    while at_once < 50 {
        use futures_util::StreamExt as _;
        let reply = all.next().await.unwrap();
        assert_problem(&reply, 503, "unavailable", "no place");
        assert_eq!(reply.headers["retry-after"], "1");
        at_once += 1;
    }
    assert_eq!(
        world.stream.appends.load(Ordering::Relaxed),
        crate::doors::INSIDE_MAX,
        "no more bodies than there are places"
    );
}

#[tokio::test]
async fn too_many_requests_are_refused_before_their_body_is_read() {
    let world = World::tuned(
        r#"{"guard":{"limits":{"interface":{"per_second":0.5,"burst":3},
            "region":{"per_second":0.5,"burst":2}}}}"#,
    );
    let codes = [
        ("10.1.0.1:9", 202, ""),
        ("10.1.0.2:9", 202, ""),
        ("10.1.0.3:9", 429, "region_limit"),
        ("10.1.0.4:9", 429, "region_limit"),
        ("10.2.0.1:9", 202, ""),
        ("10.2.0.1:9", 429, "interface_limit"),
    ];
    for (peer, status, code) in codes {
        let body = json!({ "events": [click("u1", "v1")] }).to_string();
        let request = Request::post("/events")
            .header("content-type", "application/json")
            .extension(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
        let reply = world.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(reply.status, status, "{}", reply.json);
        if status == 429 {
            assert_problem(&reply, 429, code, code);
            assert_eq!(reply.headers["retry-after"], "2");
        }
    }
    assert_eq!(world.stream.appends.load(Ordering::Relaxed), 3);
}

const NARROW: &str = r#"{"guard":{"limits":{"user":{"per_second":0.4,"burst":2}}}}"#;
const WIDE: &str = r#"{"guard":{"limits":{"user":{"per_second":400,"burst":200}}}}"#;

#[tokio::test]
async fn a_users_limit_counts_requests_and_holds_back_that_user_alone() {
    let world = World::tuned(NARROW);
    for _ in 0..2 {
        // However many events: the user asked once.
        let batch = vec![click("u1", "v1"), click("u1", "v2"), click("u1", "v3")];
        let reply = post(&world, batch).await;
        assert_eq!(reply.json["accepted"], 3, "{}", reply.json);
    }
    let appends = world.stream.appends.load(Ordering::Relaxed);
    let reply = post(&world, vec![click("u1", "v1"), click("u1", "v2")]).await;
    assert_problem(&reply, 429, "user_limit", "u1");
    assert_eq!(reply.headers["retry-after"], "3");
    assert_eq!(reply.json["rejected"].as_array().unwrap().len(), 2);
    assert_eq!(world.stream.appends.load(Ordering::Relaxed), appends);

    let batch = vec![
        click("u1", "v1"),
        click("u2", "v2"),
        json!({ "kind": "click" }),
    ];
    let reply = post(&world, batch).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json["accepted"]),
        (202, &json!(1))
    );
    let codes = json!([
        { "index": 0, "code": "user_limit" },
        { "index": 2, "code": "missing_field", "field": "user_id" },
    ]);
    assert_eq!(reply.json["rejected"], codes);
}

#[tokio::test]
async fn a_changed_document_holds_for_the_next_batch_and_brings_no_burst() {
    let world = World::tuned(NARROW);
    let passed = async || {
        let mut passed = 0;
        for _ in 0..10 {
            let reply = post(&world, vec![click("u1", "v1")]).await;
            passed += usize::from(reply.status == 202);
        }
        passed
    };
    assert_eq!(passed().await, 2);
    world.tuning.offer(WIDE).unwrap();
    assert_eq!(passed().await, 0);
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(passed().await, 10);
}

#[tokio::test]
async fn hostile_bodies_are_refused_precisely_and_cost_neighbours_nothing() {
    let world = World::new(None);
    let send = async |body: Vec<u8>| {
        let request = Request::post("/events").header("content-type", "text/plain");
        world.send(request.body(Body::from(body)).unwrap()).await
    };
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|n| format!("\"{n:x}\":0")).collect();
        keys.join(",")
    };
    // A hundred thousand keys do not fit; half of that fits, is read, and is no event's business.
    let reply = send(format!("{{\"events\":[],{}}}", keys(100_000)).into_bytes()).await;
    assert_problem(&reply, 413, "too_large", "keys");
    let event = click("u1", "v1").to_string();
    let crowded = format!("{{{},{}", keys(40_000), &event[1..]);
    let body = format!("{{\"events\":[{crowded},{event}],{}}}", keys(5_000));
    assert!(body.len() < 512 * 1024);
    let reply = send(body.into_bytes()).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json["accepted"]),
        (202, &json!(2))
    );
    // Invalid UTF-8 makes a text that is none: the whole body cannot be read.
    let mut broken = json!({ "events": [click("u1", "v1")] })
        .to_string()
        .into_bytes();
    let at = broken.windows(2).position(|pair| pair == b"u1").unwrap();
    broken[at] = 0xff;
    assert_problem(&send(broken).await, 400, "not_json", "utf-8");
    // A name that comes twice: the later one counts, as everywhere in JSON.
    let twice = format!("{{\"events\":[{{\"user_id\":\"u9\",{}]}}", &event[1..]);
    let reply = send(twice.into_bytes()).await;
    assert_eq!(reply.json["accepted"], 1);
    assert!(
        world
            .streamed()
            .await
            .iter()
            .all(|event| event.user_id.as_str() == "u1")
    );
}

#[tokio::test]
async fn forged_and_expired_tokens_and_bad_values_are_named_beside_good_neighbours() {
    let world = World::new(None);
    let (video, audience) = (
        "v1".parse().unwrap(),
        Audience::of(Some(&user("u1")), &signer()),
    );
    let gone = web::Signer::from_secret("a key that is no longer live").unwrap();
    let mint_on = |signer: &web::Signer, now_ms| {
        ItemToken::mint(signer, "s", 1, &video, "home=b", audience, now_ms)
    };
    let mint = |signer: &web::Signer| mint_on(signer, NOW_MS);
    let with = |field: &str, value: Value| {
        let mut event = click("u1", "v1");
        event[field] = value;
        event
    };
    let batch = vec![
        with("token", json!(mint(&signer()))),
        with("token", json!(mint(&gone))),
        with("token", json!("A".repeat(900))),
        with("ts", json!(NOW_MS + 6 * 60_000)),
        with("watch_ms", json!(-5)),
        with("watch_ms", json!(1.5)),
        with("user_id", json!("u\u{0}")),
        with("event_id", json!("one more")),
        with(
            "token",
            json!(mint_on(&signer(), NOW_MS - 4 * 24 * 3_600_000)),
        ),
        click("u2", "v2"),
    ];
    let reply = post(&world, batch).await;
    assert_eq!(reply.json["accepted"], 2);
    let refused: Vec<_> = reply.json["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["index"].clone(),
                one["code"].clone(),
                one["field"].clone(),
            )
        })
        .collect();
    let expected = [
        (1, "token_invalid", "token"),
        (2, "invalid_field", "token"),
        (3, "ts_out_of_range", "ts"),
        (4, "invalid_field", "watch_ms"),
        (5, "invalid_field", "watch_ms"),
        (6, "invalid_field", "user_id"),
        (7, "invalid_field", "event_id"),
        (8, "token_expired", "token"),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(index, code, field)| (json!(index), json!(code), json!(field)))
        .collect();
    assert_eq!(refused, expected);
    let arms: Vec<_> = world
        .streamed()
        .await
        .into_iter()
        .map(|event| event.arms)
        .collect();
    assert!(arms.contains(&"home=b".into()), "{arms:?}");
}
