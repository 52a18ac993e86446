//! Whoever asks: users and networks that are left alone for a moment, and what users were admitted.
//!
//! Both are kept per process and bounded. A user is left alone whose own loads time out, a network
//! whose loads take too long on the mean; only what would have to be loaded for them changes. So
//! are all users while this process is behind with its work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{UserId, UserState};
use guard::{
    Clock, Deadline, Gate, GatePermit, GuardTuning, KeyedBreaker, KeyedLimiter, Lag, LagTuning,
    RegionBreakerTuning, Sample, UserBreakerTuning,
};
use smol_str::SmolStr;

use super::Inner;
use crate::ask::Ask;
use crate::envelope::Envelope;
use crate::origin::Made;
use crate::redis::{Lapse, Shared, SharedKey};
use crate::tuning::Tuning;

/// Users, and networks, that are remembered.
pub const CALLERS_MAX: usize = 100_000;

/// Who waits for a turn; the interface's bound on what is at work lets in fewer.
const WAITING_MAX: usize = 100_000;

/// What a user's answers say while the user is left alone.
pub(super) const USER_OPEN: &str = "user_open";
/// The same for the client's network.
pub(super) const REGION_OPEN: &str = "region_open";
/// The same for everybody, while this process is behind with its work.
pub(super) const OVERLOADED: &str = "overloaded";

pub(super) struct Callers {
    users: KeyedBreaker,
    networks: KeyedBreaker,
    /// As many as are loaded for at once; the others wait, and how long they do is what `lag` hears.
    turns: Gate,
    lag: Lag,
    pub limit: Arc<KeyedLimiter>,
    clock: Arc<dyn Clock>,
    applied: Mutex<Applied>,
}

/// What is in force.
type Applied = (UserBreakerTuning, RegionBreakerTuning, LagTuning);

/// A load under way for somebody; one that is thrown away was cut.
pub(super) struct Timed<'a> {
    callers: &'a Callers,
    ask: &'a Ask,
    began: Duration,
    ended: bool,
}

impl Callers {
    pub fn new(tuning: &Tuning, clock: &Arc<dyn Clock>) -> Self {
        let (user, region, lag) = applied(&tuning.guard);
        let keyed = |tuning| KeyedBreaker::new(tuning, CALLERS_MAX, Arc::clone(clock));
        let rate = tuning.guard.limits.user;
        Self {
            users: keyed(user.into()),
            networks: keyed(region.into()),
            turns: Gate::new(lag.at_once as usize, WAITING_MAX),
            lag: Lag::new(lag, Arc::clone(clock)),
            limit: Arc::new(KeyedLimiter::new(
                rate.per_second,
                rate.burst,
                CALLERS_MAX,
                Arc::clone(clock),
            )),
            clock: Arc::clone(clock),
            applied: Mutex::new((user, region, lag)),
        }
    }

    /// Why nothing is to be loaded for whoever asks, if so.
    pub fn left_alone(&self, ask: &Ask, tuning: &Tuning) -> Option<&'static str> {
        self.follow(tuning);
        let user = ask.user().map(UserState::user_hash)?;
        if self.users.check(user).is_err() {
            return Some(USER_OPEN);
        }
        let is_open = |network| self.networks.check(network).is_err();
        ask.network.is_some_and(is_open).then_some(REGION_OPEN)
    }

    /// Waits for a user's turn to be loaded for; slates for many need none.
    ///
    /// # Errors
    /// Why nothing is to be loaded: whoever asks is left alone, or too much waits.
    pub async fn turn(
        &self,
        ask: &Ask,
        tuning: &Tuning,
        deadline: &Deadline,
    ) -> Result<Option<GatePermit>, &'static str> {
        if let Some(cause) = self.left_alone(ask, tuning) {
            return Err(cause);
        }
        if ask.user().is_none() {
            return Ok(None);
        }
        let queued = self.clock.now().mono;
        let turn = self.turns.enter(deadline).await.map_err(|_| OVERLOADED)?;
        let waited = self.clock.now().mono.saturating_sub(queued);
        if self.lag.note(waited) {
            return Err(OVERLOADED);
        }
        Ok(Some(turn))
    }

    /// Begins to time what is loaded for a user; slates for many are nobody's.
    pub fn time<'a>(&'a self, ask: &'a Ask) -> Timed<'a> {
        Timed {
            callers: self,
            ask,
            began: self.clock.now().mono,
            ended: ask.user().is_none(),
        }
    }

    fn follow(&self, tuning: &Tuning) {
        let wanted = applied(&tuning.guard);
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        if *applied != wanted {
            self.users.tune(wanted.0.into());
            self.networks.tune(wanted.1.into());
            self.turns.set_limit(wanted.2.at_once as usize);
            self.lag.tune(wanted.2);
            *applied = wanted;
        }
    }

    fn report(&self, ask: &Ask, sample: Sample) {
        if let Some(user) = ask.user() {
            self.users.report(UserState::user_hash(user), sample);
        }
        if let Some(network) = ask.network {
            self.networks.report(network, sample);
        }
    }
}

fn applied(tuning: &GuardTuning) -> Applied {
    (tuning.user_breaker, tuning.region_breaker, tuning.lag)
}

impl Inner {
    /// Reads a user's values; what the user was admitted here is counted on the way, and what
    /// others admitted comes back.
    pub(super) async fn read_own(
        &self,
        shared: &Shared,
        user: &UserId,
        keys: &[SharedKey],
        deadline: &Deadline,
    ) -> Result<Vec<Option<Envelope>>, Lapse> {
        let (limit, now_ms) = (&self.callers.limit, self.clock.now().wall_ms);
        shared.mget_own(limit, user, keys, now_ms, deadline).await
    }
}

impl Timed<'_> {
    /// The load came to its end, or the origin's own deadline cut it.
    pub fn end(mut self, made: &Result<Made, SmolStr>) {
        let nobodys = std::mem::replace(&mut self.ended, true);
        let took = self.took();
        let sample = match made {
            Ok(_) => Sample::Took(took),
            Err(cause) => match cause.as_str() {
                "users_timeout" => Sample::Cut(took),
                "users_throttled" => Sample::Refused,
                // Not asked at all, or broken for everybody: nothing about whoever asks.
                _ => return,
            },
        };
        if !nobodys {
            self.callers.report(self.ask, sample);
        }
    }

    fn took(&self) -> Duration {
        self.callers.clock.now().mono.saturating_sub(self.began)
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.callers.report(self.ask, Sample::Cut(self.took()));
        }
    }
}
