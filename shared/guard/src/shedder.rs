//! Turns away a share of what comes while a queue stands.
//!
//! Where to refuse costs less than to answer, fewer answers in time are worth more than many that are
//! all late. The share rises with the wait between two marks, as random early detection drops packets
//! (Floyd and Jacobson, *Random Early Detection Gateways*, 1993), but only once a [`Lag`] says that the
//! queue stands: a burst is endured. Who is turned away is spread evenly instead of drawn.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::{Clock, Lag, LagTuning, ShedderTuning};

/// Somebody always gets through, so that the queue goes on being measured by what it is made of.
const SHARE_MAX: f64 = 0.95;

/// Turns away a share of what comes, as large as the queue is long.
///
/// ```
/// use guard::{ManualClock, Shedder, ShedderTuning};
/// use std::{sync::Arc, time::Duration};
///
/// let clock = Arc::new(ManualClock::default());
/// let tuning = ShedderTuning { target_ms: 5, full_ms: 25, interval_ms: 100 };
/// let shedder = Shedder::new(tuning, clock.clone());
/// let halfway = Duration::from_millis(15);
/// shedder.note(halfway);
/// assert!(!shedder.turns_away(), "a burst");
/// clock.advance(Duration::from_millis(100));
/// shedder.note(halfway);
/// let turned_away = (0..10).filter(|_| shedder.turns_away()).count();
/// assert_eq!(turned_away, 5);
/// ```
#[derive(Debug)]
pub struct Shedder {
    clock: Arc<dyn Clock>,
    lag: Lag,
    state: Mutex<State>,
    /// The share in force, of 2³².
    share: AtomicU32,
    /// Shares summed up; who makes it overflow is turned away.
    sum: AtomicU32,
}

#[derive(Debug)]
struct State {
    tuning: ShedderTuning,
    /// The queue stood, and no whole interval has passed since without a long wait.
    stands: bool,
    /// When a wait was above the target last.
    above: Duration,
}

impl Shedder {
    /// Turns nobody away.
    #[must_use]
    pub fn new(tuning: ShedderTuning, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            tuning,
            stands: false,
            above: Duration::ZERO,
        };
        Self {
            lag: Lag::new(tuning.lag(), Arc::clone(&clock)),
            clock,
            state: Mutex::new(state),
            share: AtomicU32::new(0),
            sum: AtomicU32::new(0),
        }
    }

    /// Takes in how long something waited until now.
    pub fn note(&self, waited: Duration) {
        let now = self.clock.now().mono;
        let stands = self.lag.note(waited);
        let share = self.lock().share(waited, stands, now);
        self.share
            .store((share * 2f64.powi(32)) as u32, Ordering::Relaxed);
    }

    /// Whether the next one is turned away.
    #[must_use]
    pub fn turns_away(&self) -> bool {
        let share = self.share.load(Ordering::Relaxed);
        share > 0
            && self
                .sum
                .fetch_add(share, Ordering::Relaxed)
                .checked_add(share)
                .is_none()
    }

    /// Goes on under new tuning; the same tuning changes nothing.
    pub fn tune(&self, tuning: ShedderTuning) {
        let mut state = self.lock();
        if state.tuning != tuning {
            state.tuning = tuning;
            self.lag.tune(tuning.lag());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Which part is turned away after a wait of this length.
    fn share(&mut self, waited: Duration, stands: bool, now: Duration) -> f64 {
        let ms = |ms: u32| Duration::from_millis(ms.into());
        let target = ms(self.tuning.target_ms);
        if waited >= target {
            self.stands |= stands;
            self.above = now;
        } else if now.saturating_sub(self.above) >= ms(self.tuning.interval_ms) {
            self.stands = false;
        }
        if !self.stands {
            return 0.0;
        }
        let room = ms(self.tuning.full_ms).saturating_sub(target).max(ms(1));
        let beyond = waited.saturating_sub(target);
        (beyond.as_secs_f64() / room.as_secs_f64()).min(SHARE_MAX)
    }
}

impl ShedderTuning {
    fn lag(self) -> LagTuning {
        LagTuning {
            target_ms: self.target_ms,
            interval_ms: self.interval_ms,
            ..LagTuning::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;

    const MS: Duration = Duration::from_millis(1);
    const TUNING: ShedderTuning = ShedderTuning {
        target_ms: 10,
        full_ms: 30,
        interval_ms: 100,
    };

    fn shedder() -> (Arc<ManualClock>, Shedder) {
        let clock = Arc::new(ManualClock::default());
        clock.advance(1_000 * MS);
        let shedder = Shedder::new(TUNING, clock.clone());
        (clock, shedder)
    }

    /// Of a thousand that come.
    fn turned_away(shedder: &Shedder) -> usize {
        (0..1_000).filter(|_| shedder.turns_away()).count()
    }

    fn nearly_all(shedder: &Shedder) -> bool {
        (949..=950).contains(&turned_away(shedder))
    }

    /// Notes the same wait every ten milliseconds.
    fn wait(clock: &ManualClock, shedder: &Shedder, waited: Duration, times: u32) {
        for _ in 0..times {
            clock.advance(10 * MS);
            shedder.note(waited);
        }
    }

    #[test]
    fn the_share_follows_the_wait_once_the_queue_stands() {
        let (clock, shedder) = shedder();
        wait(&clock, &shedder, 500 * MS, 10);
        assert_eq!(turned_away(&shedder), 0, "a burst is endured");
        wait(&clock, &shedder, 20 * MS, 1);
        assert_eq!(turned_away(&shedder), 500);
        wait(&clock, &shedder, 15 * MS, 1);
        assert_eq!(turned_away(&shedder), 250);
        wait(&clock, &shedder, 10 * MS, 1);
        assert_eq!(turned_away(&shedder), 0, "the target is endured");
        wait(&clock, &shedder, 500 * MS, 1);
        assert!(nearly_all(&shedder), "somebody gets through");
    }

    #[test]
    fn a_short_wait_lets_everybody_in_and_a_whole_interval_of_them_ends_it() {
        let (clock, shedder) = shedder();
        wait(&clock, &shedder, 20 * MS, 11);
        assert_eq!(turned_away(&shedder), 500);
        wait(&clock, &shedder, Duration::ZERO, 9);
        assert_eq!(turned_away(&shedder), 0);
        wait(&clock, &shedder, 20 * MS, 1);
        assert_eq!(turned_away(&shedder), 500, "the queue is back");
        wait(&clock, &shedder, Duration::ZERO, 10);
        wait(&clock, &shedder, 20 * MS, 10);
        assert_eq!(turned_away(&shedder), 0, "it has to stand again");
        wait(&clock, &shedder, 20 * MS, 1);
        assert_eq!(turned_away(&shedder), 500);
    }

    #[test]
    fn whoever_is_turned_away_is_spread_evenly() {
        let (clock, shedder) = shedder();
        wait(&clock, &shedder, 15 * MS, 11);
        for _ in 0..100 {
            let of_four = (0..4).filter(|_| shedder.turns_away()).count();
            assert_eq!(of_four, 1);
        }
    }

    #[test]
    fn new_tuning_holds_at_once() {
        let (clock, shedder) = shedder();
        wait(&clock, &shedder, 20 * MS, 11);
        shedder.tune(ShedderTuning {
            target_ms: 15,
            full_ms: 19,
            ..TUNING
        });
        wait(&clock, &shedder, 16 * MS, 1);
        assert_eq!(turned_away(&shedder), 250);
        // Marks in the wrong order: there is room of a millisecond between them.
        shedder.tune(ShedderTuning {
            target_ms: 15,
            full_ms: 1,
            interval_ms: 200,
        });
        wait(&clock, &shedder, 16 * MS, 1);
        assert!(nearly_all(&shedder));
        wait(&clock, &shedder, Duration::ZERO, 19);
        wait(&clock, &shedder, 16 * MS, 1);
        assert!(nearly_all(&shedder), "the interval is the new one");
        wait(&clock, &shedder, Duration::ZERO, 20);
        wait(&clock, &shedder, 16 * MS, 20);
        assert_eq!(
            turned_away(&shedder),
            0,
            "also for how long it has to stand"
        );
        wait(&clock, &shedder, 16 * MS, 1);
        assert!(nearly_all(&shedder));
    }
}
