//! The clock that is not turned by hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guard::{Clock, Now};
use tokio::time::Instant;

/// Reads the machine's clocks. The monotonic one is tokio's, so that a test which pauses tokio's
/// time also stops deadlines.
#[derive(Debug, Clone, Copy)]
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// A clock whose monotonic zero is now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others ask"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others ask"
    )]
    fn now(&self) -> Now {
        let mono = Instant::now().saturating_duration_since(self.start);
        // A machine set before 1970 is at 1970.
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Now {
            mono,
            wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_stops_the_monotonic_clock() {
        let clock = RealClock::new();
        assert_eq!(clock.now().mono, Duration::ZERO);
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.now().mono, Duration::from_secs(7));
    }

    #[test]
    fn the_wall_clock_knows_which_millennium_it_is() {
        let in_2020_ms = 1_577_836_800_000;
        assert!(RealClock::new().now().wall_ms > in_2020_ms);
    }
}
