//! The answer API Gateway gets.

use std::collections::BTreeMap;

use ::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE, TRANSFER_ENCODING,
    WWW_AUTHENTICATE,
};
use ::http::{HeaderMap, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::REQUEST_ID;

/// Payload format 2.0.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) status_code: u16,
    pub(super) headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) cookies: Vec<String>,
    pub(super) body: String,
    pub(super) is_base64_encoded: bool,
}

impl Answer {
    /// The router's answer.
    pub(super) fn of(response: Response<Bytes>) -> Self {
        let (parts, body) = response.into_parts();
        let (headers, cookies) = fold_headers(&parts.headers);
        // Text travels as it is; whatever is not text, compressed bodies too, as base64.
        let (body, is_base64_encoded) = match String::from_utf8(Vec::from(body)) {
            Ok(text) => (text, false),
            Err(binary) => (STANDARD.encode(binary.as_bytes()), true),
        };
        Self {
            status_code: parts.status.as_u16(),
            headers,
            cookies,
            body,
            is_base64_encoded,
        }
    }

    /// A problem document (RFC 9457) that says nothing but the status.
    pub(super) fn problem(status: StatusCode, request_id: &str) -> Self {
        let (code, title) = match status {
            StatusCode::BAD_REQUEST => ("bad_request", "the request cannot be understood"),
            StatusCode::UNAUTHORIZED => ("unauthorized", "a credential is needed"),
            StatusCode::FORBIDDEN => ("forbidden", "not for this caller"),
            StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "the body is too large"),
            StatusCode::URI_TOO_LONG => ("uri_too_long", "the address is too long"),
            _ => ("internal", "something went wrong here"),
        };
        let document = json!({
            "type": "about:blank", "title": title, "status": status.as_u16(), "code": code,
            "request_id": request_id,
        });
        let mut headers = vec![
            (CONTENT_TYPE, "application/problem+json"),
            (CACHE_CONTROL, "no-store"),
            (REQUEST_ID, request_id),
        ];
        if status == StatusCode::UNAUTHORIZED {
            headers.push((WWW_AUTHENTICATE, "ApiKey"));
        }
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name.to_string(), value.to_owned()));
        Self {
            status_code: status.as_u16(),
            headers: headers.collect(),
            cookies: Vec::new(),
            body: document.to_string(),
            is_base64_encoded: false,
        }
    }
}

/// One line a name: several values of a header are joined, as HTTP allows for all but cookies.
/// What describes the connection to us is left out.
fn fold_headers(headers: &HeaderMap) -> (BTreeMap<String, String>, Vec<String>) {
    let mut folded = BTreeMap::new();
    let mut cookies = Vec::new();
    for (name, value) in headers {
        if [CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING].contains(name) {
            continue;
        }
        let Ok(value) = std::str::from_utf8(value.as_bytes()) else {
            continue;
        };
        if name == SET_COOKIE {
            cookies.push(value.to_owned());
            continue;
        }
        folded
            .entry(name.to_string())
            .and_modify(|values: &mut String| {
                values.push_str(", ");
                values.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    (folded, cookies)
}
