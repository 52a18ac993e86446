//! Percent-encoding, tolerantly undone.

use std::borrow::Cow;

/// Undoes `%XX` and `+`; what is not a valid escape stays as it is. Copies only what it changes.
///
/// `None` when the result is not UTF-8.
pub(crate) fn decode(encoded: &[u8]) -> Option<Cow<'_, str>> {
    if !encoded.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return std::str::from_utf8(encoded).ok().map(Cow::Borrowed);
    }
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => decoded.push(b' '),
            b'%' => match escape(tail) {
                Some((byte, after)) => {
                    decoded.push(byte);
                    rest = after;
                }
                None => decoded.push(b'%'),
            },
            other => decoded.push(other),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn escape(tail: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], after) = tail.split_first_chunk::<2>()?;
    Some(((nibble(high)? << 4) | nibble(low)?, after))
}

fn nibble(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_everything_else_stays() {
        let cases: [(&[u8], Option<&str>); 8] = [
            (b"plain", Some("plain")),
            (b"a+b%20c", Some("a b c")),
            (b"%2F%2f", Some("//")),
            (b"%", Some("%")),
            (b"%4", Some("%4")),
            (b"%zz", Some("%zz")),
            (b"%C3%A4", Some("ä")),
            (b"%ff", None),
        ];
        for (encoded, decoded) in cases {
            assert_eq!(decode(encoded).as_deref(), decoded, "{encoded:?}");
        }
    }
}
