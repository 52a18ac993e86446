//! Answers in the form each service gives them.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::Call;

/// A status and the code AWS gives with it.
pub(super) type Failure = (StatusCode, &'static str);

/// How each service refuses too much load.
pub(super) fn throttled(call: Call) -> Failure {
    if call.is_s3() {
        (StatusCode::SERVICE_UNAVAILABLE, "SlowDown")
    } else {
        (
            StatusCode::BAD_REQUEST,
            "ProvisionedThroughputExceededException",
        )
    }
}

pub(super) fn error(call: Call, (status, code): Failure, message: &str) -> Response {
    if call.is_s3() {
        xml(
            status,
            &format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"),
        )
    } else {
        json_with(status, &json!({"__type": code, "message": message}))
    }
}

pub(super) fn json(value: &Value) -> Response {
    json_with(StatusCode::OK, value)
}

fn json_with(status: StatusCode, value: &Value) -> Response {
    with(
        status,
        "application/x-amz-json-1.0",
        Body::from(value.to_string()),
    )
}

pub(super) fn xml(status: StatusCode, element: &str) -> Response {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{element}");
    with(status, "application/xml", Body::from(text))
}

pub(super) fn with(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}
