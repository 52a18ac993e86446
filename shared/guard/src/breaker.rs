//! Stops asking what keeps failing, and asks again carefully.
//!
//! ```text
//!            too many failures
//!   Closed ───────────────────▶ Open ◀──┐
//!     ▲                          │      │ one failure, or a probe
//!     │ as many successes        │ 30 s │ unanswered for 30 s
//!     │ in a row as probes fit   ▼      │
//!     └──────────────────── HalfOpen ───┘
//! ```
//!
//! The machine is passive: it has no timer and moves only when it is asked or told something.
//! Every move starts a new generation; what was begun in an older one changes nothing. Shaped after
//! the two-step circuit breaker of sony/gobreaker, with a rolling window, a cap on probes that
//! cannot leak, and two clocks, because a frozen process does not see monotonic time pass.
//!
//! Its three hooks are values here, so that what opens a breaker can be tuned while it runs and is
//! the same for everybody who calls:
//!
//! - `ReadyToTrip(counts)`: [`BreakerTuning`]. More failures in a row than
//!   `consecutive_failures_max` open, or a larger share than `failure_share_max` of at least
//!   `calls_min` calls within `window_ms`.
//! - `IsSuccessful(err)`: which [`Outcome`] the caller reports to its [`Permit`]. `Success` is one,
//!   `Failure` and `Timeout` are none. Whose error is whose is said once per kind of error by the
//!   crate that owns it (`store::ErrorKind::outcome`).
//! - `IsExcluded(err)`: [`Outcome::Excluded`], and every permit that is dropped unreported, which is
//!   what a cancelled caller leaves behind. It counts for nothing and gives its place back.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Mutex, PoisonError};
use crate::{BreakerTuning, Clock, Now, Outcome};
use machine::{Machine, Ticket};

mod keyed;
mod machine;
mod window;

pub use keyed::{KeyedBreaker, Sample};

/// Guards one dependency of this process. Clones share one state.
///
/// Ask for a permit, make the call, report how it ended:
///
/// ```
/// use guard::{Breaker, BreakerState, BreakerTuning, ManualClock, Outcome};
/// use std::sync::Arc;
///
/// let clock = Arc::new(ManualClock::default());
/// let breaker = Breaker::new("ranker", BreakerTuning::default(), clock);
/// for _ in 0..6 {
///     let permit = breaker.acquire().expect("closed");
///     permit.report(Outcome::Timeout);
/// }
/// assert_eq!(breaker.state(), BreakerState::Open);
/// assert!(breaker.acquire().is_err());
/// ```
#[derive(Debug, Clone)]
pub struct Breaker {
    shared: Arc<Shared>,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Every call is let through.
    Closed,
    /// No call is let through.
    Open,
    /// A few calls are let through, to see.
    HalfOpen,
}

impl BreakerState {
    /// The word in health answers and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The call may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// The earliest time at which asking again makes sense.
    pub retry_after: Duration,
}

/// What a breaker has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Calls that succeeded or failed while closed, within the window.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Probes in flight.
    pub probes: u32,
    /// Probes that succeeded since it became half-open.
    pub probes_succeeded: u32,
    /// How often it opened since it was made.
    pub opened: u64,
    /// Calls not let through since it was made.
    pub refused: u64,
}

/// Leave to make one call. Report how the call ended; a permit that is dropped instead is
/// [`Outcome::Excluded`], which is what the cancellation of a caller means.
#[derive(Debug)]
#[must_use = "a permit dropped at once excludes the call"]
pub struct Permit {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    clock: Arc<dyn Clock>,
    machine: Mutex<Machine>,
}

impl Breaker {
    /// A closed breaker; `name` is the dependency's, for logs and metrics.
    #[must_use]
    pub fn new(name: &'static str, tuning: BreakerTuning, clock: Arc<dyn Clock>) -> Self {
        let machine = Mutex::new(Machine::new(tuning, clock.now()));
        Self {
            shared: Arc::new(Shared {
                name,
                clock,
                machine,
            }),
        }
    }

    /// The name of the dependency.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// Asks for leave to make one call.
    ///
    /// # Errors
    /// [`Open`] while the dependency is left alone, or while as many probes as allowed are in
    /// flight.
    pub fn acquire(&self) -> Result<Permit, Open> {
        let ticket = self.shared.with(Machine::acquire);
        ticket
            .map(|ticket| Permit {
                shared: Arc::clone(&self.shared),
                ticket: Some(ticket),
            })
            .map_err(|retry_after| Open { retry_after })
    }

    /// Where it stands now.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.shared.with(Machine::settled)
    }

    /// What it has seen.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.with(Machine::counts)
    }

    /// Goes on under new tuning; the same tuning changes nothing. State and counts stay, except
    /// that a window of another length starts empty.
    pub fn tune(&self, tuning: BreakerTuning) {
        self.shared.with(|machine, now| machine.tune(tuning, now));
    }
}

impl Permit {
    /// Says how the call ended.
    pub fn report(mut self, outcome: Outcome) {
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            self.shared
                .with(|machine, now| machine.report(ticket, outcome, now));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.settle(Outcome::Excluded);
    }
}

impl Shared {
    /// Does one step under the lock and logs the move it caused, if any.
    fn with<T>(&self, step: impl FnOnce(&mut Machine, Now) -> T) -> T {
        let now = self.clock.now();
        let (before, value, after) = {
            let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
            let before = machine.state();
            let value = step(&mut machine, now);
            (before, value, machine.state())
        };
        if before != after {
            let name = self.name;
            match after {
                BreakerState::Open => tracing::warn!(breaker.name = name, "breaker {name} opened"),
                BreakerState::HalfOpen => {
                    tracing::info!(breaker.name = name, "breaker {name} is half-open");
                }
                BreakerState::Closed => {
                    tracing::info!(breaker.name = name, "breaker {name} closed")
                }
            }
        }
        value
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
