//! The one module that writes cache headers.

use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The viewer's country, as the edge names it; the default of `market`.
pub const VIEWER_COUNTRY: HeaderName = HeaderName::from_static(COUNTRY);
const COUNTRY: &str = "cloudfront-viewer-country";

/// Who may keep an answer, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// No user in the request: the edge may keep it for 30 s and use it for 30 s more while it
    /// asks again.
    Shared,
    /// As `Shared`, but less than was asked for: 5 s, then gone.
    SharedDegraded,
    /// One user's: only that user's client, which asks again with the ETag each time.
    Private,
    /// Nobody.
    NoStore,
}

impl Freshness {
    /// The `Cache-Control` value.
    #[must_use]
    pub const fn cache_control(self) -> HeaderValue {
        // Checked by the compiler, not once more for every answer.
        match self {
            Self::Shared => {
                const {
                    HeaderValue::from_static(
                        "public, max-age=0, s-maxage=30, stale-while-revalidate=30",
                    )
                }
            }
            Self::SharedDegraded => {
                const { HeaderValue::from_static("public, max-age=0, s-maxage=5") }
            }
            Self::Private => const { HeaderValue::from_static("private, no-cache") },
            Self::NoStore => const { HeaderValue::from_static("no-store") },
        }
    }

    /// Writes the headers.
    pub fn write(self, headers: &mut HeaderMap) {
        headers.insert(CACHE_CONTROL, self.cache_control());
        if matches!(self, Self::Shared | Self::SharedDegraded) {
            headers.insert(VARY, const { HeaderValue::from_static(COUNTRY) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shared_answers_may_stay_at_the_edge() {
        for (freshness, edge) in [
            (Freshness::Shared, true),
            (Freshness::SharedDegraded, true),
            (Freshness::Private, false),
            (Freshness::NoStore, false),
        ] {
            let mut headers = HeaderMap::new();
            freshness.write(&mut headers);
            let value = headers[CACHE_CONTROL].to_str().unwrap();
            assert_eq!(value.contains("s-maxage"), edge, "{freshness:?}");
            assert_eq!(headers.contains_key(VARY), edge, "{freshness:?}");
        }
    }

    #[test]
    fn a_degraded_answer_is_gone_after_five_seconds() {
        let value = Freshness::SharedDegraded.cache_control();
        let value = value.to_str().unwrap();
        assert!(
            value.contains("s-maxage=5") && !value.contains("stale"),
            "{value}"
        );
    }
}
