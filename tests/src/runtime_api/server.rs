//! The HTTP side: the Runtime API of 2018-06-01 and the Extensions API of 2020-01-01.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use guard::Clock;
use http::{HeaderMap, HeaderValue, StatusCode};
use ops::RealClock;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot, watch};

/// What Lambda takes as a response.
const RESPONSE_BYTES_MAX: usize = 6 * 1024 * 1024;
const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:local";

/// When the event was handed over, what came of it, and when that was.
pub(super) type Outcome = (Duration, Result<Value, Value>, Duration);

/// What the function and its driver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: RealClock,
    state: Mutex<Environment>,
    /// Wakes those who wait for an event.
    arrived: Notify,
    /// Raised by every change that somebody may wait for.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Environment {
    /// When the runtime first asked for an event.
    first_next: Option<Duration>,
    init_failure: Option<String>,
    /// Whether the runtime waits for an event.
    waiting: bool,
    queued: Option<Delivery>,
    running: Option<Running>,
    extensions: BTreeMap<String, Extension>,
    answered_at: Duration,
    settled_at: Duration,
}

#[derive(Debug)]
struct Extension {
    name: String,
    waiting: bool,
    queued: Option<Value>,
}

#[derive(Debug)]
struct Running {
    id: String,
    handed: Duration,
    answer: oneshot::Sender<Outcome>,
}

/// An event on its way to the function.
#[derive(Debug)]
pub(super) struct Delivery {
    id: String,
    event: Bytes,
    deadline_ms: i64,
    answer: Option<oneshot::Sender<Outcome>>,
}

impl Delivery {
    pub(super) fn new(id: String, event: &Value, now_ms: i64, timeout: Duration) -> Self {
        let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let deadline_ms = now_ms.saturating_add(timeout_ms);
        Self {
            id,
            event: event.to_string().into(),
            deadline_ms,
            answer: None,
        }
    }
}

impl Shared {
    pub(super) fn new(clock: RealClock) -> Self {
        Self {
            clock,
            state: Mutex::default(),
            arrived: Notify::new(),
            changes: watch::Sender::new(0),
        }
    }

    /// Queues an event for the runtime and tells the extensions of it.
    pub(super) fn deliver(
        &self,
        mut delivery: Delivery,
    ) -> anyhow::Result<oneshot::Receiver<Outcome>> {
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.state();
            if state.queued.is_some() || state.running.is_some() {
                bail!("an environment runs one invocation at a time");
            }
            let told = json!({
                "eventType": "INVOKE",
                "deadlineMs": delivery.deadline_ms,
                "requestId": delivery.id,
                "invokedFunctionArn": ARN,
                "tracing": {"type": "X-Amzn-Trace-Id", "value": trace_id(&delivery.id)},
            });
            for extension in state.extensions.values_mut() {
                extension.queued = Some(told.clone());
            }
            delivery.answer = Some(sender);
            state.queued = Some(delivery);
        }
        self.arrived.notify_waiters();
        Ok(answer)
    }

    /// Waits for the first question for an event and returns when it came.
    pub(super) async fn initialised(&self) -> anyhow::Result<Duration> {
        let mut changes = self.changes.subscribe();
        loop {
            {
                let state = self.state();
                if let Some(failure) = &state.init_failure {
                    bail!("its start failed: {failure}");
                }
                if let Some(first) = state.first_next {
                    return Ok(first);
                }
            }
            changes.changed().await.context("the runtime api ended")?;
        }
    }

    /// Waits until everybody waits for an event; returns how long after the last answer that was.
    pub(super) async fn settled(&self) -> Duration {
        let mut changes = self.changes.subscribe();
        loop {
            {
                let state = self.state();
                if state.idle() {
                    return state.settled_at.saturating_sub(state.answered_at);
                }
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    pub(super) fn extensions(&self) -> Vec<String> {
        self.state()
            .extensions
            .values()
            .map(|extension| extension.name.clone())
            .collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Environment> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, notes when it settled, and wakes who waits for changes.
    fn change<T>(&self, change: impl FnOnce(&mut Environment, Duration) -> T) -> T {
        let now = self.clock.now().mono;
        let value = {
            let mut state = self.state();
            let was_idle = state.idle();
            let value = change(&mut state, now);
            if !was_idle && state.idle() {
                state.settled_at = now;
            }
            value
        };
        self.changes.send_modify(|changes| *changes += 1);
        value
    }

    /// Ends the running invocation; whether it was this one.
    fn finish(&self, id: &str, result: Result<Value, Value>) -> bool {
        self.change(|state, now| {
            if state
                .running
                .as_ref()
                .is_none_or(|running| running.id != id)
            {
                return false;
            }
            state.answered_at = now;
            if let Some(running) = state.running.take() {
                // Who gave up waiting does not hear it.
                let _ = running.answer.send((running.handed, result, now));
            }
            true
        })
    }
}

impl Environment {
    fn idle(&self) -> bool {
        self.waiting
            && self.queued.is_none()
            && self.running.is_none()
            && self.extensions.values().all(|extension| extension.waiting)
    }
}

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
    shared.change(|state, now| {
        state.first_next.get_or_insert(now);
        state.waiting = true;
    });
    loop {
        let arrived = shared.arrived.notified();
        tokio::pin!(arrived);
        // Listening before looking, so that an event in between is not missed.
        arrived.as_mut().enable();
        let taken = shared.change(|state, now| {
            let mut delivery = state.queued.take()?;
            state.waiting = false;
            let answer = delivery.answer.take()?;
            let id = delivery.id.clone();
            state.running = Some(Running {
                id,
                handed: now,
                answer,
            });
            Some(delivery)
        });
        if let Some(delivery) = taken {
            return invocation(&delivery);
        }
        arrived.await;
    }
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
    shared.change(|state, _| state.init_failure = Some(failure));
    StatusCode::ACCEPTED
}

async fn register(State(shared): Api, headers: HeaderMap) -> Response {
    let name = headers
        .get("lambda-extension-name")
        .and_then(|name| name.to_str().ok());
    let name = name.unwrap_or("unnamed").to_owned();
    let id = shared.change(|state, _| {
        let id = format!("00000000-0000-4000-9000-{:012}", state.extensions.len() + 1);
        state.extensions.insert(
            id.clone(),
            Extension {
                name,
                waiting: false,
                queued: None,
            },
        );
        id
    });
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
    let id = id.unwrap_or_default().to_owned();
    let known = shared.change(|state, _| match state.extensions.get_mut(&id) {
        Some(extension) => {
            extension.waiting = true;
            true
        }
        None => false,
    });
    if !known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    }
    loop {
        let arrived = shared.arrived.notified();
        tokio::pin!(arrived);
        arrived.as_mut().enable();
        let taken = shared.change(|state, _| {
            let extension = state.extensions.get_mut(&id)?;
            let event = extension.queued.take()?;
            extension.waiting = false;
            Some(event)
        });
        if let Some(event) = taken {
            return Response::new(Body::from(event.to_string()));
        }
        arrived.await;
    }
}

fn trace_id(request_id: &str) -> String {
    let number = request_id.rsplit('-').next().unwrap_or_default();
    format!("Root=1-00000000-000000000000{number};Parent=0000{number};Sampled=0")
}

#[cfg(test)]
mod tests {
    use guard::Tasks;
    use http::Request;
    use http_body_util::BodyExt;
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
        let (tasks, shared) = (Tasks::new(), Arc::new(Shared::new(RealClock::new())));
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
        let shared = Arc::new(Shared::new(RealClock::new()));
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

        let shared = Arc::new(Shared::new(RealClock::new()));
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
