//! A JSON body becomes an answer: ETag, 304, cache headers.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use web::{ETag, Freshness};

/// Room for what is written here and around it.
const HEADERS: usize = 12;

/// Answers with the body, or with 304 when the client has it. `tag` is the body's, if it is known.
pub(crate) fn respond(
    body: Bytes,
    tag: Option<ETag>,
    freshness: Freshness,
    asked: &HeaderMap,
) -> Response {
    let mut response = Response::default();
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    if freshness != Freshness::NoStore {
        let tag = tag.unwrap_or_else(|| ETag::of(&body));
        tag.write(response.headers_mut());
        if tag.is_held(asked) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
    }
    freshness.write(response.headers_mut());
    if response.status() != StatusCode::NOT_MODIFIED {
        let json = const { HeaderValue::from_static("application/json") };
        response.headers_mut().insert(CONTENT_TYPE, json);
        *response.body_mut() = Body::from(body);
    }
    response
}
