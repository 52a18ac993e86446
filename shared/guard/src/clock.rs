//! What time it is, for deciding.

use std::fmt::Debug;
use std::sync::Mutex;
use std::time::Duration;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// Time since an arbitrary start. Never steps back; stands still while a Lambda environment is
    /// frozen.
    pub mono: Duration,
    /// Unix time in milliseconds. May step either way; runs on through a freeze.
    pub wall_ms: i64,
}

/// Reads both clocks. The real one lives in `ops`, the one that tests turn by hand here.
pub trait Clock: Send + Sync + Debug {
    /// Reads both clocks at once.
    fn now(&self) -> Now;
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Now>);

impl ManualClock {
    /// Starts at monotonic zero and the given wall-clock time.
    #[must_use]
    pub fn starting_at(wall_ms: i64) -> Self {
        Self(Mutex::new(Now { mono: Duration::ZERO, wall_ms }))
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
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        *self.lock()
    }
}
