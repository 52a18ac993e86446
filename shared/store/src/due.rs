//! When something that ages should be read again, decided by the requests that pass.
//!
//! Nobody sleeps in the background: on Lambda nothing runs between requests. The first request
//! that finds the thing too old claims the work; the others go on with what there is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use guard::Now;

/// The account of one thing that ages.
#[derive(Debug, Default)]
pub(crate) struct Due(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    good: Option<Now>,
    tried: Option<Now>,
}

impl Due {
    /// Whether it is older than `every` and nobody tried within `retry`; true for one caller, which
    /// then has to do the work.
    pub(crate) fn claim(&self, now: Now, every: Duration, retry: Duration) -> bool {
        let mut seen = self.lock();
        let due = seen.is_due(now, every, retry);
        if due {
            seen.tried = Some(now);
        }
        due
    }

    /// Whether [`Self::claim`] would be true, for a caller that would rather leave the work alone.
    pub(crate) fn is_due(&self, now: Now, every: Duration, retry: Duration) -> bool {
        self.lock().is_due(now, every, retry)
    }

    /// The work is done as of `now`, the time at which it began.
    pub(crate) fn done(&self, now: Now) {
        self.lock().good = Some(now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn is_due(&self, now: Now, every: Duration, retry: Duration) -> bool {
        let old = self.good.is_none_or(|good| elapsed(good, now) >= every);
        let rested = self.tried.is_none_or(|tried| elapsed(tried, now) >= retry);
        old && rested
    }
}

/// The longer of both clocks' spans: monotonic time stands still while an environment is frozen,
/// the wall clock may step back.
pub(crate) fn elapsed(since: Now, now: Now) -> Duration {
    let wall = u64::try_from(now.wall_ms.saturating_sub(since.wall_ms)).unwrap_or(0);
    now.mono
        .saturating_sub(since.mono)
        .max(Duration::from_millis(wall))
}

#[cfg(test)]
mod tests {
    use guard::{Clock, ManualClock};

    use super::*;

    const EVERY: Duration = Duration::from_secs(5);
    const RETRY: Duration = Duration::from_secs(1);

    #[test]
    fn one_caller_claims_and_a_failure_rests_before_the_next_try() {
        let clock = ManualClock::starting_at(1_000_000);
        let due = Due::default();
        assert!(
            due.is_due(clock.now(), EVERY, RETRY),
            "looking claims nothing"
        );
        assert!(due.claim(clock.now(), EVERY, RETRY));
        assert!(!due.is_due(clock.now(), EVERY, RETRY));
        assert!(!due.claim(clock.now(), EVERY, RETRY), "claimed already");
        clock.advance(RETRY);
        assert!(
            due.claim(clock.now(), EVERY, RETRY),
            "the first try never ended"
        );
        due.done(clock.now());
        clock.advance(EVERY - Duration::from_millis(1));
        assert!(!due.claim(clock.now(), EVERY, RETRY), "fresh");
        clock.advance(Duration::from_millis(1));
        assert!(due.claim(clock.now(), EVERY, RETRY));
    }

    #[test]
    fn a_freeze_ages_and_a_wall_clock_that_steps_back_does_not_hold() {
        let clock = ManualClock::starting_at(1_000_000);
        let due = Due::default();
        due.done(clock.now());
        clock.step_wall_ms(600_000);
        assert!(
            due.claim(clock.now(), EVERY, RETRY),
            "frozen for ten minutes"
        );
        due.done(clock.now());
        clock.step_wall_ms(-600_000);
        clock.advance(EVERY);
        assert!(due.claim(clock.now(), EVERY, RETRY));
    }
}
