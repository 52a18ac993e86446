//! Entity tags: a hash of the content.

use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

/// A strong entity tag, RFC 9110 §8.8.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The tag of these bytes.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(format!("\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(body)))
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
                tag == "*" || opaque == self.0
            })
    }

    /// Writes the header.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            headers.insert(ETAG, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_holds_the_content_is_recognised() {
        let tag = ETag::of(b"content");
        let cases = [
            (tag.0.clone(), true),
            (format!("W/{}", tag.0), true),
            (format!("\"other\", {}", tag.0), true),
            ("*".to_owned(), true),
            ("\"other\"".to_owned(), false),
            (tag.0.trim_matches('"').to_owned(), false),
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
