//! What time it is, for deciding.

use std::fmt::Debug;
use std::sync::Mutex;
use std::time::Duration;

/// How far the wall clock must run ahead of the monotonic one before that is called a freeze.
/// The wall clock is read in whole milliseconds and is slewed; neither may count as time.
const FREEZE_MIN: Duration = Duration::from_secs(1);

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// Time since an arbitrary start. Never steps back; stands still while a Lambda environment is
    /// frozen.
    pub mono: Duration,
    /// Unix time in milliseconds. May step either way; runs on through a freeze.
    pub wall_ms: i64,
}

impl Now {
    /// Time since `earlier` by whichever clock saw more of it: the monotonic one misses freezes,
    /// the wall clock may be set back.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let mono = self.mono.saturating_sub(earlier.mono);
        mono.max(millis(self.wall_ms.saturating_sub(earlier.wall_ms)))
    }

    /// Moves on to `now` and returns how much time passed, freezes included. A clock that stepped
    /// back gives nothing, also not on its way forward again. A wall clock that stepped forward by
    /// more than [`FREEZE_MIN`] cannot be told from a freeze and is taken for one.
    pub(crate) fn pass_to(&mut self, now: Self) -> Duration {
        let mono = now.mono.saturating_sub(self.mono);
        let wall = millis(now.wall_ms.saturating_sub(self.wall_ms));
        self.mono = self.mono.max(now.mono);
        self.wall_ms = self.wall_ms.max(now.wall_ms);
        if wall > mono + FREEZE_MIN { wall } else { mono }
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// Reads both clocks. The real one lives in `ops`, the one that tests turn by hand here.
pub trait Clock: Send + Sync + Debug {
    /// Reads both clocks at once.
    fn now(&self) -> Now;
}

/// A clock that moves only when told to.
///
/// ```
/// use guard::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::starting_at(1_700_000_000_000);
/// clock.advance(Duration::from_secs(2));
/// clock.step_wall_ms(600_000); // frozen for ten minutes
/// assert_eq!(clock.now().mono, Duration::from_secs(2));
/// assert_eq!(clock.now().wall_ms, 1_700_000_602_000);
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Now>);

impl ManualClock {
    /// Starts at monotonic zero and the given wall-clock time.
    #[must_use]
    pub fn starting_at(wall_ms: i64) -> Self {
        Self(Mutex::new(Now {
            mono: Duration::ZERO,
            wall_ms,
        }))
    }

    /// Moves both clocks forward, as time does.
    pub fn advance(&self, span: Duration) {
        let mut now = self.lock();
        now.mono += span;
        now.wall_ms += i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    }

    /// Moves only the wall clock: a freeze (positive) or a correction (either sign).
    pub fn step_wall_ms(&self, by: i64) {
        self.lock().wall_ms += by;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Now> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        *self.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64, wall_ms: i64) -> Now {
        Now {
            mono: Duration::from_millis(mono_ms),
            wall_ms,
        }
    }

    #[test]
    fn time_passes_by_the_monotonic_clock_unless_it_was_frozen() {
        let cases = [
            ("both run", at(50, 50), 50),
            ("the wall clock is read a millisecond later", at(50, 51), 50),
            ("slewed by less than a freeze", at(50, 900), 50),
            ("frozen for ten minutes", at(50, 600_050), 600_050),
            ("the wall clock is set back", at(50, -5_000), 50),
        ];
        for (what, now, ms) in cases {
            let mut then = at(0, 0);
            assert_eq!(then.pass_to(now), Duration::from_millis(ms), "{what}");
        }
    }

    #[test]
    fn a_clock_turned_by_hand_stands_where_it_was_put() {
        let clock = ManualClock::starting_at(7_000);
        assert_eq!(clock.now(), at(0, 7_000));
        clock.advance(Duration::from_millis(250));
        clock.step_wall_ms(-100);
        assert_eq!(clock.now(), at(250, 7_150));
    }

    #[test]
    fn time_seen_once_does_not_pass_again() {
        let mut last = at(0, 0);
        assert_eq!(last.pass_to(at(10_000, 10_000)), Duration::from_secs(10));
        assert_eq!(last.pass_to(at(2_000, 2_000)), Duration::ZERO);
        assert_eq!(last.pass_to(at(10_000, 10_000)), Duration::ZERO);
        assert_eq!(last.pass_to(at(10_001, 10_001)), Duration::from_millis(1));
    }
}
