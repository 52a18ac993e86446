//! The HTTP side: the Runtime API of 2018-06-01 and the Extensions API of 2020-01-01.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::environment::{ARN, Delivery, Shared, trace_id};

/// What Lambda takes as a response.
const RESPONSE_BYTES_MAX: usize = 6 * 1024 * 1024;

type Api = State<Arc<Shared>>;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route(
            "/2018-06-01/runtime/invocation/{id}/response",
            post(response),
        )
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .route("/2020-01-01/extension/register", post(register))
        .route("/2020-01-01/extension/event/next", get(event_next))
        .route("/2020-01-01/extension/init/error", post(init_error))
        .route("/2020-01-01/extension/exit/error", post(init_error))
        .layer(DefaultBodyLimit::max(RESPONSE_BYTES_MAX))
        .with_state(shared)
}

async fn next(State(shared): Api) -> Response {
    invocation(&shared.next_event().await)
}

fn invocation(delivery: &Delivery) -> Response {
    let mut response = Response::new(Body::from(delivery.event.clone()));
    let headers = [
        ("lambda-runtime-aws-request-id", delivery.id.clone()),
        (
            "lambda-runtime-deadline-ms",
            delivery.deadline_ms.to_string(),
        ),
        ("lambda-runtime-invoked-function-arn", ARN.to_owned()),
        ("lambda-runtime-trace-id", trace_id(&delivery.id)),
        ("content-type", "application/json".to_owned()),
    ];
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn response(State(shared): Api, Path(id): Path<String>, body: Bytes) -> StatusCode {
    let value = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body).into_owned()));
    accepted(shared.finish(&id, Ok(value)))
}

async fn error(State(shared): Api, Path(id): Path<String>, body: Bytes) -> StatusCode {
    let value = serde_json::from_slice(&body).unwrap_or_default();
    accepted(shared.finish(&id, Err(value)))
}

fn accepted(known: bool) -> StatusCode {
    if known {
        StatusCode::ACCEPTED
    } else {
        StatusCode::BAD_REQUEST
    }
}

async fn init_error(State(shared): Api, body: Bytes) -> StatusCode {
    let failure = String::from_utf8_lossy(&body).into_owned();
    shared.fail_init(failure);
    StatusCode::ACCEPTED
}

async fn register(State(shared): Api, headers: HeaderMap, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    if shared.concurrency > 1
        && asked
            .get("events")
            .and_then(Value::as_array)
            .is_some_and(|all| !all.is_empty())
    {
        return refused();
    }
    let name = headers
        .get("lambda-extension-name")
        .and_then(|name| name.to_str().ok());
    let name = name.unwrap_or("unnamed").to_owned();
    let id = shared.register(name);
    let body = json!({
        "functionName": "local", "functionVersion": "$LATEST", "handler": "bootstrap",
        "accountId": "000000000000",
    });
    let mut response = Response::new(Body::from(body.to_string()));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response
            .headers_mut()
            .insert("lambda-extension-identifier", id);
    }
    response
}

async fn event_next(State(shared): Api, headers: HeaderMap) -> Response {
    let id = headers
        .get("lambda-extension-identifier")
        .and_then(|id| id.to_str().ok());
    match shared.next_told(id.unwrap_or_default()).await {
        Some(told) => Response::new(Body::from(told.to_string())),
        None => refused(),
    }
}

fn refused() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use guard::Tasks;
    use http::Request;
    use http_body_util::BodyExt;
    use ops::RealClock;
    use tower::ServiceExt;

    use super::*;

    const NEXT: &str = "/2018-06-01/runtime/invocation/next";
    const EVENT_NEXT: &str = "/2020-01-01/extension/event/next";
    const IN_VAIN: Duration = Duration::from_millis(50);

    async fn ask(shared: &Arc<Shared>, method: &str, path: &str, id: &str) -> (HeaderMap, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("lambda-extension-name", "drain")
            .header("lambda-extension-identifier", id)
            .body(Body::from("{\"done\":true}"))
            .unwrap();
        let response = router(Arc::clone(shared)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_environment_has_settled_when_the_runtime_and_its_extensions_ask_again() {
        let (tasks, shared) = (Tasks::new(), Arc::new(Shared::new(RealClock::new(), 1)));
        let (headers, _) = ask(&shared, "POST", "/2020-01-01/extension/register", "").await;
        let id = headers["lambda-extension-identifier"]
            .to_str()
            .unwrap()
            .to_owned();
        let poll = |path: &'static str| {
            let (shared, id) = (Arc::clone(&shared), id.clone());
            tasks.spawn(async move { ask(&shared, "GET", path, &id).await })
        };
        let settles = async || {
            tokio::time::timeout(IN_VAIN, shared.settled())
                .await
                .is_ok()
        };

        let runtime = poll(NEXT);
        assert!(!settles().await, "the extension has not asked yet");
        let extension = poll(EVENT_NEXT);
        assert!(settles().await);

        let delivery = Delivery::new("r1".into(), &json!({"n": 1}), 1_000, IN_VAIN);
        let answer = shared.deliver(delivery).unwrap();
        let (headers, event) = runtime.await.unwrap();
        assert_eq!(event, "{\"n\":1}");
        assert_eq!(headers["lambda-runtime-aws-request-id"], "r1");
        assert_eq!(headers["lambda-runtime-deadline-ms"], "1050");
        let (_, told) = extension.await.unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            (&told["eventType"], &told["requestId"]),
            (&json!("INVOKE"), &json!("r1"))
        );

        ask(
            &shared,
            "POST",
            "/2018-06-01/runtime/invocation/r1/response",
            "",
        )
        .await;
        let (_, result, _) = answer.await.unwrap();
        assert_eq!(result, Ok(json!({"done": true})));
        let _runtime = poll(NEXT);
        assert!(!settles().await, "the extension is still at work");
        tokio::time::advance(Duration::from_millis(30)).await;
        let _extension = poll(EVENT_NEXT);
        assert!(shared.settled().await >= Duration::from_millis(30));
    }

    #[tokio::test]
    async fn a_reported_error_is_the_answer_and_a_failed_start_is_told() {
        let shared = Arc::new(Shared::new(RealClock::new(), 1));
        let answer = shared
            .deliver(Delivery::new("r1".into(), &json!({}), 0, IN_VAIN))
            .unwrap();
        ask(&shared, "GET", NEXT, "").await;
        ask(
            &shared,
            "POST",
            "/2018-06-01/runtime/invocation/r1/error",
            "",
        )
        .await;
        assert_eq!(answer.await.unwrap().1, Err(json!({"done": true})));

        let shared = Arc::new(Shared::new(RealClock::new(), 1));
        ask(&shared, "POST", "/2018-06-01/runtime/init/error", "").await;
        assert!(
            shared
                .initialised()
                .await
                .unwrap_err()
                .to_string()
                .contains("done")
        );
    }
}
