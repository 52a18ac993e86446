//! Concurrency that finds its own limit.
//!
//! Where work queues, calls take longer: the limit follows the gradient between what a call
//! usually takes and what it takes now, after Netflix' *Gradient2* (concurrency-limits). Without
//! `adaptive` in the tuning it is a [`Gate`] of a fixed limit.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::{Clock, ConcurrencyTuning, Deadline, Gate, GatePermit, Shed};

/// Calls that are averaged before the limit is looked at.
const SAMPLES: u32 = 32;
/// How much longer than usual a call may take before the limit falls.
const TOLERANCE: f64 = 2.0;
/// The usual time follows a longer mean by this part; a shorter one it takes at once.
const FOLLOW: f64 = 0.05;
/// The same while as many are inside as half the limit: what is measured while work queues must
/// hardly become usual.
const FOLLOW_PRESSED: f64 = 0.0008;
/// The limit follows its estimate by this part.
const SMOOTHING: f64 = 0.2;
/// The gradient that a single window can cause at most.
const GRADIENT_MIN: f64 = 0.5;

/// Lets a number in at once that depends on how long calls take.
///
/// ```
/// use guard::{Concurrency, ConcurrencyTuning, Deadline, ManualClock};
/// use std::{sync::Arc, time::Duration};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let clock = Arc::new(ManualClock::default());
/// let deadline = Deadline::after(clock.clone(), Duration::from_millis(10));
/// let tuning = ConcurrencyTuning { limit: 1, waiting_max: 0, adaptive: false };
/// let concurrency = Concurrency::new(tuning, clock);
/// let call = concurrency.enter(&deadline).await.expect("nobody is inside");
/// assert!(concurrency.enter(&deadline).await.is_err());
/// call.done();
/// assert!(concurrency.enter(&deadline).await.is_ok());
/// # }
/// ```
#[derive(Debug)]
pub struct Concurrency {
    clock: Arc<dyn Clock>,
    gate: Gate,
    state: Mutex<State>,
}

/// One call inside. Dropped without [`Entry::done`] it says nothing about how long calls take.
#[derive(Debug)]
#[must_use = "an entry dropped at once guards nothing"]
pub struct Entry<'a> {
    concurrency: &'a Concurrency,
    entered: Duration,
    _permit: GatePermit,
}

#[derive(Debug)]
struct State {
    tuning: ConcurrencyTuning,
    limit: f64,
    /// What a window of calls usually takes together, in seconds; 0 until known.
    usual: f64,
    sum: f64,
    samples: u32,
    /// Most that were inside during the window.
    inside_max: usize,
}

impl Concurrency {
    /// Nobody inside, at the tuned limit.
    #[must_use]
    pub fn new(tuning: ConcurrencyTuning, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            gate: Gate::new(tuning.limit as usize, tuning.waiting_max as usize),
            state: Mutex::new(State::new(tuning)),
        }
    }

    /// Waits to be let in, no longer than the deadline.
    ///
    /// # Errors
    /// [`Shed`] says why not.
    pub async fn enter(&self, deadline: &Deadline) -> Result<Entry<'_>, Shed> {
        let permit = self.gate.enter(deadline).await?;
        Ok(Entry {
            concurrency: self,
            entered: self.clock.now().mono,
            _permit: permit,
        })
    }

    /// Goes on under new tuning; an adaptive limit starts anew when the tuning changes.
    pub fn tune(&self, tuning: ConcurrencyTuning) {
        let mut state = self.lock();
        if state.tuning != tuning {
            *state = State::new(tuning);
            self.gate.set_limit(tuning.limit as usize);
            self.gate.set_waiting_max(tuning.waiting_max as usize);
        }
    }

    /// How many are let in at once now.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.gate.limit()
    }

    /// How many are inside.
    #[must_use]
    pub fn inside(&self) -> usize {
        self.gate.inside()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, entered: Duration) {
        let mut state = self.lock();
        if !state.tuning.adaptive {
            return;
        }
        let took = self.clock.now().mono.saturating_sub(entered);
        let inside = self.gate.inside();
        if let Some(limit) = state.learn(took.as_secs_f64(), inside) {
            self.gate.set_limit(limit);
        }
    }
}

impl Entry<'_> {
    /// The call came to its end; how long it took counts.
    pub fn done(self) {
        self.concurrency.learn(self.entered);
    }
}

impl State {
    fn new(tuning: ConcurrencyTuning) -> Self {
        Self {
            tuning,
            limit: f64::from(tuning.limit),
            usual: 0.0,
            sum: 0.0,
            samples: 0,
            inside_max: 0,
        }
    }

    /// Takes in one call; answers the limit when it changed.
    fn learn(&mut self, took_s: f64, inside: usize) -> Option<usize> {
        self.sum += took_s;
        self.samples += 1;
        self.inside_max = self.inside_max.max(inside);
        if self.samples < SAMPLES {
            return None;
        }
        let now = self.sum.max(1e-9);
        let inside_max = self.inside_max;
        (self.sum, self.samples, self.inside_max) = (0.0, 0, 0);
        let pressed = inside_max as f64 >= self.limit / 2.0;
        let follow = if pressed { FOLLOW_PRESSED } else { FOLLOW };
        if self.usual == 0.0 || now < self.usual {
            self.usual = now;
        } else {
            self.usual += follow * (now - self.usual);
        }
        if !pressed {
            return None;
        }
        let gradient = (TOLERANCE * self.usual / now).clamp(GRADIENT_MIN, 1.0);
        let aim = self.limit * gradient + self.limit.sqrt();
        let most = f64::from(self.tuning.limit);
        self.limit = (self.limit + SMOOTHING * (aim - self.limit)).clamp(1.0, most);
        Some(self.limit as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;

    const MS: Duration = Duration::from_millis(1);

    fn tuning(adaptive: bool) -> ConcurrencyTuning {
        ConcurrencyTuning {
            limit: 100,
            waiting_max: 0,
            adaptive,
        }
    }

    /// A server of 8 at once, 10 ms each, offered as much as the limit lets in; answers the limits
    /// after each window.
    fn under_load(state: &mut State, windows: usize) -> Vec<f64> {
        let window = |_| {
            for _ in 0..SAMPLES {
                let inside = state.limit.floor();
                let took = 0.010 * (inside / 8.0).max(1.0);
                state.learn(took, inside as usize);
            }
            state.limit
        };
        (0..windows).map(window).collect()
    }

    #[test]
    fn the_limit_falls_to_what_the_server_does_without_a_queue() {
        let mut state = State::new(tuning(true));
        // The usual time is known from a quiet hour.
        for _ in 0..10 * SAMPLES {
            state.learn(0.010, 1);
        }
        assert_eq!(state.limit, 100.0, "nothing is learned from a quiet hour");
        let limits = under_load(&mut state, 400);
        let settled = &limits[40..];
        assert!(
            settled.iter().all(|limit| (8.0..=40.0).contains(limit)),
            "{settled:?}"
        );
    }

    #[test]
    fn the_limit_rises_again_when_calls_are_quick() {
        let mut state = State::new(tuning(true));
        for _ in 0..SAMPLES {
            state.learn(0.010, 1);
        }
        under_load(&mut state, 20);
        let low = state.limit;
        for _ in 0..100 * SAMPLES {
            let inside = state.limit as usize;
            state.learn(0.005, inside);
        }
        assert!(
            low < 60.0 && state.limit == 100.0,
            "{low} to {}",
            state.limit
        );
    }

    #[test]
    fn quicker_calls_are_usual_at_once_and_slower_ones_by_and_by() {
        let quiet = |state: &mut State, took_s: f64, windows: u32| {
            (0..windows * SAMPLES).for_each(|_| {
                state.learn(took_s, 1);
            });
        };
        let pressed = |state: &mut State, took_s: f64| {
            (0..SAMPLES).for_each(|_| {
                state.learn(took_s, 100);
            });
            state.limit
        };
        let mut state = State::new(tuning(true));
        quiet(&mut state, 0.010, 1);
        quiet(&mut state, 0.001, 1);
        assert!(
            pressed(&mut state, 0.005) < 100.0,
            "1 ms is usual, 5 ms is a queue"
        );

        let mut state = State::new(tuning(true));
        quiet(&mut state, 0.001, 1);
        quiet(&mut state, 0.010, 60);
        assert_eq!(pressed(&mut state, 0.012), 100.0, "10 ms have become usual");

        let mut state = State::new(tuning(true));
        quiet(&mut state, 1.0, 1);
        let low = pressed(&mut state, 4.0);
        assert!(low < 100.0);
        quiet(&mut state, 1.0, 10);
        assert_eq!(state.limit, low, "a quiet hour proves no room");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fixed_limit_stays_and_a_changed_one_holds_at_once() {
        let clock = Arc::new(ManualClock::default());
        let concurrency = Concurrency::new(tuning(false), clock.clone());
        let deadline = Deadline::after(clock.clone(), MS);
        for _ in 0..100 {
            let call = concurrency.enter(&deadline).await.unwrap();
            clock.advance(Duration::from_nanos(10));
            call.done();
        }
        assert_eq!((concurrency.limit(), concurrency.inside()), (100, 0));
        concurrency.tune(ConcurrencyTuning {
            limit: 1,
            ..tuning(false)
        });
        let inside = concurrency.enter(&deadline).await.unwrap();
        assert_eq!(concurrency.enter(&deadline).await.unwrap_err(), Shed::Full);
        assert_eq!((concurrency.limit(), concurrency.inside()), (1, 1));
        drop(inside);
        concurrency.tune(ConcurrencyTuning {
            limit: 1,
            waiting_max: 1,
            ..tuning(false)
        });
        let _inside = concurrency.enter(&deadline).await.unwrap();
        assert_eq!(
            concurrency.enter(&deadline).await.unwrap_err(),
            Shed::Timeout
        );
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_queue_lower_the_limit_and_dropped_ones_teach_nothing() {
        let clock = Arc::new(ManualClock::default());
        let concurrency = Concurrency::new(tuning(true), clock.clone());
        let deadline = Deadline::after(clock.clone(), Duration::from_secs(3_600));
        for (took, done) in [(MS, true), (50 * MS, false), (50 * MS, true)] {
            let before = concurrency.limit();
            let mut inside = Vec::new();
            for _ in 0..64 {
                inside.push(concurrency.enter(&deadline).await.unwrap());
            }
            clock.advance(took);
            inside.into_iter().for_each(|call| {
                if done {
                    call.done()
                }
            });
            let fell = concurrency.limit() < before;
            assert_eq!(fell, done && took > MS, "{took:?}");
        }
    }
}
