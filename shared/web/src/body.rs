//! Bodies: their type, size and depth are judged before they are read as JSON.

use axum::body::Body;
use bytes::Bytes;
use guard::Deadline;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use crate::Problem;

/// Deepest nesting of arrays and objects in a body.
pub const JSON_DEPTH_MAX: usize = 32;
/// Largest body of most routes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Largest body of the routes that take batches.
pub const BATCH_BYTES_MAX: usize = 512 * 1024;

/// What a route takes.
#[derive(Debug, Clone, Copy)]
pub struct BodyRules {
    /// Largest body, in bytes.
    pub bytes_max: usize,
    /// Whether `text/plain` is taken too, as `navigator.sendBeacon` sends it.
    pub beacon: bool,
}

impl BodyRules {
    /// JSON of at most [`BODY_BYTES_MAX`].
    pub const JSON: Self = Self {
        bytes_max: BODY_BYTES_MAX,
        beacon: false,
    };
    /// JSON of at most [`BATCH_BYTES_MAX`].
    pub const BATCH: Self = Self {
        bytes_max: BATCH_BYTES_MAX,
        beacon: false,
    };
    /// JSON of at most [`BATCH_BYTES_MAX`], also from a beacon.
    pub const BEACON: Self = Self {
        bytes_max: BATCH_BYTES_MAX,
        beacon: true,
    };

    fn takes(self, headers: &HeaderMap) -> bool {
        let encoded = headers
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| coding != "identity");
        let Some(content_type) = headers.get(CONTENT_TYPE) else {
            return !encoded;
        };
        let text = content_type.to_str().unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default().trim();
        let json = essence.eq_ignore_ascii_case("application/json");
        let beacon = self.beacon && essence.eq_ignore_ascii_case("text/plain");
        !encoded && (json || beacon)
    }
}

/// Reads a body.
///
/// # Errors
/// 415, 413, 408 when it does not arrive in time, 400 when it breaks off.
pub async fn read_body(
    headers: &HeaderMap,
    body: Body,
    rules: BodyRules,
    deadline: &Deadline,
) -> Result<Bytes, Problem> {
    if !rules.takes(headers) {
        return Err(Problem::unsupported_media_type());
    }
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    let announced = announced.and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > rules.bytes_max as u64) {
        return Err(Problem::too_large());
    }
    let collecting = Limited::new(body, rules.bytes_max).collect();
    let collected = deadline.limit_unless_ready(collecting).await;
    match collected.map_err(|_| Problem::body_late())? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::too_large()),
        Err(_) => Err(Problem::bad_request("body_broken", "the body broke off").at("body")),
    }
}

/// Reads a body and parses it as JSON.
///
/// # Errors
/// As [`read_body`]; 400 when it is not JSON or nests deeper than [`JSON_DEPTH_MAX`].
pub async fn read_json(
    headers: &HeaderMap,
    body: Body,
    rules: BodyRules,
    deadline: &Deadline,
) -> Result<Value, Problem> {
    parse_json(&read_body(headers, body, rules, deadline).await?)
}

/// Parses JSON.
///
/// # Errors
/// 400 when it is not JSON or nests deeper than [`JSON_DEPTH_MAX`].
pub fn parse_json(bytes: &[u8]) -> Result<Value, Problem> {
    if depth(bytes) > JSON_DEPTH_MAX {
        return Err(Problem::bad_request("too_deep", "the body nests too deep").at("body"));
    }
    serde_json::from_slice(bytes)
        .map_err(|_| Problem::bad_request("not_json", "the body is not JSON").at("body"))
}

/// How deep arrays and objects nest, looking at brackets outside strings only.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use guard::ManualClock;
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Arc::new(ManualClock::default()), Duration::from_secs(5))
    }

    async fn status(content_type: Option<&str>, body: Body, rules: BodyRules) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(text) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(text).unwrap());
        }
        match read_json(&headers, body, rules, &soon()).await {
            Ok(_) => 200,
            Err(problem) => problem.status().as_u16(),
        }
    }

    #[tokio::test]
    async fn type_size_and_depth_are_judged() {
        let small = BodyRules {
            bytes_max: 100,
            beacon: false,
        };
        let beacon = BodyRules {
            beacon: true,
            ..small
        };
        let cases = [
            (Some("application/json"), "{}".to_owned(), small, 200),
            (
                Some("Application/JSON; charset=utf-8"),
                "{}".to_owned(),
                small,
                200,
            ),
            (None, "{}".to_owned(), small, 200),
            (
                Some("text/plain;charset=UTF-8"),
                "{}".to_owned(),
                beacon,
                200,
            ),
            (Some("text/plain"), "{}".to_owned(), small, 415),
            (
                Some("application/x-www-form-urlencoded"),
                "{}".to_owned(),
                beacon,
                415,
            ),
            (Some("application/json"), "[".repeat(33), small, 400),
            (
                Some("application/json"),
                format!("\"{}\"", "[".repeat(90)),
                small,
                200,
            ),
            (Some("application/json"), "{".to_owned(), small, 400),
            (Some("application/json"), " ".repeat(101), small, 413),
        ];
        for (content_type, body, rules, expected) in cases {
            let shown = format!("{content_type:?} {body}");
            assert_eq!(
                status(content_type, Body::from(body), rules).await,
                expected,
                "{shown}"
            );
        }
    }

    #[tokio::test]
    async fn an_announced_size_is_refused_before_a_byte_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("65537"));
        let endless = Body::from_stream(futures_util::stream::pending::<Result<Bytes, String>>());
        let refused = read_body(&headers, endless, BodyRules::JSON, &soon()).await;
        assert_eq!(refused.unwrap_err().status(), 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_given_up() {
        let endless = Body::from_stream(futures_util::stream::pending::<Result<Bytes, String>>());
        let late = read_body(&HeaderMap::new(), endless, BodyRules::JSON, &soon()).await;
        assert_eq!(late.unwrap_err().status(), 408);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse_json(&bytes);
        }

        #[test]
        fn depth_counts_the_nesting_of_valid_json(levels in 0_usize..60) {
            let text = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
            prop_assert_eq!(depth(text.as_bytes()), levels);
            prop_assert_eq!(parse_json(text.as_bytes()).is_ok(), levels <= JSON_DEPTH_MAX);
        }
    }
}
