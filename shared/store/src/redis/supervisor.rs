//! Keeps one connection worth having: bounds every call, leaves a failing server alone for a
//! moment, and replaces a connection that has gone bad.
//!
//! There is no background task that would have to run between two invocations of a Lambda: a call
//! that finds no connection starts a dial, which is detached so that a handshake longer than the
//! call's deadline is not thrown away, and bounded by its own budget.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use guard::{
    Breaker, BreakerState, BreakerTuning, Clock, Deadline, Elapsed, Flight, FlightError, Now,
    Outcome, Tasks,
};
use ops::metric::REDIS_REBUILDS;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

use super::Lapse;
use super::link::{Connection, Dialer};
use crate::life::unit;

/// No call waits longer, whatever its deadline. Reads on a request's path are given less.
pub(super) const CALL_MAX: Duration = Duration::from_millis(250);
/// Timeouts in a row after which the peer is taken for dead: silence closes no socket.
const TIMEOUTS_MAX: u32 = 3;
/// Pause after the first failed dial; doubled by each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause between dials.
const PAUSE_MAX: Duration = Duration::from_millis(800);
/// What a dial may take beyond its own time limit before its task is dropped.
const DIAL_SLACK: Duration = Duration::from_millis(50);

/// One connection with its history of silence.
pub(super) struct Link {
    connection: Connection,
    timeouts: AtomicU32,
}

/// The pause between dials.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
    until: Option<Now>,
}

/// Keeps one connection worth having.
pub(super) struct Supervisor {
    state: Arc<State>,
    breaker: Breaker,
    dialing: Flight<(), Option<Arc<Link>>>,
    connect_budget: Duration,
}

struct State {
    dialer: Dialer,
    clock: Arc<dyn Clock>,
    link: ArcSwapOption<Link>,
    pause: Mutex<Pause>,
    seed: u64,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let linked = self.state.link.load().is_some();
        f.debug_struct("Supervisor")
            .field("linked", &linked)
            .finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Supervises connections that `dialer` makes. Nothing is dialled yet.
    pub fn new(
        dialer: Dialer,
        connect_budget: Duration,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
    ) -> Self {
        // A cache that is back should be used within a second or two, so it is left alone for
        // less long than a dependency that suffers from being asked.
        let tuning = BreakerTuning {
            open_ms: 500,
            window_ms: 30_000,
            half_open_max: 20,
            permit_ms: 1_000,
            ..BreakerTuning::default()
        };
        let state = State {
            dialer,
            clock: Arc::clone(&clock),
            link: ArcSwapOption::empty(),
            pause: Mutex::default(),
            seed: RandomState::new().hash_one(PAUSE_MAX),
        };
        Self {
            state: Arc::new(state),
            breaker: Breaker::new("redis", tuning, clock),
            dialing: Flight::new(tasks),
            connect_budget,
        }
    }

    /// Where the breaker stands.
    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Waits for a connection as long as a dial may take, not only as long as a call may.
    pub async fn first_link(&self, deadline: &Deadline) -> Result<(), Lapse> {
        self.link(deadline).await.map(|_| ())
    }

    /// Makes one call within its deadline and [`CALL_MAX`]; also answers which connection the reply
    /// came over, in case it turns out to be wrong.
    pub async fn call(
        &self,
        command: &Cmd,
        deadline: &Deadline,
    ) -> Result<(Value, Arc<Link>), Lapse> {
        if deadline.expired() {
            return Err(Lapse::Timeout);
        }
        let permit = self.breaker.acquire().map_err(|_| Lapse::Open)?;
        let answered = self.attempt(command, &deadline.child(CALL_MAX)).await;
        permit.report(match &answered {
            Ok(_) => Outcome::Success,
            Err(Lapse::Timeout) => Outcome::Timeout,
            Err(Lapse::Cancelled) => Outcome::Excluded,
            Err(Lapse::Open | Lapse::Unavailable | Lapse::Corrupt) => Outcome::Failure,
        });
        answered
    }

    /// Gives up a connection whose replies cannot be trusted.
    pub fn distrust(&self, link: Arc<Link>, why: &'static str) {
        if self.state.drop_link(&link) {
            metrics::counter!(REDIS_REBUILDS, "cause" => why).increment(1);
            tracing::warn!(redis.cause = why, "connection to redis given up: {why}");
        }
    }

    /// Whether there is a connection.
    #[cfg(test)]
    pub fn is_linked(&self) -> bool {
        self.state.link.load().is_some()
    }

    async fn attempt(
        &self,
        command: &Cmd,
        deadline: &Deadline,
    ) -> Result<(Value, Arc<Link>), Lapse> {
        let link = self.link(deadline).await?;
        let mut connection = link.connection.clone();
        match deadline.limit(connection.query(command)).await {
            Ok(Ok(value)) => {
                link.timeouts.store(0, Ordering::Relaxed);
                Ok((value, link))
            }
            Ok(Err(error)) if error.is_timeout() => Err(self.silent(link)),
            Ok(Err(error)) => {
                if is_fatal(&error) {
                    self.distrust(link, "error of the server or the socket");
                }
                let category = error.category();
                tracing::debug!(redis.category = category, "redis failed: {category}");
                Err(Lapse::Unavailable)
            }
            Err(Elapsed::Timeout) => Err(self.silent(link)),
            Err(Elapsed::Cancelled) => Err(Lapse::Cancelled),
        }
    }

    /// Counts a silence; enough of them cost the connection.
    fn silent(&self, link: Arc<Link>) -> Lapse {
        if link.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_MAX {
            self.distrust(link, "silent peer");
        }
        Lapse::Timeout
    }

    /// The connection there is, or the one that a dial brings within the deadline.
    async fn link(&self, deadline: &Deadline) -> Result<Arc<Link>, Lapse> {
        if let Some(link) = self.state.link.load_full() {
            return Ok(link);
        }
        if !self.state.may_dial() {
            return Err(Lapse::Unavailable);
        }
        let (state, budget) = (Arc::clone(&self.state), self.connect_budget);
        let dialed = self
            .dialing
            .run((), deadline, budget + DIAL_SLACK, move || async move {
                state.dial(budget).await
            });
        match dialed.await {
            Ok(Some(link)) => Ok(link),
            Ok(None) | Err(FlightError::Overran | FlightError::Panicked | FlightError::Full) => {
                Err(Lapse::Unavailable)
            }
            Err(FlightError::Timeout) => Err(Lapse::Timeout),
            Err(FlightError::Cancelled) => Err(Lapse::Cancelled),
        }
    }
}

impl State {
    /// Dials unless somebody else just did.
    async fn dial(&self, budget: Duration) -> Option<Arc<Link>> {
        if let Some(link) = self.link.load_full() {
            return Some(link);
        }
        match self.dialer.dial(budget).await {
            Ok(connection) => {
                let link = Arc::new(Link {
                    connection,
                    timeouts: AtomicU32::new(0),
                });
                self.link.store(Some(Arc::clone(&link)));
                *self.pause() = Pause::default();
                tracing::info!("connected to redis");
                Some(link)
            }
            Err(error) => {
                let category = error.category();
                self.pause().fail(self.clock.now(), self.seed);
                tracing::debug!(
                    redis.category = category,
                    "no connection to redis: {category}"
                );
                None
            }
        }
    }

    /// Drops the connection if it is still this one.
    fn drop_link(&self, link: &Arc<Link>) -> bool {
        let held = self.link.compare_and_swap(link, None);
        held.as_ref().is_some_and(|held| Arc::ptr_eq(held, link))
    }

    fn may_dial(&self) -> bool {
        self.pause().is_over(self.clock.now())
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pause {
    /// Lengthens the pause, differently in every process.
    fn fail(&mut self, now: Now, seed: u64) {
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
    fn is_over(&self, now: Now) -> bool {
        self.until
            .is_none_or(|until| now.mono >= until.mono || now.wall_ms >= until.wall_ms)
    }
}

/// Whether the connection is of no use any more: broken, out of step, no longer allowed in, or to a
/// node that lost its role.
fn is_fatal(error: &RedisError) -> bool {
    let by_kind = matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::Parse
            | ErrorKind::AuthenticationFailed
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
    );
    by_kind
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
        || error.is_unrecoverable_error()
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
            spans[11] > spans[0] * 8 && spans[11] <= PAUSE_MAX,
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
