//! How long each stage took, for the client: `Server-Timing`.

use std::io::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Most bytes of the header; a stage that does not fit is left out.
const TEXT_BYTES_MAX: usize = 1_024;

/// Collects stages in their order, without allocating.
#[derive(Debug, Clone)]
pub struct ServerTiming {
    text: [u8; TEXT_BYTES_MAX],
    bytes: usize,
}

impl Default for ServerTiming {
    fn default() -> Self {
        Self {
            text: [0; TEXT_BYTES_MAX],
            bytes: 0,
        }
    }
}

impl ServerTiming {
    /// Adds a stage; `name` consists of token characters.
    pub fn add(&mut self, name: &str, micros: u64) {
        let mut room = self.text.get_mut(self.bytes..).unwrap_or_default();
        let all = room.len();
        let comma = if self.bytes == 0 { "" } else { ", " };
        let (ms, rest) = (micros / 1_000, micros % 1_000);
        // What was written of a stage that does not fit is never looked at.
        if write!(room, "{comma}{name};dur={ms}.{rest:03}").is_ok() {
            self.bytes += all - room.len();
        }
    }

    /// Writes the header unless there was no stage.
    pub fn write(self, headers: &mut HeaderMap) {
        let text = self.text.get(..self.bytes).unwrap_or_default();
        if let Some(value) = HeaderValue::from_bytes(text)
            .ok()
            .filter(|_| self.bytes > 0)
        {
            headers.insert(HeaderName::from_static("server-timing"), value);
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
