//! Errors as RFC 9457 documents.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use smol_str::SmolStr;
use store::ErrorKind;

use crate::{Freshness, RequestId};

/// What a client may wait before it tries again when a store did not answer, in seconds.
const RETRY_AFTER_S: u32 = 1;

/// Why there is no answer: a status, a code to branch on, and the field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}")]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    field: Option<SmolStr>,
    retry_after_s: Option<u32>,
    rejected: Vec<Rejected>,
}

/// One entry of a batch that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Rejected {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Why; `retry` means that the same entry may be taken later.
    pub code: &'static str,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub field: Option<SmolStr>,
}

/// The document on the wire.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument<'a> {
    /// Always `about:blank`: the status and the code say it all.
    #[serde(rename = "type")]
    kind: &'static str,
    /// For people.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// For programs.
    code: &'a str,
    /// The parameter, header or body field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// Also in `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// Of a batch: what was not taken, and why.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    rejected: &'a [Rejected],
}

impl Problem {
    const fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        Self {
            status,
            code,
            title,
            field: None,
            retry_after_s: None,
            rejected: Vec::new(),
        }
    }

    /// 400: a field has the wrong type or is out of range.
    pub fn field(name: impl Into<SmolStr>) -> Self {
        Self::bad_request(
            "invalid_field",
            "a field has the wrong type or is out of range",
        )
        .at(name)
    }

    /// 400 with a code of its own.
    #[must_use]
    pub const fn bad_request(code: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, title)
    }

    /// 401: no credential, or not the one needed.
    #[must_use]
    pub const fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "a credential is needed",
        )
    }

    /// 403: not for this caller.
    #[must_use]
    pub const fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "not for this caller")
    }

    /// 404.
    #[must_use]
    pub const fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing")
    }

    /// 405.
    #[must_use]
    pub const fn method_not_allowed() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(
            status,
            "method_not_allowed",
            "the method does not fit the path",
        )
    }

    /// 408: the body did not arrive in time.
    #[must_use]
    pub const fn body_late() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_late",
            "the body did not arrive in time",
        )
    }

    /// 409: what was asked for does not fit what there is.
    #[must_use]
    pub const fn conflict(code: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, code, title)
    }

    /// 413.
    #[must_use]
    pub const fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the body is too large",
        )
    }

    /// 414.
    #[must_use]
    pub const fn uri_too_long() -> Self {
        Self::new(
            StatusCode::URI_TOO_LONG,
            "uri_too_long",
            "the address is too long, use POST",
        )
    }

    /// 415.
    #[must_use]
    pub const fn unsupported_media_type() -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(
            status,
            "unsupported_media_type",
            "the body is not of a type taken here",
        )
    }

    /// 429: asked too much; `code` says by whom: `interface_limit`, `user_limit`, `region_limit`.
    #[must_use]
    pub const fn too_many(code: &'static str, retry_after_s: u32) -> Self {
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            code,
            "too many requests, try again later",
        );
        problem.retry_after_s = Some(retry_after_s);
        problem
    }

    /// 500: a mistake of ours.
    #[must_use]
    pub const fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong here",
        )
    }

    /// 503: try again after so many seconds.
    #[must_use]
    pub const fn unavailable(retry_after_s: u32) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut problem = Self::new(status, "unavailable", "not available now, try again later");
        problem.retry_after_s = Some(retry_after_s);
        problem
    }

    /// 503: as much as may be is at work here; another process may have room.
    #[must_use]
    pub const fn overloaded() -> Self {
        let mut problem = Self::unavailable(RETRY_AFTER_S);
        problem.code = "overloaded";
        problem
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn at(mut self, field: impl Into<SmolStr>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Lists what was not taken of a batch.
    #[must_use]
    pub fn rejecting(mut self, rejected: Vec<Rejected>) -> Self {
        self.rejected = rejected;
        self
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The code to branch on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The field that is wrong.
    #[must_use]
    pub fn field_name(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The problem of an answer that some layer below made without one.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => Self::method_not_allowed(),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(),
            StatusCode::SERVICE_UNAVAILABLE => Self::unavailable(RETRY_AFTER_S),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::unsupported_media_type(),
            _ if status.is_client_error() => {
                Self::bad_request("bad_request", "the request cannot be understood")
            }
            _ => Self::internal(),
        }
    }

    /// The whole answer, with the id of its request when that is known.
    pub(crate) fn render(self, request_id: Option<&RequestId>) -> Response {
        let document = ProblemDocument {
            kind: "about:blank",
            title: self.title,
            status: self.status.as_u16(),
            code: self.code,
            field: self.field.as_deref(),
            request_id: request_id.map(RequestId::as_str),
            rejected: &self.rejected,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        Freshness::NoStore.write(headers);
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(http::header::WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.render(None)
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        Self::from(error.kind)
    }
}

impl From<ErrorKind> for Problem {
    /// The one table from store errors to HTTP.
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::not_found(),
            ErrorKind::Invalid => Self::bad_request("invalid", "the request cannot be carried out"),
            ErrorKind::Timeout
            | ErrorKind::Cancelled
            | ErrorKind::Throttled
            | ErrorKind::Unavailable => Self::unavailable(RETRY_AFTER_S),
            ErrorKind::Corrupt => Self::internal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn the_document_names_code_field_and_request_and_is_never_stored() {
        let id = RequestId::parse("req-1").unwrap();
        let response = Problem::field("limit").render(Some(&id));
        assert_eq!(response.status(), 400);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "type": "about:blank", "status": 400, "code": "invalid_field",
                "title": "a field has the wrong type or is out of range",
                "field": "limit", "request_id": "req-1",
            })
        );
    }

    #[test]
    fn what_may_succeed_later_says_when() {
        for kind in [
            ErrorKind::Timeout,
            ErrorKind::Throttled,
            ErrorKind::Unavailable,
        ] {
            let response = Problem::from(kind).into_response();
            assert_eq!(response.status(), 503, "{kind:?}");
            assert_eq!(response.headers()["retry-after"], "1", "{kind:?}");
        }
        assert_eq!(
            Problem::from(ErrorKind::Corrupt).into_response().status(),
            500
        );
    }
}
