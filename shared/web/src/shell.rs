//! What every answer gets: request id, trace, panic guard, problems, counters.
//!
//! A layer of its own instead of a middleware function: it lies around every request, and a function
//! would copy the route and box what it waits for once more each.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use guard::Clock;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use tower::{Layer, Service};
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span, field};

use crate::meters::{Meter, Meters};
use crate::request_id::{Ids, RequestId};
use crate::trace::TraceParent;
use crate::{Freshness, Problem};

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

    /// The answer to a request that is turned away before anything is done for it.
    pub(crate) fn overloaded(&self, headers: &HeaderMap) -> Response {
        let id = RequestId::of(headers).unwrap_or_else(|| self.ids.request());
        stamp(Problem::overloaded().render(Some(&id)), Some(id))
    }
}

/// Puts the shell around each route.
#[derive(Debug, Clone)]
pub(crate) struct Around(pub Arc<Shell>);

/// A route within the shell.
#[derive(Debug, Clone)]
pub(crate) struct Stamped<S> {
    route: S,
    place: Arc<Place>,
}

/// Where a route is: clones of it share this.
#[derive(Debug)]
struct Place {
    shell: Arc<Shell>,
    /// Known from the first request on.
    meter: OnceLock<Arc<Meter>>,
}

/// An answer under way.
pub(crate) struct Stamping<F> {
    answering: Instrumented<F>,
    place: Arc<Place>,
    /// Until it is written.
    id: Option<RequestId>,
    started: Duration,
}

impl<S> Layer<S> for Around {
    type Service = Stamped<S>;

    fn layer(&self, route: S) -> Stamped<S> {
        let (shell, meter) = (Arc::clone(&self.0), OnceLock::new());
        let place = Arc::new(Place { shell, meter });
        Stamped { route, place }
    }
}

impl<S> Service<Request> for Stamped<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Stamping<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Stamping<S::Future> {
        let place = Arc::clone(&self.place);
        let started = place.shell.clock.now().mono;
        let id = RequestId::of(request.headers()).unwrap_or_else(|| place.shell.ids.request());
        let span = span_of(&request, place.meter(&request).route(), &id);
        Stamping {
            answering: self.route.call(request).instrument(span),
            place,
            id: Some(id),
            started,
        }
    }
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for Stamping<F> {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            answering,
            place,
            id,
            started,
        } = &mut *self;
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *answering).poll(cx)));
        let span = answering.span();
        let response = match polled {
            Ok(answered) => ready!(answered)?,
            Err(_) => {
                span.in_scope(|| tracing::error!("a handler panicked"));
                Problem::internal().render(id.as_ref())
            }
        };
        let response = stamp(response, id.take());
        span.record("http.response.status_code", response.status().as_u16());
        place.count(&response, *started);
        Poll::Ready(Ok(response))
    }
}

impl Place {
    fn meter(&self, request: &Request) -> &Meter {
        self.meter.get_or_init(|| {
            let matched = request.extensions().get::<MatchedPath>();
            let route = matched.map_or("none", MatchedPath::as_str);
            self.shell.meters.of(route)
        })
    }

    fn count(&self, response: &Response, started: Duration) {
        let took = self.shell.clock.now().mono.saturating_sub(started);
        if let Some(meter) = self.meter.get() {
            meter.count(response.status(), took);
        }
    }
}

/// Makes a problem of an error that is none, and writes what every answer says.
fn stamp(mut response: Response, id: Option<RequestId>) -> Response {
    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && !speaks_json(&response) {
        response = as_problem(response, id.as_ref());
    }
    let headers = response.headers_mut();
    if !headers.contains_key(CACHE_CONTROL) {
        Freshness::NoStore.write(headers);
    }
    let nosniff = const { HeaderValue::from_static("nosniff") };
    headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    if let Some(id) = id {
        id.write(headers);
    }
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
    if span.is_disabled() {
        return span;
    }
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
fn as_problem(response: Response, id: Option<&RequestId>) -> Response {
    let problem = response.extensions().get::<Problem>().cloned();
    let problem = problem.unwrap_or_else(|| Problem::of_status(response.status()));
    let mut rendered = problem.render(id);
    for (name, value) in response.headers() {
        if name != CONTENT_LENGTH && !rendered.headers().contains_key(name) {
            rendered.headers_mut().insert(name, value.clone());
        }
    }
    rendered
}
