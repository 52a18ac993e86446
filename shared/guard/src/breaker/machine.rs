//! The state machine itself: no clock, no lock, no log.

use std::collections::BTreeMap;
use std::time::Duration;

use super::window::Window;
use super::{BreakerState, Counts};
use crate::{BreakerTuning, Now, Outcome};

#[derive(Debug)]
pub(super) struct Machine {
    tuning: BreakerTuning,
    phase: Phase,
    /// Raised by every move, so that answers begun before it can be told apart.
    generation: u64,
    window: Window,
    consecutive_failures: u32,
    opened: u64,
    refused: u64,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open {
        since: Now,
    },
    HalfOpen {
        /// When each probe in flight was let through, by its number; numbers rise with time.
        probes: BTreeMap<u64, Duration>,
        next_probe: u64,
        succeeded: u32,
    },
}

/// What a permit carries: in which generation it was issued, and as which probe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    generation: u64,
    probe: u64,
}

impl Machine {
    pub(super) fn new(tuning: BreakerTuning, now: Now) -> Self {
        let window = Window::new(Duration::from_millis(tuning.window_ms.into()), now);
        Self {
            tuning,
            phase: Phase::Closed,
            generation: 0,
            window,
            consecutive_failures: 0,
            opened: 0,
            refused: 0,
        }
    }

    /// Lets a call through, or says after what time asking again makes sense.
    pub(super) fn acquire(&mut self, now: Now) -> Result<Ticket, Duration> {
        self.settle(now);
        let (open, permit) = (self.open_span(), self.permit_span());
        let generation = self.generation;
        let wait = match &mut self.phase {
            Phase::Closed => {
                return Ok(Ticket {
                    generation,
                    probe: 0,
                });
            }
            Phase::Open { since } => open.saturating_sub(now.since(*since)),
            Phase::HalfOpen {
                probes, next_probe, ..
            } => {
                if probes.len() < self.tuning.half_open_max as usize {
                    let probe = *next_probe;
                    *next_probe += 1;
                    probes.insert(probe, now.mono);
                    return Ok(Ticket { generation, probe });
                }
                let oldest = probes.values().next().copied().unwrap_or(now.mono);
                permit.saturating_sub(now.mono.saturating_sub(oldest))
            }
        };
        self.refused += 1;
        Err(wait)
    }

    /// Takes the answer of a call; one of an older generation changes nothing.
    pub(super) fn report(&mut self, ticket: Ticket, outcome: Outcome, now: Now) {
        self.settle(now);
        if ticket.generation != self.generation {
            return;
        }
        match &mut self.phase {
            Phase::Closed => self.count(outcome, now),
            Phase::HalfOpen {
                probes, succeeded, ..
            } => {
                probes.remove(&ticket.probe);
                if outcome.is_failure() {
                    self.open(now);
                } else if outcome == Outcome::Success {
                    *succeeded += 1;
                    if *succeeded >= self.tuning.half_open_max {
                        self.close(now);
                    }
                }
            }
            // No ticket is issued while open.
            Phase::Open { .. } => {}
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// The state after what time alone has changed.
    pub(super) fn settled(&mut self, now: Now) -> BreakerState {
        self.settle(now);
        self.state()
    }

    pub(super) fn counts(&mut self, now: Now) -> Counts {
        self.settle(now);
        let sums = self.window.sums(now);
        let (probes, probes_succeeded) = match &self.phase {
            Phase::HalfOpen {
                probes, succeeded, ..
            } => (probes.len(), *succeeded),
            Phase::Closed | Phase::Open { .. } => (0, 0),
        };
        Counts {
            calls: sums.calls,
            failures: sums.failures,
            consecutive_failures: self.consecutive_failures,
            probes: u32::try_from(probes).unwrap_or(u32::MAX),
            probes_succeeded,
            opened: self.opened,
            refused: self.refused,
        }
    }

    pub(super) fn tune(&mut self, tuning: BreakerTuning, now: Now) {
        self.settle(now);
        if tuning.window_ms != self.tuning.window_ms {
            self.window = Window::new(Duration::from_millis(tuning.window_ms.into()), now);
        }
        self.tuning = tuning;
    }

    /// Makes the moves that time alone causes.
    fn settle(&mut self, now: Now) {
        if let Phase::HalfOpen { probes, .. } = &self.phase
            && let Some(issued) = probes.values().next().copied()
        {
            // By the monotonic clock only: a freeze is not the dependency's silence.
            let expired = issued.saturating_add(self.permit_span());
            if now.mono >= expired {
                // Open since the probe expired, as if somebody had watched.
                self.open(Now {
                    mono: expired,
                    ..now
                });
            }
        }
        if let Phase::Open { since } = self.phase
            && now.since(since) > self.open_span()
        {
            let probes = BTreeMap::new();
            self.enter(
                Phase::HalfOpen {
                    probes,
                    next_probe: 0,
                    succeeded: 0,
                },
                now,
            );
        }
    }

    /// Counts an answer while closed, and opens when it is one too many.
    fn count(&mut self, outcome: Outcome, now: Now) {
        if outcome == Outcome::Excluded {
            return;
        }
        let failed = outcome.is_failure();
        self.consecutive_failures = if failed {
            self.consecutive_failures + 1
        } else {
            0
        };
        let sums = self.window.count(failed, now);
        let tuning = &self.tuning;
        let in_a_row = self.consecutive_failures > tuning.consecutive_failures_max;
        // Counts are far below 2^53, so this is exact.
        let endured = sums.calls as f64 * tuning.failure_share_max;
        let share = sums.calls >= u64::from(tuning.calls_min) && sums.failures as f64 > endured;
        if in_a_row || share {
            self.open(now);
        }
    }

    fn open(&mut self, since: Now) {
        self.opened += 1;
        self.enter(Phase::Open { since }, since);
    }

    fn close(&mut self, now: Now) {
        self.enter(Phase::Closed, now);
    }

    fn enter(&mut self, phase: Phase, now: Now) {
        self.phase = phase;
        self.generation += 1;
        self.consecutive_failures = 0;
        self.window = Window::new(Duration::from_millis(self.tuning.window_ms.into()), now);
    }

    fn open_span(&self) -> Duration {
        Duration::from_millis(self.tuning.open_ms.into())
    }

    fn permit_span(&self) -> Duration {
        Duration::from_millis(self.tuning.permit_ms.into())
    }
}
