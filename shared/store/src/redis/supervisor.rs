//! Keeps connections worth having: bounds every call, leaves a failing server alone for a moment,
//! and replaces what has gone bad.
//!
//! There are two connections where calls overlap: the second is dialled when the first is busy, so
//! that what is large or slow on one does not hold up everybody, and one that breaks costs no dial
//! on the way of a request. A cluster's slots have their breakers in groups: a master that is gone
//! is left alone, not the others.
//!
//! There is no background task that would have to run between two invocations of a Lambda: a call
//! that finds no connection starts a dial, which is detached so that a handshake longer than the
//! call's deadline is not thrown away, and bounded by its own budget.

use std::fmt;
use std::future::ready;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use guard::{
    Breaker, BreakerState, Clock, Deadline, Elapsed, Flight, FlightError, Outcome,
    RedisBreakerTuning, Tasks,
};
use ops::metric::REDIS_REBUILDS;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

use super::Lapse;
use super::link::{Connection, Dialer};
use super::pause::Pause;
use crate::tuning::LiveTuning;

/// No call waits longer, whatever its deadline. Reads on a request's path are given less.
pub(super) const CALL_MAX: Duration = Duration::from_millis(250);
/// Timeouts in a row after which the peer is taken for dead: silence closes no socket.
const TIMEOUTS_MAX: u32 = 3;
/// What a dial may take beyond its own time limit before its task is dropped.
const DIAL_SLACK: Duration = Duration::from_millis(50);

/// Connections at most.
const LANES: usize = 2;
/// Slots of a cluster.
const SLOTS: usize = 16_384;
/// Breakers of a cluster, each for as many slots in a row: masters mostly hold such ranges.
const SLOT_GROUPS: usize = 16;

/// One connection with its history of silence.
pub(super) struct Link {
    connection: Connection,
    timeouts: AtomicU32,
    calls: AtomicUsize,
}

/// A place for a connection.
#[derive(Default)]
struct Lane {
    link: ArcSwapOption<Link>,
    pause: Mutex<Pause>,
}

/// Keeps connections worth having.
pub(super) struct Supervisor {
    state: Arc<State>,
    /// One, or one for each group of a cluster's slots.
    breakers: Vec<Breaker>,
    /// What the breakers go by, where there is a document.
    tuning: OnceLock<Arc<LiveTuning>>,
    dialing: Flight<usize, Option<Arc<Link>>>,
    connect_budget: Duration,
}

struct State {
    dialer: Dialer,
    clock: Arc<dyn Clock>,
    lanes: [Lane; LANES],
    seed: u64,
}

/// A call under way over a link.
struct Under<'a>(&'a Link);

impl<'a> Under<'a> {
    fn way(link: &'a Link) -> Self {
        link.calls.fetch_add(1, Ordering::Relaxed);
        Self(link)
    }
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("links", &self.links())
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
        let tuning = RedisBreakerTuning::default().into();
        let groups = if dialer.is_cluster() { SLOT_GROUPS } else { 1 };
        let breaker = || Breaker::new("redis", tuning, Arc::clone(&clock));
        let breakers = std::iter::repeat_with(breaker).take(groups).collect();
        let state = State {
            dialer,
            clock: Arc::clone(&clock),
            lanes: Default::default(),
            seed: RandomState::new().hash_one(LANES),
        };
        Self {
            state: Arc::new(state),
            breakers,
            tuning: OnceLock::new(),
            dialing: Flight::new(tasks),
            connect_budget,
        }
    }

    /// From now on the breakers go by the document in force; the first that is named stays.
    pub fn follow(&self, tuning: Arc<LiveTuning>) {
        self.tuning.get_or_init(|| tuning);
    }

    /// Where the breaker stands; of a cluster's the best off, because the rest is still used.
    pub fn breaker_state(&self) -> BreakerState {
        let mut best = BreakerState::Open;
        for breaker in &self.breakers {
            match breaker.state() {
                BreakerState::Closed => return BreakerState::Closed,
                BreakerState::HalfOpen => best = BreakerState::HalfOpen,
                BreakerState::Open => {}
            }
        }
        best
    }

    /// Waits for a connection as long as a dial may take, not only as long as a call may.
    pub async fn first_link(&self, deadline: &Deadline) -> Result<(), Lapse> {
        self.link(deadline).await.map(|_| ())
    }

    /// Makes one call about `key` and what shares its slot, within its deadline and [`CALL_MAX`];
    /// also answers which connection the reply came over, in case it turns out to be wrong.
    pub async fn call(
        &self,
        key: &str,
        command: &Cmd,
        deadline: &Deadline,
    ) -> Result<(Value, Arc<Link>), Lapse> {
        if deadline.expired() {
            return Err(Lapse::Timeout);
        }
        let group = usize::from(slot(key)) * self.breakers.len() / SLOTS;
        let breaker = self.breakers.get(group).ok_or(Lapse::Unavailable)?;
        if let Some(tuning) = self.tuning.get() {
            breaker.tune(tuning.snapshot().guard.redis_breaker.into());
        }
        // A probe that may not even dial would say nothing of the server, and cost the next half-open.
        if !self.can_try() && breaker.state() != BreakerState::Closed {
            return Err(Lapse::Unavailable);
        }
        let permit = breaker.acquire().map_err(|_| Lapse::Open)?;
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
    pub fn distrust(&self, link: &Arc<Link>, why: &'static str) {
        if self.state.drop_link(link) {
            metrics::counter!(REDIS_REBUILDS, "cause" => why).increment(1);
            tracing::warn!(redis.cause = why, "connection to redis given up: {why}");
        }
    }

    /// Whether there is a connection, or one may be dialled.
    fn can_try(&self) -> bool {
        let is_linked = |lane: &Lane| lane.link.load().is_some();
        self.state.lanes.iter().any(is_linked) || self.state.may_dial(0)
    }

    /// How many connections there are.
    pub fn links(&self) -> usize {
        self.state.links().count()
    }

    async fn attempt(
        &self,
        command: &Cmd,
        deadline: &Deadline,
    ) -> Result<(Value, Arc<Link>), Lapse> {
        let link = self.link(deadline).await?;
        // What is never sent says nothing of the peer.
        deadline.limit(ready(())).await?;
        let mut connection = link.connection.clone();
        let under_way = Under::way(&link);
        let replied = deadline.limit(connection.query(command)).await;
        drop(under_way);
        match replied {
            Ok(Ok(value)) => {
                link.timeouts.store(0, Ordering::Relaxed);
                Ok((value, link))
            }
            Ok(Err(error)) if error.is_timeout() => Err(self.silent(&link)),
            Ok(Err(error)) => {
                if is_fatal(&error, self.state.dialer.is_cluster()) {
                    self.distrust(&link, "error of the server or the socket");
                }
                let category = error.category();
                tracing::debug!(redis.category = category, "redis failed: {category}");
                Err(Lapse::Unavailable)
            }
            Err(Elapsed::Timeout) => Err(self.silent(&link)),
            Err(Elapsed::Cancelled) => Err(Lapse::Cancelled),
        }
    }

    /// Counts a silence; enough of them cost every connection, because it is the peer that is
    /// silent. A cluster's client finds out by itself which of its nodes is.
    fn silent(&self, link: &Arc<Link>) -> Lapse {
        let timeouts = link.timeouts.fetch_add(1, Ordering::Relaxed) + 1;
        if timeouts >= TIMEOUTS_MAX && !self.state.dialer.is_cluster() {
            let links: Vec<_> = self.state.links().collect();
            links
                .iter()
                .for_each(|link| self.distrust(link, "silent peer"));
        }
        Lapse::Timeout
    }

    /// The least busy connection there is, or the one that a dial brings within the deadline.
    async fn link(&self, deadline: &Deadline) -> Result<Arc<Link>, Lapse> {
        let calls = |link: &Arc<Link>| link.calls.load(Ordering::Relaxed);
        if let Some(link) = self.state.links().min_by_key(calls) {
            if calls(&link) > 0 {
                self.widen(deadline);
            }
            return Ok(link);
        }
        self.dialed(0, deadline).await
    }

    /// Begins to dial for an empty lane; nobody waits for it.
    fn widen(&self, deadline: &Deadline) {
        let empty = |lane: &Lane| lane.link.load().is_none();
        if let Some(lane) = self.state.lanes.iter().position(empty) {
            let _begun = self.dialed(lane, deadline).now_or_never();
        }
    }

    async fn dialed(&self, lane: usize, deadline: &Deadline) -> Result<Arc<Link>, Lapse> {
        if !self.state.may_dial(lane) {
            return Err(Lapse::Unavailable);
        }
        let (state, budget) = (Arc::clone(&self.state), self.connect_budget);
        let dialed = self
            .dialing
            .run(lane, deadline, budget + DIAL_SLACK, move || async move {
                state.dial(lane, budget).await
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
    fn links(&self) -> impl Iterator<Item = Arc<Link>> + '_ {
        self.lanes.iter().filter_map(|lane| lane.link.load_full())
    }

    /// Dials for a lane unless somebody else just did.
    async fn dial(&self, lane: usize, budget: Duration) -> Option<Arc<Link>> {
        let lane = self.lanes.get(lane)?;
        if let Some(link) = lane.link.load_full() {
            return Some(link);
        }
        match self.dialer.dial(budget).await {
            Ok(connection) => {
                let link = Arc::new(Link {
                    connection,
                    timeouts: AtomicU32::new(0),
                    calls: AtomicUsize::new(0),
                });
                lane.link.store(Some(Arc::clone(&link)));
                *lane.pause() = Pause::default();
                tracing::info!("connected to redis");
                Some(link)
            }
            Err(error) => {
                let category = error.category();
                lane.pause().fail(self.clock.now(), self.seed);
                tracing::debug!(
                    redis.category = category,
                    "no connection to redis: {category}"
                );
                None
            }
        }
    }

    /// Drops the connection if it is still there.
    fn drop_link(&self, link: &Arc<Link>) -> bool {
        self.lanes.iter().any(|lane| {
            let held = lane.link.compare_and_swap(link, None);
            held.as_ref().is_some_and(|held| Arc::ptr_eq(held, link))
        })
    }

    fn may_dial(&self, lane: usize) -> bool {
        let lane = self.lanes.get(lane);
        lane.is_some_and(|lane| lane.pause().is_over(self.clock.now()))
    }
}

impl Lane {
    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot of a key in a cluster, as its specification says: what is in the first braces counts.
fn slot(key: &str) -> u16 {
    let inside = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let hashed = inside.map(|(tag, _)| tag).filter(|tag| !tag.is_empty());
    crc16::State::<crc16::XMODEM>::calculate(hashed.unwrap_or(key).as_bytes()) % SLOTS as u16
}

/// Whether the connection is of no use any more: broken, out of step, no longer allowed in, or to a
/// node that lost its role. What is broken or silent in a cluster is one of its nodes.
fn is_fatal(error: &RedisError, is_cluster: bool) -> bool {
    if is_cluster && matches!(error.kind(), ErrorKind::Io | ErrorKind::Server(_)) {
        return false;
    }
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
mod tests;
