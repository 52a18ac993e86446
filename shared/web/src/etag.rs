//! Entity tags: a hash of the content.

use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

/// A strong entity tag, RFC 9110 §8.8.3. Clones share its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(HeaderValue);

impl ETag {
    /// The tag of these bytes.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let text = format!("\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(body));
        // Hexadecimal digits in quotes are a header's value, so the other arm is never taken.
        let value = HeaderValue::try_from(text);
        Self(value.unwrap_or(HeaderValue::from_static("\"\"")))
    }

    /// Whether the client holds this very content, by the weak comparison of `If-None-Match`.
    #[must_use]
    pub fn is_held(&self, headers: &HeaderMap) -> bool {
        let lines = headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|line| line.to_str().ok());
        lines
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .any(|tag| {
                let opaque = tag.strip_prefix("W/").unwrap_or(tag);
                tag == "*" || self.0 == opaque
            })
    }

    /// Writes the header.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(ETAG, self.0.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_holds_the_content_is_recognised() {
        let tag = ETag::of(b"content");
        let text = tag.0.to_str().unwrap().to_owned();
        let cases = [
            (text.clone(), true),
            (format!("W/{text}"), true),
            (format!("\"other\", {text}"), true),
            ("*".to_owned(), true),
            ("\"other\"".to_owned(), false),
            (text.trim_matches('"').to_owned(), false),
            (String::new(), false),
        ];
        for (line, held) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(&line).unwrap());
            assert_eq!(tag.is_held(&headers), held, "{line}");
        }
        assert_ne!(tag, ETag::of(b"Content"));
    }
}
