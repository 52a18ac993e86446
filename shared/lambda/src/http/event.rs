//! The event API Gateway sends, and the request in it.
//!
//! Paths and queries go through as they came. What no URI may contain (control characters, blanks,
//! bytes beyond ASCII, a `?` or `#` where it would start another part) is percent-encoded: the same
//! text to whoever decodes it, and never a panic.

use std::collections::HashMap;
use std::fmt::Write as _;

use ::http::header::COOKIE;
use ::http::uri::PathAndQuery;
use ::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use serde::Deserialize;

use super::HttpRequest;

/// What API Gateway can send through Lambda; routers set tighter limits.
const BODY_BYTES_MAX: usize = 5 * 1024 * 1024;
/// What a path and query may be; `http` itself ends at 64 KiB.
const URI_BYTES_MAX: usize = 32 * 1024;

/// What is read of the event.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpEvent {
    pub(super) raw_path: String,
    #[serde(default)]
    pub(super) raw_query_string: String,
    #[serde(default)]
    pub(super) cookies: Option<Vec<String>>,
    #[serde(default)]
    pub(super) headers: Option<HashMap<String, String>>,
    pub(super) request_context: RequestContext,
    #[serde(default)]
    pub(super) body: Option<String>,
    #[serde(default)]
    pub(super) is_base64_encoded: bool,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RequestContext {
    pub(super) http: HttpContext,
    #[serde(default)]
    pub(super) authorizer: Option<Authorizer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpContext {
    pub(super) method: String,
    #[serde(default)]
    pub(super) source_ip: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Authorizer {
    #[serde(default)]
    pub(super) jwt: Option<Jwt>,
    /// Only that it is there counts: API Gateway has verified the signature and the permission.
    #[serde(default)]
    pub(super) iam: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Jwt {
    #[serde(default)]
    pub(super) claims: HashMap<String, serde_json::Value>,
}

impl HttpEvent {
    /// A header's value; API Gateway sends names in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref()?.get(name).map(String::as_str)
    }

    /// The request.
    ///
    /// # Errors
    /// The status to answer with: 400, 413 or 414.
    pub(super) fn into_request(self) -> Result<HttpRequest, StatusCode> {
        let method = Method::from_bytes(self.request_context.http.method.as_bytes())
            .map_err(|_| StatusCode::BAD_REQUEST)?;
        let uri = uri(&self.raw_path, &self.raw_query_string)?;
        let body = body(self.body.unwrap_or_default(), self.is_base64_encoded)?;
        let mut request = HttpRequest::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        for (name, value) in self.headers.unwrap_or_default() {
            // What is not a header cannot be told to a router; nothing depends on such ones.
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_bytes(value.as_bytes()),
            ) {
                headers.append(name, value);
            }
        }
        let cookies = self.cookies.unwrap_or_default();
        if !cookies.is_empty()
            && let Ok(cookies) = HeaderValue::from_bytes(cookies.join("; ").as_bytes())
        {
            headers.insert(COOKIE, cookies);
        }
        Ok(request)
    }
}

fn body(text: String, is_base64: bool) -> Result<Bytes, StatusCode> {
    let bytes = if is_base64 {
        text.len() / 4 * 3
    } else {
        text.len()
    };
    if bytes > BODY_BYTES_MAX {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    if is_base64 {
        STANDARD
            .decode(text)
            .map(Bytes::from)
            .map_err(|_| StatusCode::BAD_REQUEST)
    } else {
        Ok(Bytes::from(text))
    }
}

fn uri(path: &str, query: &str) -> Result<Uri, StatusCode> {
    let mut text = String::with_capacity(path.len() + query.len() + 2);
    if !path.starts_with('/') {
        text.push('/');
    }
    encode(path, b"/", &mut text);
    if !query.is_empty() {
        text.push('?');
        encode(query, b"/?", &mut text);
    }
    if text.len() > URI_BYTES_MAX {
        return Err(StatusCode::URI_TOO_LONG);
    }
    // From its parts: a path that begins with two slashes would be read as naming a host.
    let path_and_query = PathAndQuery::try_from(text).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(Uri::from(path_and_query))
}

/// Appends `text`, percent-encoding what RFC 3986 does not let stand; `%` itself stands.
fn encode(text: &str, also: &[u8], into: &mut String) {
    for byte in text.bytes() {
        let stands = byte.is_ascii_alphanumeric()
            || b"-._~!$&'()*+,;=:@%".contains(&byte)
            || also.contains(&byte);
        if stands {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}
