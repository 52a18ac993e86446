//! Whether a queue stands.
//!
//! A process that is asked for more than it can do has a queue, and what waits in it is answered too
//! late. Everyone who has waited knows how long. A long wait alone is a burst; when even the shortest
//! wait within an interval is above the target, the queue stands and work has to be given up (CoDel:
//! Nichols and Jacobson, *Controlling Queue Delay*, ACM Queue 2012; for servers: Maurer, *Fail at
//! Scale*, ACM Queue 2015). Where that queue is is the caller's to say: before a
//! [`Gate`](crate::Gate), for instance.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::{Clock, LagTuning};

/// Tells a standing queue from a burst.
///
/// ```
/// use guard::{Lag, LagTuning, ManualClock};
/// use std::{sync::Arc, time::Duration};
///
/// let clock = Arc::new(ManualClock::default());
/// let tuning = LagTuning { target_ms: 20, interval_ms: 100, ..LagTuning::default() };
/// let lag = Lag::new(tuning, clock.clone());
/// let late = Duration::from_millis(20);
/// assert!(!lag.note(late), "a burst");
/// clock.advance(Duration::from_millis(100));
/// assert!(lag.note(late), "all waited too long for a whole interval");
/// assert!(!lag.note(Duration::ZERO), "one did not wait: the queue is gone");
/// ```
#[derive(Debug)]
pub struct Lag {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tuning: LagTuning,
    /// Since when every wait was above the target.
    since: Option<Duration>,
    /// When a wait was noted last.
    last: Duration,
}

impl Lag {
    /// No queue stands.
    #[must_use]
    pub fn new(tuning: LagTuning, clock: Arc<dyn Clock>) -> Self {
        let last = clock.now().mono;
        let state = State {
            tuning,
            since: None,
            last,
        };
        Self {
            clock,
            state: Mutex::new(state),
        }
    }

    /// Takes in how long something waited until now, and tells whether the queue stands.
    pub fn note(&self, waited: Duration) -> bool {
        let now = self.clock.now().mono;
        self.lock().note(waited, now)
    }

    /// Goes on under new tuning.
    pub fn tune(&self, tuning: LagTuning) {
        self.lock().tuning = tuning;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, waited: Duration, now: Duration) -> bool {
        let (target, interval) = (self.tuning.target(), self.tuning.interval());
        // What was an interval ago says nothing of the queue between.
        let quiet = now.saturating_sub(self.last) > interval;
        self.last = now;
        if waited < target {
            self.since = None;
            return false;
        }
        let since = self.since.filter(|_| !quiet).unwrap_or(now);
        self.since = Some(since);
        now.saturating_sub(since) >= interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;

    const MS: Duration = Duration::from_millis(1);
    const TUNING: LagTuning = LagTuning {
        target_ms: 20,
        interval_ms: 100,
        at_once: 1,
    };

    fn lag() -> (Arc<ManualClock>, Lag) {
        let clock = Arc::new(ManualClock::default());
        clock.advance(1_000 * MS);
        let lag = Lag::new(TUNING, clock.clone());
        (clock, lag)
    }

    #[test]
    fn a_queue_stands_when_all_waited_too_long_for_an_interval() {
        let (clock, lag) = lag();
        for _ in 0..10 {
            assert!(!lag.note(20 * MS));
            clock.advance(10 * MS);
        }
        assert!(lag.note(20 * MS));
        assert!(lag.note(500 * MS));
        assert!(!lag.note(19 * MS), "the shortest wait counts");
        assert!(!lag.note(500 * MS), "and the interval begins anew");
        clock.advance(99 * MS);
        assert!(!lag.note(500 * MS));
        clock.advance(MS);
        assert!(lag.note(500 * MS));
    }

    #[test]
    fn waits_that_lie_apart_are_no_queue() {
        let (clock, lag) = lag();
        for _ in 0..10 {
            assert!(!lag.note(50 * MS));
            clock.advance(101 * MS);
        }
        lag.note(50 * MS);
        clock.advance(100 * MS);
        assert!(lag.note(50 * MS), "an interval apart is near enough");
    }

    #[test]
    fn new_tuning_holds_at_once() {
        let (clock, lag) = lag();
        lag.note(20 * MS);
        clock.advance(50 * MS);
        lag.tune(LagTuning {
            interval_ms: 50,
            ..TUNING
        });
        assert!(lag.note(20 * MS));
        lag.tune(LagTuning {
            target_ms: 30,
            ..TUNING
        });
        assert!(!lag.note(20 * MS));
    }
}
