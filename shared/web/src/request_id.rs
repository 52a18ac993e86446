//! Request ids.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use rand::TryRng;
use rand::rngs::SysRng;

/// The header, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is kept.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Names one request in answers, logs and traces. Kept as the header that it travels in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes an id of 1 to 128 of the characters `A-Z a-z 0-9 _ - . =`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value = HeaderValue::from_str(text).ok()?;
        is_id(text.as_bytes()).then_some(Self(value))
    }

    /// The id that came with the request, when it is a valid one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(X_REQUEST_ID)?;
        is_id(value.as_bytes()).then(|| Self(value.clone()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Of its characters every one is text.
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn write(self, headers: &mut HeaderMap) {
        headers.insert(X_REQUEST_ID, self.0);
    }
}

fn is_id(text: &[u8]) -> bool {
    let clean = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'=');
    (1..=REQUEST_ID_BYTES_MAX).contains(&text.len()) && text.iter().all(clean)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes numbers that differ within a process and, by their seed, between processes.
#[derive(Debug)]
pub struct Ids {
    seed: u64,
    made: AtomicU64,
}

impl Ids {
    /// Numbers that follow from the seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            made: AtomicU64::new(0),
        }
    }

    /// The next number.
    pub fn number(&self) -> u128 {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        xxhash_rust::xxh3::xxh3_128_with_seed(&made.to_le_bytes(), self.seed)
    }

    /// The next request id.
    pub fn request(&self) -> RequestId {
        RequestId(hexadecimal(self.number()))
    }
}

/// 32 digits; several times as fast as the formatter, for every request.
fn hexadecimal(number: u128) -> HeaderValue {
    let mut digits = [b'0'; 32];
    for (at, digit) in digits.iter_mut().rev().enumerate() {
        let nibble = (number >> (4 * at)) as u8 & 0xf;
        *digit = if nibble < 10 { b'0' } else { b'a' - 10 } + nibble;
    }
    // Digits are a header's value, so the other arm is never taken.
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static(""))
}

/// A seed from the operating system, for the boot of a process.
///
/// Falls back on `otherwise` (the wall clock does) where the system gives none.
#[must_use]
pub fn system_seed(otherwise: u64) -> u64 {
    SysRng.try_next_u64().unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_valid_id_is_kept_and_any_other_replaced() {
        for (text, kept) in [
            ("JKJaXmPLvHcESHA=", true),
            ("Root.1-abc_9", true),
            (&"a".repeat(128), true),
            (&"a".repeat(129), false),
            ("", false),
            ("a b", false),
            ("<script>", false),
        ] {
            assert_eq!(RequestId::parse(text).is_some(), kept, "{text}");
        }
    }

    #[test]
    fn an_id_is_its_number_in_hexadecimal() {
        for number in [0, 1, 0xabc, u128::MAX, u128::MAX / 3] {
            assert_eq!(hexadecimal(number), format!("{number:032x}"));
        }
    }

    #[test]
    fn ids_differ_within_and_between_processes() {
        let (one, two) = (Ids::seeded(1), Ids::seeded(2));
        let ids: HashSet<_> = (0..1000)
            .flat_map(|_| [one.request(), two.request()])
            .collect();
        assert_eq!(ids.len(), 2000);
    }
}
