//! Who may ask how often: everybody together, one network, one user; and how much is at work.
//!
//! From the narrowest to the widest: what a user or a network may not ask takes nothing from the
//! others. The interface's buckets and a network's are of this process (the fleet is bounded by the
//! gateway); a user's is shared: what other processes admitted comes back on the way of misses. A
//! refused request consults no breaker and asks nobody.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use engine::{UserId, UserState};
use guard::concurrency::Entry;
use guard::tuning::Limits as Rates;
use guard::{
    BreakerState, Clock, Concurrency, Deadline, GuardTuning, KeyedLimiter, Limiter, Now, Rate,
};
use ops::metric;
use store::tiered::CALLERS_MAX;
use store::{Tiered, Tuning};
use web::{Prefix, Problem};

#[cfg(test)]
mod tests;

/// The limits of one process.
pub(crate) struct Limits {
    interface: Limiter,
    region: KeyedLimiter,
    user: Arc<KeyedLimiter>,
    concurrency: Concurrency,
    /// Whether other processes cannot be heard of, although they should.
    is_alone: Box<dyn Fn() -> bool + Send + Sync>,
    applied: ArcSwap<Applied>,
    /// Held while something else is put in force.
    applying: Mutex<()>,
}

/// What is in force. It keeps the snapshot it was made of, so that the next request sees by the
/// address alone that nothing has changed.
#[derive(Debug)]
struct Applied {
    tuning: Arc<Tuning>,
    alone: bool,
    vip: HashSet<u64>,
}

impl Applied {
    fn of(tuning: &Arc<Tuning>, alone: bool) -> Self {
        Self {
            vip: hashes(&tuning.guard.limits),
            tuning: Arc::clone(tuning),
            alone,
        }
    }

    fn is_of(&self, tuning: &Arc<Tuning>, alone: bool) -> bool {
        Arc::ptr_eq(&self.tuning, tuning) && self.alone == alone
    }
}

impl Limits {
    /// Limits as tuned; the users' own are shared as far as the tiers are.
    pub fn new(tuning: &Arc<Tuning>, tiered: &Tiered, clock: &Arc<dyn Clock>) -> Self {
        let shared = tiered.shared().cloned();
        let is_alone = move || {
            let state = shared.as_ref().map(store::Shared::state);
            state.is_some_and(|state| state != BreakerState::Closed)
        };
        Self::of(tuning, tiered.user_limit(), Box::new(is_alone), clock)
    }

    fn of(
        tuning: &Arc<Tuning>,
        user: Arc<KeyedLimiter>,
        is_alone: Box<dyn Fn() -> bool + Send + Sync>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let Rates {
            interface, region, ..
        } = &tuning.guard.limits;
        Self {
            interface: Limiter::new(interface.per_second, interface.burst, Arc::clone(clock)),
            region: KeyedLimiter::new(
                region.per_second,
                region.burst,
                CALLERS_MAX,
                Arc::clone(clock),
            ),
            user,
            concurrency: Concurrency::new(tuning.guard.concurrency, Arc::clone(clock)),
            is_alone,
            applied: ArcSwap::from_pointee(Applied::of(tuning, false)),
            applying: Mutex::default(),
        }
    }

    /// Takes one token of each limit that applies, from the narrowest to the widest; a request that
    /// one of them refuses costs the others nothing.
    ///
    /// # Errors
    /// 429 with whole seconds to wait, rounded up.
    pub fn take(
        &self,
        now: Now,
        tuning: &Arc<Tuning>,
        prefix: Option<Prefix>,
        user: Option<&UserId>,
    ) -> Result<(), Problem> {
        let user = user.map(UserState::user_hash);
        let may_take_all = self.follow(tuning, user);
        if let Some(user) = user {
            refused("user", "user_limit", self.user.take_at(now, user, 0.0))?;
        }
        let taken = self.take_around(now, &tuning.guard.limits, prefix, may_take_all);
        if let (Some(user), Err(_)) = (user, &taken) {
            self.user.put_back(user);
        }
        taken
    }

    /// The same before a body is read, as far as who asks is known by then: the network's limit and
    /// everybody's. The share that is kept for some users stays kept.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_before_body(
        &self,
        now: Now,
        tuning: &Arc<Tuning>,
        prefix: Option<Prefix>,
    ) -> Result<(), Problem> {
        let may_take_all = self.follow(tuning, None);
        self.take_around(now, &tuning.guard.limits, prefix, may_take_all)
    }

    /// The rest, once it was read: the user's limit. What was taken before stays taken, because the
    /// work was done.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_after_body(&self, now: Now, user: Option<&UserId>) -> Result<(), Problem> {
        let taken = user.map(|user| self.user.take_at(now, UserState::user_hash(user), 0.0));
        taken.map_or(Ok(()), |taken| refused("user", "user_limit", taken))
    }

    /// Takes one token of the network's limit and of everybody's; all but those for whom it is kept
    /// leave a share.
    fn take_around(
        &self,
        now: Now,
        rates: &Rates,
        prefix: Option<Prefix>,
        may_take_all: bool,
    ) -> Result<(), Problem> {
        let kept = |rate: &Rate| {
            if may_take_all {
                0.0
            } else {
                rate.burst * rates.vip_share
            }
        };
        if let Some(Prefix(network)) = prefix {
            let taken = self.region.take_at(now, network, kept(&rates.region));
            refused("region", "region_limit", taken)?;
        }
        let taken = self.interface.take_at(now, kept(&rates.interface));
        if let (Some(Prefix(network)), Err(_)) = (prefix, taken) {
            self.region.put_back(network);
        }
        refused("interface", "interface_limit", taken)
    }

    /// Begins to work on a request that was let through.
    ///
    /// # Errors
    /// 503 with a second to wait, at once, when as much as may be is at work.
    pub async fn enter(
        &self,
        tuning: &GuardTuning,
        deadline: &Deadline,
    ) -> Result<Entry<'_>, Problem> {
        self.concurrency.tune(tuning.concurrency);
        self.concurrency.enter(deadline).await.map_err(|_| {
            metrics::counter!(metric::LIMITED, "level" => "process").increment(1);
            Problem::overloaded()
        })
    }

    /// Applies what changed: the rates, and whether other processes are heard of. Answers whether
    /// this one may take it all: a share is kept for others only where there are any.
    fn follow(&self, tuning: &Arc<Tuning>, user: Option<u64>) -> bool {
        let alone = (self.is_alone)();
        let mut applied = self.applied.load();
        if !applied.is_of(tuning, alone) {
            self.apply(tuning, alone);
            applied = self.applied.load();
        }
        applied.vip.is_empty() || user.is_some_and(|user| applied.vip.contains(&user))
    }

    fn apply(&self, tuning: &Arc<Tuning>, alone: bool) {
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        if self.applied.load().is_of(tuning, alone) {
            return;
        }
        let Rates {
            interface,
            user,
            region,
            user_share_alone,
            ..
        } = &tuning.guard.limits;
        let share = if alone { *user_share_alone } else { 1.0 };
        self.interface
            .reconfigure(interface.per_second, interface.burst);
        self.region.reconfigure(region.per_second, region.burst);
        self.user
            .reconfigure(user.per_second * share, user.burst * share);
        self.applied.store(Arc::new(Applied::of(tuning, alone)));
    }
}

/// The users for whom a share is kept; a name that is no id is nobody's.
fn hashes(rates: &Rates) -> HashSet<u64> {
    let ids = rates.vip.iter().filter_map(|id| UserId::parse(id).ok());
    ids.map(|id| UserState::user_hash(&id)).collect()
}

fn refused(
    level: &'static str,
    code: &'static str,
    taken: Result<(), Duration>,
) -> Result<(), Problem> {
    taken.map_err(|wait| {
        metrics::counter!(metric::LIMITED, "level" => level).increment(1);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Problem::too_many(code, u32::try_from(seconds.max(1)).unwrap_or(u32::MAX))
    })
}
