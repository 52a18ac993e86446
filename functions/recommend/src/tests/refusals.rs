//! Bad requests of every kind: 4xx with a field where there is one, never 500.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Method, Request, Uri};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::world::*;

fn assert_problem(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_eq!(reply.status, status, "{what} {}", reply.json);
    assert_eq!(
        reply.header("content-type"),
        "application/problem+json",
        "{what}"
    );
    assert_eq!(reply.header("cache-control"), "no-store", "{what}");
    assert_eq!(reply.json["status"], status, "{what}");
    assert_eq!(reply.json["code"], code, "{what}");
    assert_eq!(
        reply.json["request_id"],
        reply.header("x-request-id"),
        "{what}"
    );
}

#[tokio::test]
async fn a_wrong_value_is_400_and_names_its_field_without_echoing_it() {
    let world = World::empty();
    let many = vec!["v"; 201].join(",");
    let tampered = "A".repeat(80);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=51", "limit"),
        ("limit=sekrit", "limit"),
        ("limit=5&limit=6", "limit"),
        ("user_id=sekrit%20", "user_id"),
        ("user_id=", "user_id"),
        ("user_id=%ff%fe", "user_id"),
        ("cohort=sekrit", "cohort"),
        ("session=v1,sekrit!", "session"),
        ("scene=%3Csekrit%3E", "scene"),
        ("category=%00sekrit", "category"),
        ("match=sekrit", "match"),
        ("market=sekrit-place", "market"),
        ("explain=sekrit", "explain"),
        ("cursor=sekrit", "cursor"),
        ("cursor=", "cursor"),
        (&format!("cursor={tampered}"), "cursor"),
        (&format!("exclude={many}"), "exclude"),
    ] {
        let reply = world.get(&format!("/recommend?{query}")).await;
        assert_problem(&reply, 400, "invalid_field", query);
        assert_eq!(reply.json["field"], field, "{query}");
        assert!(!reply.json.to_string().contains("sekrit"), "{}", reply.json);
    }
    for uri in [
        "/videos/a%20b",
        "/videos/a.b/similar",
        "/users/%ff/history",
        "/videos//similar",
        "/videos/%2e%2e",
    ] {
        let reply = world.get(uri).await;
        assert_problem(&reply, 400, "invalid_field", uri);
        assert_eq!(reply.json["field"], "id", "{uri}");
    }
    for (body, field) in [
        (json!([]), "body"),
        (json!({"limit": "20"}), "limit"),
        (json!({"user_id": 5}), "user_id"),
        (json!({"exclude": "a,b"}), "exclude"),
        (json!({"session": {"a": 1}}), "session"),
        (json!({"explain": 1}), "explain"),
    ] {
        let reply = world.post("/recommend", &body).await;
        assert_problem(&reply, 400, "invalid_field", &body.to_string());
        assert_eq!(reply.json["field"], field, "{body}");
    }
}

#[tokio::test]
async fn what_is_not_known_is_ignored() {
    let world = World::new().await;
    let plain = world.get("/trending?limit=3").await;
    for query in [
        "limit=3&utm_source=x",
        "limit=3&limit[]=9&&=&%ff=%ff",
        "limit=3&session=!",
    ] {
        let reply = world.get(&format!("/trending?{query}")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.ids()),
            (200, plain.ids()),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_changed_cursor_is_400() {
    let world = World::new().await;
    let first = world.get("/recommend?user_id=u1").await;
    let cursor = first.cursor().unwrap();
    let changed = if cursor.starts_with('B') { "C" } else { "B" };
    let changed = format!("{changed}{}", &cursor[1..]);
    let reply = world
        .get(&format!("/recommend?user_id=u1&cursor={changed}"))
        .await;
    assert_problem(&reply, 400, "invalid_field", "changed");
    assert_eq!(reply.json["field"], "cursor");
    world.clock.advance(std::time::Duration::from_secs(36 * 60));
    let reply = world
        .get(&format!("/recommend?user_id=u1&cursor={cursor}"))
        .await;
    assert_problem(&reply, 400, "invalid_field", "expired");
}

#[tokio::test]
async fn no_other_path_leads_anywhere() {
    let world = World::empty();
    for uri in [
        "/",
        "/recommend/",
        "/recommend/x.css",
        "/recommend%2f..",
        "/recommend/..%2ftrending",
        "//recommend",
        "/Recommend",
        "/./recommend",
        "/recommend;x=1",
        "/videos",
        "/users/u1",
        "/metrics",
        "/debug",
    ] {
        assert_problem(&world.get(uri).await, 404, "not_found", uri);
    }
}

#[tokio::test]
async fn a_method_that_does_not_fit_is_405_whatever_a_header_says() {
    let world = World::empty();
    for (method, uri) in [
        (Method::DELETE, "/recommend"),
        (Method::PUT, "/trending"),
        (Method::POST, "/latest"),
        (Method::PATCH, "/videos/v1"),
        (Method::OPTIONS, "/recommend"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("x-http-method-override", "GET")
            .body(Body::empty())
            .unwrap();
        let reply = world.send(request).await;
        assert_problem(&reply, 405, "method_not_allowed", uri);
        assert!(reply.header("allow").contains("GET"), "{uri}");
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let world = World::new().await;
    let request = Request::head("/recommend").body(Body::empty()).unwrap();
    let head = world.send(request).await;
    assert_eq!((head.status.as_u16(), &head.json), (200, &Value::Null));
}

#[tokio::test]
async fn bodies_are_judged_before_they_are_read() {
    let world = World::empty();
    let bomb = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for (content_type, body, status, code) in [
        ("text/plain", "{}".to_owned(), 415, "unsupported_media_type"),
        (
            "application/x-www-form-urlencoded",
            "limit=5".to_owned(),
            415,
            "unsupported_media_type",
        ),
        (
            "application/json",
            " ".repeat(64 * 1024 + 1),
            413,
            "too_large",
        ),
        ("application/json", bomb, 400, "too_deep"),
        (
            "application/json",
            "{\"limit\":".to_owned(),
            400,
            "not_json",
        ),
        ("application/json", String::new(), 400, "not_json"),
    ] {
        let request = Request::post("/recommend").header("content-type", content_type);
        let reply = world.send(request.body(Body::from(body)).unwrap()).await;
        assert_problem(&reply, status, code, content_type);
    }
    let long = format!("/recommend?exclude={}", "v".repeat(17_000));
    assert_problem(&world.get(&long).await, 414, "uri_too_long", "long");
}

#[tokio::test]
async fn too_much_is_429_and_asks_nobody_anything() {
    let world = World::new().await;
    let limits = json!({"guard": {"limits": {
        "interface": {"per_second": 1.0, "burst": 100.0},
        "user": {"per_second": 0.4, "burst": 2.0},
        "region": {"per_second": 1.0, "burst": 50.0},
    }}});
    world.tuning.offer(&limits.to_string()).unwrap();
    let ask = |user: &str, ip: &str| {
        let peer: SocketAddr = ip.parse().unwrap();
        let uri = format!("/recommend?user_id={user}");
        Request::get(uri)
            .extension(ConnectInfo(peer))
            .body(Body::empty())
            .unwrap()
    };
    for _ in 0..2 {
        assert_eq!(world.send(ask("u1", "192.0.2.1:1")).await.status, 200);
    }
    let calls = world.tables.calls.load(Ordering::Relaxed);
    let offered = world.outbox.counts().accepted;
    let refused = world.send(ask("u1", "192.0.2.1:1")).await;
    assert_problem(&refused, 429, "user_limit", "user");
    assert_eq!(refused.header("retry-after"), "3");
    assert_eq!(world.tables.calls.load(Ordering::Relaxed), calls);
    assert_eq!(world.outbox.counts().accepted, offered);

    for n in 0..48 {
        let user = format!("stranger{n}");
        assert_eq!(
            world.send(ask(&user, "192.0.2.9:1")).await.status,
            200,
            "{n}"
        );
    }
    let refused = world.send(ask("stranger99", "192.0.2.77:1")).await;
    assert_problem(&refused, 429, "region_limit", "region");
    assert_eq!(refused.header("retry-after"), "1");
    for n in 0..50 {
        let user = format!("other{n}");
        assert_eq!(
            world.send(ask(&user, "198.51.100.1:1")).await.status,
            200,
            "{n}"
        );
    }
    let refused = world.send(ask("u2", "203.0.113.1:1")).await;
    assert_problem(&refused, 429, "interface_limit", "interface");
}

#[tokio::test]
async fn losing_the_tables_costs_the_history_not_the_recommendation() {
    let world = World::new().await;
    let gone = guard::Deadline::after(world.clock.clone(), std::time::Duration::ZERO);
    for (method, uri, body, status) in [
        ("GET", "/recommend?user_id=u1", "", 200),
        ("POST", "/recommend", r#"{"user_id":"u1"}"#, 200),
        ("GET", "/trending", "", 200),
        ("GET", "/videos/v1", "", 200),
        ("GET", "/users/u1/history", "", 503),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", "application/json")
            .extension(gone.clone())
            .body(Body::from(body))
            .unwrap();
        let reply = world.send(request).await;
        assert_eq!(reply.status, status, "{method} {uri} {}", reply.json);
        assert_eq!(
            reply.header("retry-after").is_empty(),
            status == 200,
            "{uri}"
        );
    }
}

/// Any bytes as they may stand in an address.
fn escaped(bytes: Vec<u8>) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| format!("%{byte:02x}").into_bytes())
        .collect()
}

/// Method, path and query, body: near the real ones, and far from them.
fn requests() -> impl Strategy<Value = (Method, Vec<u8>, Vec<u8>)> {
    let methods = [Method::GET, Method::POST, Method::HEAD, Method::PUT];
    let near = prop::sample::select(vec![
        "/recommend",
        "/videos/",
        "/videos/v1/similar",
        "/trending",
        "/users/u1/history",
        "/",
    ]);
    let query = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        prop::collection::vec(any::<u8>(), 0..60).prop_map(escaped),
        "(user_id|limit|cursor|category|match|exclude|market|explain|session|cohort)=[!-~]{0,12}(&limit=[0-9]{1,3})?"
            .prop_map(String::into_bytes),
    ];
    let tail = || prop::collection::vec(any::<u8>(), 0..12);
    let tail = prop_oneof![tail(), tail().prop_map(escaped), tail().prop_map(escaped)];
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "\\{\"(user_id|limit|exclude|session)\":(\"\\PC{0,9}\"|[0-9]{1,30}|\\[\\]|null|\\{\\})\\}"
            .prop_map(String::into_bytes),
    ];
    (
        prop::sample::select(methods.to_vec()),
        near,
        tail,
        query,
        body,
    )
        .prop_map(|(method, near, tail, query, body)| {
            let uri = [near.as_bytes(), &tail, b"?", &query].concat();
            (method, uri, body)
        })
}

#[test]
fn arbitrary_bytes_are_never_our_mistake() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new());
    let unlimited = json!({"guard": {"limits": {
        "interface": {"per_second": 1_000_000.0, "burst": 1_000_000.0},
        "user": {"per_second": 1_000_000.0, "burst": 1_000_000.0},
    }}});
    world.tuning.offer(&unlimited.to_string()).unwrap();
    let answered = std::cell::Cell::new(0_u32);
    TestRunner::new(Config {
        cases: 500,
        failure_persistence: None,
        ..Config::default()
    })
    .run(&requests(), |(method, uri, body)| {
        // What cannot be an address never reaches a handler.
        let Ok(uri) = Uri::try_from(uri.as_slice()) else {
            return Ok(());
        };
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("content-type", "application/json");
        let reply = runtime.block_on(world.send(request.body(Body::from(body)).unwrap()));
        answered.set(answered.get() + 1);
        prop_assert!(
            reply.status.as_u16() < 500,
            "{} {}",
            reply.status,
            reply.json
        );
        Ok(())
    })
    .unwrap();
    assert!(
        answered.get() > 100,
        "only {} were requests at all",
        answered.get()
    );
}
