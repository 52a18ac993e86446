//! Whoever asks: users and networks that are left alone for a moment, and what users were admitted.
//!
//! Both are kept per process and bounded. A user is left alone whose own loads time out, a network
//! whose loads take too long on the mean; only what would have to be loaded for them changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{UserId, UserState};
use guard::{
    Clock, Deadline, KeyedBreaker, KeyedLimiter, RegionBreakerTuning, Sample, UserBreakerTuning,
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

/// What a user's answers say while the user is left alone.
pub(super) const USER_OPEN: &str = "user_open";
/// The same for the client's network.
pub(super) const REGION_OPEN: &str = "region_open";

pub(super) struct Callers {
    users: KeyedBreaker,
    networks: KeyedBreaker,
    pub limit: Arc<KeyedLimiter>,
    clock: Arc<dyn Clock>,
    applied: Mutex<(UserBreakerTuning, RegionBreakerTuning)>,
}

/// A load under way for somebody; one that is thrown away was cut.
pub(super) struct Timed<'a> {
    callers: &'a Callers,
    ask: &'a Ask,
    began: Duration,
    ended: bool,
}

impl Callers {
    pub fn new(tuning: &Tuning, clock: &Arc<dyn Clock>) -> Self {
        let (user, region) = (tuning.guard.user_breaker, tuning.guard.region_breaker);
        let keyed = |tuning| KeyedBreaker::new(tuning, CALLERS_MAX, Arc::clone(clock));
        let rate = tuning.guard.limits.user;
        Self {
            users: keyed(user.into()),
            networks: keyed(region.into()),
            limit: Arc::new(KeyedLimiter::new(
                rate.per_second,
                rate.burst,
                CALLERS_MAX,
                Arc::clone(clock),
            )),
            clock: Arc::clone(clock),
            applied: Mutex::new((user, region)),
        }
    }

    /// Why nothing is to be loaded for whoever asks, if so.
    pub fn left_alone(&self, ask: &Ask, tuning: &Tuning) -> Option<&'static str> {
        self.follow(tuning);
        let user = ask.user().map(UserState::user_hash);
        if user.is_some_and(|user| self.users.check(user).is_err()) {
            return Some(USER_OPEN);
        }
        let region = user.and(ask.network);
        region
            .is_some_and(|network| self.networks.check(network).is_err())
            .then_some(REGION_OPEN)
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
        let wanted = (tuning.guard.user_breaker, tuning.guard.region_breaker);
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        if *applied != wanted {
            self.users.tune(wanted.0.into());
            self.networks.tune(wanted.1.into());
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
