//! How much may come in at once: by everybody, by one network, by one user.
//!
//! ```text
//! request ─► network ─► interface ─► a place inside ─► body is read ─► each user of it ─► published
//!              429          429         503, at once                    429, or the user's
//!                                       when the queue is full          events are listed
//! ```
//!
//! A body and what it becomes are the memory this function uses: whoever has no place keeps their
//! body in their own socket. A user's limit is that of the reading functions: what is admitted here
//! is counted in Redis with what is admitted there. Rates follow the hot document.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{UserId, UserState};
use futures_util::future::join_all;
use guard::tuning::Limits;
use guard::{BreakerState, Clock, Deadline, Gate, GatePermit, KeyedLimiter, Limiter};
use http::request::Parts as RequestParts;
use ops::metric;
use store::Shared;
use store::tiered::CALLERS_MAX;
use web::{Prefix, Problem};

/// Bodies that are read or published at a time, each at most half a MiB.
pub const INSIDE_MAX: usize = 32;
/// Requests that wait for a place.
pub const WAITING_MAX: usize = 512;
/// Networks whose buckets are remembered.
const NETWORKS_MAX: usize = 65_536;
/// What a client may wait before it sends again, in seconds.
const RETRY_AFTER_S: u32 = 1;
/// Users of one request whose admissions are told to other processes: a client speaks of one, and
/// whoever gathers events of many is bounded by its network.
const TOLD_MAX: usize = 8;
/// Why a user's events are not taken now.
pub(crate) const USER_LIMIT: &str = "user_limit";

/// The way in for batches of events.
pub(crate) struct Doors {
    interface: Limiter,
    network: KeyedLimiter,
    user: KeyedLimiter,
    inside: Gate,
    shared: Option<Shared>,
    clock: Arc<dyn Clock>,
    applied: Mutex<Applied>,
}

/// What is in force.
#[derive(Debug, PartialEq)]
struct Applied {
    rates: Limits,
    /// Other processes cannot be heard of, although they should.
    alone: bool,
}

/// What each user of a request may do: nothing, or wait this long.
pub(crate) type Admitted = BTreeMap<UserId, Option<Duration>>;

impl Doors {
    /// Doors that let in at these rates; users are counted in Redis where there is one.
    pub fn new(rates: &Limits, shared: Option<Shared>, clock: &Arc<dyn Clock>) -> Self {
        let keyed = |rate: guard::Rate, keys_max| {
            KeyedLimiter::new(rate.per_second, rate.burst, keys_max, Arc::clone(clock))
        };
        let all = rates.interface;
        Self {
            interface: Limiter::new(all.per_second, all.burst, Arc::clone(clock)),
            network: keyed(rates.region, NETWORKS_MAX),
            user: keyed(rates.user, CALLERS_MAX),
            inside: Gate::new(INSIDE_MAX, WAITING_MAX),
            shared,
            clock: Arc::clone(clock),
            applied: Mutex::new(Applied {
                rates: rates.clone(),
                alone: false,
            }),
        }
    }

    /// Lets a request in; it is inside until the permit is dropped.
    ///
    /// # Errors
    /// 429 when there are too many from everywhere or from its network; 503 when there is no place.
    pub async fn enter(
        &self,
        rates: &Limits,
        parts: &RequestParts,
        deadline: &Deadline,
    ) -> Result<GatePermit, Problem> {
        self.follow(rates);
        // The narrow one first: what it refuses costs nobody else a token.
        let network = Prefix::of(&parts.headers, &parts.extensions).map(|Prefix(network)| network);
        if let Some(network) = network {
            limited("region", "region_limit", self.network.take(network))?;
        }
        let taken = self.interface.take();
        if let (Some(network), Err(_)) = (network, taken) {
            self.network.put_back(network);
        }
        limited("interface", "interface_limit", taken)?;
        let entered = self.inside.enter(deadline).await;
        entered.map_err(|_| Problem::unavailable(RETRY_AFTER_S))
    }

    /// Takes one token of each user that a request speaks of.
    pub fn admit<'a>(&self, users: impl Iterator<Item = &'a UserId>) -> Admitted {
        let mut admitted = Admitted::new();
        for user in users {
            if !admitted.contains_key(user) {
                let taken = self.user.take(UserState::user_hash(user));
                if taken.is_err() {
                    metrics::counter!(metric::LIMITED, "level" => "user").increment(1);
                }
                admitted.insert(user.clone(), taken.err());
            }
        }
        admitted
    }

    /// Tells other processes who was admitted, and hears what they admitted. Never longer than a
    /// round trip to Redis may take; what cannot be told is told the next time.
    pub async fn tell(&self, admitted: &Admitted, budget: Duration, deadline: &Deadline) {
        let Some(shared) = &self.shared else {
            return;
        };
        let (deadline, now_ms) = (deadline.child(budget), self.clock.now().wall_ms);
        let users = admitted.iter().filter(|(_, wait)| wait.is_none());
        let tell = |user| shared.count_user(&self.user, user, now_ms, &deadline);
        join_all(users.take(TOLD_MAX).map(|(user, _)| tell(user))).await;
    }

    /// Applies what changed: the rates, and whether other processes are heard of.
    fn follow(&self, rates: &Limits) {
        let state = self.shared.as_ref().map(Shared::state);
        let alone = state.is_some_and(|state| state != BreakerState::Closed);
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        if applied.rates != *rates || applied.alone != alone {
            let (all, network, user) = (rates.interface, rates.region, rates.user);
            let share = if alone { rates.user_share_alone } else { 1.0 };
            self.interface.reconfigure(all.per_second, all.burst);
            self.network.reconfigure(network.per_second, network.burst);
            self.user
                .reconfigure(user.per_second * share, user.burst * share);
            *applied = Applied {
                rates: rates.clone(),
                alone,
            };
        }
    }
}

/// The refusal of a request all of whose events are of users who must wait this long.
pub(crate) fn too_many(wait: Duration) -> Problem {
    Problem::too_many(USER_LIMIT, whole_seconds(wait))
}

fn limited(
    level: &'static str,
    code: &'static str,
    taken: Result<(), Duration>,
) -> Result<(), Problem> {
    taken.map_err(|wait| {
        metrics::counter!(metric::LIMITED, "level" => level).increment(1);
        Problem::too_many(code, whole_seconds(wait))
    })
}

/// Rounded up, at least one.
fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}
