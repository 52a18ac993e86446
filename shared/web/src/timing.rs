//! How long each stage took, for the client: `Server-Timing`.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Most stages that are written.
const STAGES_MAX: usize = 24;

/// Room for the one stage of a hit; more make it grow.
const TEXT_BYTES: usize = 32;

/// Collects stages in their order.
#[derive(Debug, Clone, Default)]
pub struct ServerTiming {
    text: String,
    stages: usize,
}

impl ServerTiming {
    /// Adds a stage; `name` consists of token characters.
    pub fn add(&mut self, name: &str, micros: u64) {
        if self.stages == STAGES_MAX {
            return;
        }
        if self.stages == 0 {
            self.text.reserve(TEXT_BYTES);
        }
        let comma = if self.stages == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(
            self.text,
            "{comma}{name};dur={}.{:03}",
            micros / 1000,
            micros % 1000
        );
        self.stages += 1;
    }

    /// Writes the header unless there was no stage.
    pub fn write(self, headers: &mut HeaderMap) {
        if self.stages > 0
            && let Ok(value) = HeaderValue::try_from(self.text)
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
    }
}
