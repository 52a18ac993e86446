//! The caller's place in a distributed trace: W3C Trace Context, `traceparent`.

use http::HeaderMap;

/// The trace a request belongs to and the caller's span in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent<'a> {
    /// 32 lower-case hexadecimal digits, not all zero.
    pub trace_id: &'a str,
    /// 16 lower-case hexadecimal digits, not all zero.
    pub parent_id: &'a str,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl<'a> TraceParent<'a> {
    /// Reads the header; what is not valid is as if it were absent, as the specification asks.
    #[must_use]
    pub fn of(headers: &'a HeaderMap) -> Option<Self> {
        Self::parse(headers.get("traceparent")?.to_str().ok()?)
    }

    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let version = parts
            .next()
            .filter(|part| is_hex(part, 2) && *part != "ff")?;
        let nonzero = |part: &&str| part.bytes().any(|digit| digit != b'0');
        let trace_id = parts
            .next()
            .filter(|part| is_hex(part, 32))
            .filter(nonzero)?;
        let parent_id = parts
            .next()
            .filter(|part| is_hex(part, 16))
            .filter(nonzero)?;
        let flags = parts.next().filter(|part| is_hex(part, 2))?;
        // Later versions may append fields; version 00 may not.
        if version == "00" && parts.next().is_some() {
            return None;
        }
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self {
            trace_id,
            parent_id,
            sampled: flags & 1 == 1,
        })
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_valid_header_is_honoured_and_any_other_ignored() {
        let zeros = "0".repeat(32);
        let cases = [
            (format!("00-{TRACE}-{SPAN}-01"), true),
            (format!("cc-{TRACE}-{SPAN}-00-more"), true),
            (format!("00-{TRACE}-{SPAN}-01-more"), false),
            (format!("ff-{TRACE}-{SPAN}-01"), false),
            (format!("00-{zeros}-{SPAN}-01"), false),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), false),
            (format!("00-{TRACE}-01"), false),
            (String::new(), false),
        ];
        for (text, honoured) in cases {
            let parsed = TraceParent::parse(&text);
            assert_eq!(parsed.is_some(), honoured, "{text}");
            if let Some(trace) = parsed {
                assert_eq!((trace.trace_id, trace.parent_id), (TRACE, SPAN));
            }
        }
    }
}
