//! How long an invocation may work.

use std::sync::Arc;
use std::time::Duration;

use guard::{Clock, Deadline};

/// Kept back from Lambda's own deadline for posting the answer.
const ANSWER_RESERVE_MS: i64 = 200;

/// The deadline of an invocation that Lambda kills at `kills_at_ms` (Unix time).
pub(crate) fn deadline(clock: &Arc<dyn Clock>, kills_at_ms: u64) -> Deadline {
    let kills_at_ms = i64::try_from(kills_at_ms).unwrap_or(i64::MAX);
    let left_ms = kills_at_ms.saturating_sub(clock.now().wall_ms) - ANSWER_RESERVE_MS;
    let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
    Deadline::after(Arc::clone(clock), left)
}

#[cfg(test)]
mod tests {
    use guard::ManualClock;

    use super::*;

    #[test]
    fn an_invocation_ends_before_lambda_ends_it() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(1_000_000));
        for (kills_at_ms, left_ms) in [(1_010_000, 9_800), (1_000_100, 0), (0, 0), (1_000_201, 1)] {
            let left = deadline(&clock, kills_at_ms).remaining();
            assert_eq!(left, Duration::from_millis(left_ms), "{kills_at_ms}");
        }
    }
}
