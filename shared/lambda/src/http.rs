//! API Gateway's HTTP events (payload format 2.0) as `http` requests.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use bytes::Bytes;
use futures_util::FutureExt;
use guard::Clock;
use http_body_util::{BodyExt, Full, Limited};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use tower::{Service, ServiceExt};

use crate::hosting::{Drain, Error, serve_and_drain};

mod answer;
mod caller;
mod event;

use answer::Answer;
pub use caller::{Caller, Edge};
use event::HttpEvent;

/// What Lambda takes back: 6 MB, base64 and quoting included.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Names a request in answers, logs and traces.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request as the router gets it: its body is all there.
pub type HttpRequest = Request<Full<Bytes>>;

/// Serves a router behind API Gateway.
///
/// Every request carries two extensions, the invocation's [`guard::Deadline`] and what `identify`
/// makes of its [`Caller`], and two headers that can be believed: an `x-request-id`, Lambda's own
/// where the client sent none, and a `cloudfront-viewer-address`.
///
/// # Errors
/// When the Lambda runtime interface cannot be reached.
pub async fn http<S, B, C>(
    router: S,
    identify: fn(Caller) -> C,
    edge: Edge,
    clock: Arc<dyn Clock>,
    drain: Drain,
) -> Result<(), Error>
where
    S: Service<HttpRequest, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Display + Send,
    S::Future: Send,
    B: BodyExt<Data: Send> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    C: Clone + Send + Sync + 'static,
{
    let adapter = Adapter {
        router,
        identify,
        edge: Arc::new(edge),
        clock,
    };
    let handler = service_fn(move |event: LambdaEvent<HttpEvent>| {
        let adapter = adapter.clone();
        async move { Ok::<_, Diagnostic>(adapter.answer(event).await) }
    });
    serve_and_drain(handler, drain).await
}

#[derive(Clone)]
struct Adapter<S, C> {
    router: S,
    identify: fn(Caller) -> C,
    edge: Arc<Edge>,
    clock: Arc<dyn Clock>,
}

impl<S, B, C> Adapter<S, C>
where
    S: Service<HttpRequest, Response = Response<B>> + Clone,
    S::Error: Display,
    B: BodyExt,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    C: Clone + Send + Sync + 'static,
{
    async fn answer(&self, event: LambdaEvent<HttpEvent>) -> Answer {
        let (event, context) = event.into_parts();
        let (caller, address) = match self.edge.admit(&event) {
            Ok(admitted) => admitted,
            Err(status) => return Answer::problem(status, &context.request_id),
        };
        let mut request = match event.into_request() {
            Ok(request) => request,
            Err(status) => return Answer::problem(status, &context.request_id),
        };
        caller::write_address(address, request.headers_mut());
        request.extensions_mut().insert((self.identify)(caller));
        request
            .extensions_mut()
            .insert(crate::budget::deadline(&self.clock, context.deadline));
        if let Ok(id) = HeaderValue::from_str(&context.request_id) {
            request.headers_mut().entry(REQUEST_ID).or_insert(id);
        }
        let work = AssertUnwindSafe(self.route(request)).catch_unwind();
        let routed = work.await.unwrap_or_else(|_| {
            tracing::error!("the router panicked");
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        });
        match routed {
            Ok(response) => Answer::of(response),
            Err(status) => Answer::problem(status, &context.request_id),
        }
    }

    async fn route(&self, request: HttpRequest) -> Result<Response<Bytes>, StatusCode> {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .map_err(|error| {
                tracing::error!(%error, "the router failed");
                StatusCode::INTERNAL_SERVER_ERROR
            })?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| {
                tracing::error!(%error, "the answer's body failed");
                StatusCode::INTERNAL_SERVER_ERROR
            })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

#[cfg(test)]
mod tests;
