//! Whole events in, whole answers out.

use std::convert::Infallible;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use guard::{Deadline, ManualClock};
use lambda_runtime::Context;
use ops::settings::{MapLookup, Reader};
use proptest::prelude::*;
use serde_json::json;
use tower::service_fn;

use super::event::{HttpContext, RequestContext};
use super::*;

const NOW_MS: i64 = 1_760_000_000_000;

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::starting_at(NOW_MS))
}

fn context() -> Context {
    let mut context = Context::default();
    context.request_id = "lambda-1".to_owned();
    context.deadline = NOW_MS as u64 + 10_000;
    context
}

/// What a test's router makes of a request.
async fn answered<F>(
    edge: Edge,
    event: HttpEvent,
    handler: impl Fn(HttpRequest) -> F + Clone,
) -> Answer
where
    F: Future<Output = Response<Full<Bytes>>>,
{
    let router = service_fn(move |request| {
        let response = handler(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let adapter = Adapter {
        router,
        identify: |caller| caller,
        edge: Arc::new(edge),
        clock: clock(),
    };
    adapter.answer(LambdaEvent::new(event, context())).await
}

fn event(json: serde_json::Value) -> HttpEvent {
    serde_json::from_value(json).unwrap()
}

fn get(path: &str, query: &str) -> HttpEvent {
    let http = HttpContext {
        method: "GET".to_owned(),
        source_ip: "203.0.113.9".to_owned(),
    };
    HttpEvent {
        raw_path: path.to_owned(),
        raw_query_string: query.to_owned(),
        request_context: RequestContext {
            http,
            authorizer: None,
        },
        ..HttpEvent::default()
    }
}

#[tokio::test]
async fn a_request_arrives_whole() {
    let event = event(json!({
        "version": "2.0", "routeKey": "$default",
        "rawPath": "/events", "rawQueryString": "a=1&b=%20x&a=2",
        "cookies": ["one=1", "two=2"],
        "headers": { "content-type": "text/plain", "accept": "a, b", "x-amzn-trace-id": "Root=1" },
        "requestContext": {
            "authorizer": { "jwt": { "claims": { "sub": "u1", "n": 1 }, "scopes": null } },
            "http": { "method": "POST", "path": "/events", "sourceIp": "203.0.113.9" },
            "stage": "$default",
        },
        "body": STANDARD.encode("héllo"), "isBase64Encoded": true,
    }));
    let answer = answered(Edge::default(), event, |request| async move {
        let caller = request.extensions().get::<Caller>().unwrap().clone();
        let deadline = request.extensions().get::<Deadline>().unwrap();
        assert_eq!(deadline.remaining(), Duration::from_millis(9_800));
        assert_eq!(caller.subject.as_deref(), Some("u1"));
        assert_eq!(
            request.headers()["cloudfront-viewer-address"],
            "203.0.113.9:0"
        );
        assert!(!caller.signed_by_iam);
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "/events?a=1&b=%20x&a=2");
        assert_eq!(request.headers()["cookie"], "one=1; two=2");
        assert_eq!(request.headers()["x-request-id"], "lambda-1");
        Response::new(Full::new(
            request.into_body().collect().await.unwrap().to_bytes(),
        ))
    })
    .await;
    assert_eq!((answer.status_code, answer.body.as_str()), (200, "héllo"));
}

#[tokio::test]
async fn an_answer_leaves_whole() {
    let answer = answered(Edge::default(), get("/", ""), |_| async {
        Response::builder()
            .status(203)
            .header("vary", "accept")
            .header("vary", "cookie")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("content-length", "3")
            .body(Full::new(Bytes::from_static(b"\xff\x00\x01")))
            .unwrap()
    })
    .await;
    assert_eq!(
        serde_json::to_value(&answer).unwrap(),
        json!({
            "statusCode": 203, "headers": { "vary": "accept, cookie" },
            "cookies": ["a=1", "b=2"], "body": "/wAB", "isBase64Encoded": true,
        })
    );
}

#[tokio::test]
async fn a_panic_is_a_problem_without_details() {
    let answer = answered(Edge::default(), get("/", ""), |_| async {
        panic!("secret")
    })
    .await;
    assert_eq!(answer.status_code, 500);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(answer.body.contains("lambda-1") && !answer.body.contains("secret"));
}

#[tokio::test]
async fn who_goes_around_the_edge_is_refused() {
    let lookup = MapLookup::from([("REELWAY_EDGE_SECRET", "s3cret")]);
    let edge = Edge::read(&mut Reader::new(&lookup));
    let with = |headers: serde_json::Value, authorizer: serde_json::Value| {
        event(json!({
            "rawPath": "/", "headers": headers,
            "requestContext": {
                "authorizer": authorizer, "http": { "method": "GET", "sourceIp": "198.51.100.1" },
            },
        }))
    };
    let viewer = "203.0.113.9:4711";
    for (headers, authorizer, seen) in [
        (json!({}), json!(null), None),
        (json!({ "x-edge-secret": "s3cres" }), json!(null), None),
        (
            json!({ "x-edge-secret": "s3cret" }),
            json!(null),
            Some("198.51.100.1:0"),
        ),
        (
            json!({ "x-edge-secret": "s3cret", "cloudfront-viewer-address": viewer }),
            json!(null),
            Some("203.0.113.9:0"),
        ),
        // An administrator talks to the API itself; what it says of a viewer is not believed.
        (
            json!({ "cloudfront-viewer-address": viewer }),
            json!({ "iam": { "userArn": "arn:aws:iam::1:user/a" } }),
            Some("198.51.100.1:0"),
        ),
    ] {
        let event = with(headers, authorizer);
        let answer = answered(edge.clone(), event, |request| async move {
            assert!(!request.headers().contains_key("x-edge-secret"));
            let address = request.headers()["cloudfront-viewer-address"].clone();
            Response::new(Full::new(Bytes::copy_from_slice(address.as_bytes())))
        })
        .await;
        assert_eq!(answer.status_code, if seen.is_some() { 200 } else { 403 });
        if let Some(seen) = seen {
            assert_eq!(answer.body, seen);
        }
    }
}

#[tokio::test]
async fn a_client_shows_its_key_where_one_is_configured() {
    let lookup = MapLookup::from([("REELWAY_API_KEY", "k3y")]);
    let edge = Edge::read(&mut Reader::new(&lookup));
    for (path, headers, status) in [
        ("/recommend", json!({ "x-api-key": "k3y" }), 200),
        ("/recommend", json!({ "x-api-key": "key" }), 401),
        ("/recommend", json!({}), 401),
        ("/health/live", json!({}), 200),
    ] {
        let event = event(json!({
            "rawPath": path, "headers": headers,
            "requestContext": { "http": { "method": "GET", "sourceIp": "198.51.100.1" } },
        }));
        let answer = answered(edge.clone(), event, |_| async { Response::default() }).await;
        assert_eq!(answer.status_code, status, "{path}");
        assert_eq!(
            answer.headers.contains_key("www-authenticate"),
            status == 401
        );
    }
}

#[test]
fn sizes_have_limits() {
    let long = "a".repeat(33 * 1024);
    assert_eq!(get("/", &long).into_request().unwrap_err(), 414);
    let body = |body: String, is_base64_encoded| {
        let event = HttpEvent {
            body: Some(body),
            is_base64_encoded,
            ..get("/", "")
        };
        event.into_request().map(drop)
    };
    assert_eq!(
        body("a".repeat(5 * 1024 * 1024 + 1), false).unwrap_err(),
        413
    );
    assert_eq!(body("not base64!".to_owned(), true).unwrap_err(), 400);
    assert!(body("a".repeat(5 * 1024 * 1024), false).is_ok());
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(
        path in any::<String>(),
        query in any::<String>(),
        method in any::<String>(),
        headers in prop::collection::hash_map(any::<String>(), any::<String>(), 0..5),
        cookies in prop::collection::vec(any::<String>(), 0..3),
        body in any::<String>(),
        is_base64_encoded: bool,
    ) {
        let mut event = get(&path, &query);
        event.request_context.http.method = method;
        event.headers = Some(headers);
        event.cookies = Some(cookies);
        event.body = Some(body);
        event.is_base64_encoded = is_base64_encoded;
        let _ = event.into_request();
    }

    #[test]
    fn path_and_query_mean_what_they_meant(path in "/[^%]{0,40}", query in "[^%]{1,40}") {
        let request = get(&path, &query).into_request().unwrap();
        prop_assert_eq!(decoded(request.uri().path()), path.as_bytes());
        prop_assert_eq!(decoded(request.uri().query().unwrap()), query.as_bytes());
    }

    #[test]
    fn what_a_uri_may_contain_is_not_touched(
        path in "/[A-Za-z0-9._~!$&'()*+,;=:@/%-]{0,40}",
        query in "[A-Za-z0-9._~!$&'()*+,;=:@/?%-]{1,40}",
    ) {
        let request = get(&path, &query).into_request().unwrap();
        prop_assert_eq!(request.uri().path(), path);
        prop_assert_eq!(request.uri().query(), Some(query.as_str()));
    }

    #[test]
    fn any_answer_is_the_same_bytes_again(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let answer = Answer::of(Response::new(Bytes::from(bytes.clone())));
        let back = if answer.is_base64_encoded {
            STANDARD.decode(answer.body).unwrap()
        } else {
            answer.body.into_bytes()
        };
        prop_assert_eq!(back, bytes);
    }
}

#[test]
fn events_of_another_kind_are_refused_by_their_shape() {
    let shapes = [
        json!({ "Records": [] }),
        json!({}),
        json!({ "rawPath": "/" }),
    ];
    for shape in shapes {
        assert!(serde_json::from_value::<HttpEvent>(shape).is_err());
    }
}
