//! The pause between dials that fail.

use std::time::Duration;

use guard::Now;

use crate::life::unit;

/// Pause after the first failed dial; doubled by each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause between dials.
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// The pause between dials.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    until: Option<Now>,
}

impl Pause {
    /// Lengthens the pause, differently in every process.
    pub fn fail(&mut self, now: Now, seed: u64) {
        let doubled = PAUSE_FIRST
            .saturating_mul(1 << self.failures.min(10))
            .min(PAUSE_MAX);
        let pause = doubled.mul_f64(0.5 + 0.5 * unit(seed.into(), now.wall_ms));
        let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(Now {
            mono: now.mono.saturating_add(pause),
            wall_ms: now.wall_ms.saturating_add(pause_ms),
        });
    }

    /// Either clock may say so: one stands still in a freeze, the other may be set back.
    pub fn is_over(&self, now: Now) -> bool {
        self.until
            .is_none_or(|until| now.mono >= until.mono || now.wall_ms >= until.wall_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_dials_grows_is_jittered_and_bounded() {
        let mut pause = Pause::default();
        let mut now = Now::default();
        let mut spans = Vec::new();
        for _ in 0..12 {
            assert!(pause.is_over(now));
            pause.fail(now, 7);
            assert!(!pause.is_over(now));
            let until = pause.until.unwrap();
            spans.push(until.mono - now.mono);
            now = until;
        }
        assert!(spans[0] <= PAUSE_FIRST, "{spans:?}");
        assert!(
            spans[11] > spans[0] * 4 && spans[11] <= PAUSE_MAX,
            "{spans:?}"
        );
        let mut other = Pause::default();
        other.fail(Now::default(), 8);
        assert_ne!(other.until.unwrap().mono, spans[0]);
    }

    #[test]
    fn a_freeze_ends_the_pause() {
        let mut pause = Pause::default();
        pause.fail(Now::default(), 7);
        assert!(pause.is_over(Now {
            mono: Duration::ZERO,
            wall_ms: 1_000
        }));
    }
}
