//! How long each stage took, for the client: `Server-Timing`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::Decimal;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Most bytes of the header; a stage that does not fit is left out.
const TEXT_BYTES_MAX: usize = 1_024;
/// Room for the one stage of most answers, in bytes.
const USUAL_BYTES: usize = 24;

/// Collects stages in their order.
#[derive(Debug, Clone)]
pub struct ServerTiming(Vec<u8>);

impl Default for ServerTiming {
    fn default() -> Self {
        Self(Vec::with_capacity(USUAL_BYTES))
    }
}

impl ServerTiming {
    /// Adds a stage; `name` consists of token characters.
    pub fn add(&mut self, name: &str, micros: u64) {
        let before = self.0.len();
        let comma: &[u8] = if before == 0 { b"" } else { b", " };
        let ms = Decimal::of(micros / 1_000, 1);
        let rest = Decimal::of(micros % 1_000, 3);
        let parts = [
            comma,
            name.as_bytes(),
            b";dur=",
            ms.as_bytes(),
            b".",
            rest.as_bytes(),
        ];
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
        if self.0.len() > TEXT_BYTES_MAX {
            self.0.truncate(before);
        }
    }

    /// Writes the header unless there was no stage.
    pub fn write(self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(self.0)) {
            headers.insert(SERVER_TIMING, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_keep_their_order_and_microseconds() {
        let mut timing = ServerTiming::default();
        timing.add("local", 12);
        timing.add("rank", 1_250);
        let mut headers = HeaderMap::new();
        timing.write(&mut headers);
        assert_eq!(headers["server-timing"], "local;dur=0.012, rank;dur=1.250");
        let mut silent = HeaderMap::new();
        ServerTiming::default().write(&mut silent);
        assert!(silent.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut timing = ServerTiming::default();
        for _ in 0..1_000 {
            timing.add("a_stage_with_a_long_name", 1);
        }
        let mut headers = HeaderMap::new();
        timing.write(&mut headers);
        let text = headers["server-timing"].to_str().unwrap();
        assert!(
            text.len() <= TEXT_BYTES_MAX && text.len() > 900,
            "{}",
            text.len()
        );
        assert!(
            text.ends_with("a_stage_with_a_long_name;dur=0.001"),
            "{text}"
        );
    }
}
