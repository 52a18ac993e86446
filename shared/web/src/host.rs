//! What surrounds every handler: request id, trace, panic guard, problems, counters.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use guard::Clock;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use tokio::net::TcpListener;
use tracing::{Instrument, Span, field};
use utoipa::openapi::OpenApi;

use crate::meters::Meters;
use crate::request_id::{Ids, RequestId};
use crate::trace::TraceParent;
use crate::{Freshness, Problem, openapi};

/// What every request of a process needs.
#[derive(Debug)]
pub struct Shell {
    clock: Arc<dyn Clock>,
    ids: Ids,
    meters: Meters,
}

impl Shell {
    /// A shell whose request ids follow from `seed` (see [`crate::system_seed`]).
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self {
            clock,
            ids: Ids::seeded(seed),
            meters: Meters::default(),
        }
    }
}

/// Makes a service of routes: adds `/openapi.json`, answers 404 and 405 as problems, and stamps
/// every answer.
///
/// Paths are taken as they come: nothing is normalised, no header overrides the method.
pub fn host(routes: Router, documents: Vec<OpenApi>, shell: Arc<Shell>) -> Router {
    routes
        .merge(openapi::routes(documents))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn_with_state(shell, stamp))
}

/// Serves a router on a socket until `stop` resolves and what is under way has been answered.
/// Handlers find the peer's address in their requests.
///
/// # Errors
/// What the operating system says of the socket.
pub fn listen(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> BoxFuture<'static, io::Result<()>> {
    let served = router.into_make_service_with_connect_info::<SocketAddr>();
    // Both boxed: so all of the server is compiled here, and optimised as this crate is.
    let stop = stop.boxed();
    async move {
        axum::serve(listener, served)
            .with_graceful_shutdown(stop)
            .await
    }
    .boxed()
}

async fn stamp(State(shell): State<Arc<Shell>>, mut request: Request, next: Next) -> Response {
    let started = shell.clock.now().mono;
    let id = RequestId::of(request.headers()).unwrap_or_else(|| shell.ids.request());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    let meter = shell.meters.of(route);
    let span = span_of(&request, route, &id);
    request.extensions_mut().insert(id.clone());

    let answered = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let mut response = answered.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("a handler panicked"));
        Problem::internal().render(Some(&id))
    });

    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && !speaks_json(&response) {
        response = as_problem(response, &id);
    }
    let headers = response.headers_mut();
    if !headers.contains_key(CACHE_CONTROL) {
        Freshness::NoStore.write(headers);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    id.write(headers);

    span.record("http.response.status_code", status.as_u16());
    let took = shell.clock.now().mono.saturating_sub(started);
    meter.count(status, took);
    response
}

fn span_of(request: &Request, route: &str, id: &RequestId) -> Span {
    let span = tracing::info_span!(
        "request",
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = field::Empty,
        request.id = %id,
        trace.id = field::Empty,
        trace.parent_id = field::Empty,
    );
    if let Some(trace) = TraceParent::of(request.headers()) {
        span.record("trace.id", trace.trace_id);
        span.record("trace.parent_id", trace.parent_id);
    }
    span
}

/// Whether a handler answered with a document of its own, as `/health/ready` does.
fn speaks_json(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|value| value == "application/json")
}

/// The same error with the request's id in its document; headers such as `Allow` stay.
fn as_problem(response: Response, id: &RequestId) -> Response {
    let problem = response.extensions().get::<Problem>().cloned();
    let problem = problem.unwrap_or_else(|| Problem::of_status(response.status()));
    let mut rendered = problem.render(Some(id));
    for (name, value) in response.headers() {
        if name != CONTENT_LENGTH && !rendered.headers().contains_key(name) {
            rendered.headers_mut().insert(name, value.clone());
        }
    }
    rendered
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use guard::ManualClock;
    use http::StatusCode;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    fn service() -> Router {
        let routes = Router::new()
            .route("/fine", get(|| async { "fine" }))
            .route(
                "/kept",
                get(|| async { ([(CACHE_CONTROL, "private, no-cache")], "kept") }),
            )
            .route("/bare", get(|| async { StatusCode::PAYLOAD_TOO_LARGE }))
            .route(
                "/own",
                get(|| async { (StatusCode::SERVICE_UNAVAILABLE, axum::Json(7)) }),
            )
            .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
            .route("/panic", get(|| async { panic!("on purpose") as &str }));
        let shell = Shell::new(Arc::new(ManualClock::default()), 1);
        host(routes, Vec::new(), Arc::new(shell))
    }

    async fn ask(method: &str, uri: &str, lines: &[(&str, &str)]) -> (Response, Value) {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = service().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let document = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        (Response::from_parts(parts, Body::empty()), document)
    }

    #[tokio::test]
    async fn every_error_is_a_problem_with_the_id_of_its_request() {
        for (method, uri, status, code) in [
            ("GET", "/none", 404, "not_found"),
            ("GET", "/fine/", 404, "not_found"),
            ("GET", "/fine%2f..", 404, "not_found"),
            ("POST", "/fine", 405, "method_not_allowed"),
            ("GET", "/bare", 413, "too_large"),
            ("GET", "/busy", 503, "unavailable"),
            ("GET", "/panic", 500, "internal"),
        ] {
            let (response, document) = ask(method, uri, &[]).await;
            let headers = response.headers();
            assert_eq!(response.status(), status, "{uri}");
            assert_eq!(headers["content-type"], "application/problem+json", "{uri}");
            assert_eq!(headers["cache-control"], "no-store", "{uri}");
            assert_eq!(document["code"], code, "{uri}");
            assert_eq!(document["status"], status, "{uri}");
            assert_eq!(
                document["request_id"],
                headers["x-request-id"].to_str().unwrap(),
                "{uri}"
            );
        }
        let (refused, _) = ask("POST", "/fine", &[]).await;
        assert_eq!(refused.headers()["allow"], "GET,HEAD");
    }

    #[tokio::test]
    async fn a_document_of_a_handlers_own_stays() {
        let (response, document) = ask("GET", "/own", &[]).await;
        assert_eq!(
            (response.status().as_u16(), document),
            (503, Value::from(7))
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
    }

    #[tokio::test]
    async fn a_valid_request_id_is_kept_and_another_replaced() {
        let (kept, _) = ask("GET", "/fine", &[("x-request-id", "abc-1")]).await;
        assert_eq!(kept.headers()["x-request-id"], "abc-1");
        let (replaced, _) = ask("GET", "/fine", &[("x-request-id", "a b")]).await;
        assert_eq!(replaced.headers()["x-request-id"].len(), 32);
    }

    #[tokio::test]
    async fn what_says_nothing_about_caching_is_not_stored() {
        let (silent, _) = ask("GET", "/fine", &[]).await;
        assert_eq!(silent.headers()["cache-control"], "no-store");
        let (kept, _) = ask("GET", "/kept", &[]).await;
        assert_eq!(kept.headers()["cache-control"], "private, no-cache");
    }

    #[tokio::test]
    async fn a_method_override_is_ignored() {
        let lines = [
            ("x-http-method-override", "GET"),
            ("x-method-override", "GET"),
        ];
        let (refused, _) = ask("DELETE", "/fine", &lines).await;
        assert_eq!(refused.status(), 405);
    }
}
