//! Who may ask how often: everybody together, one network, one user.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{UserId, UserState};
use guard::{Clock, KeyedLimiter, Limiter, tuning::Limits as Rates};
use ops::metric;
use web::{Prefix, Problem};

/// Users, and networks, whose buckets are remembered.
const KEYS_MAX: usize = 65_536;

/// The three limits, from the widest to the narrowest.
#[derive(Debug)]
pub(crate) struct Limits {
    interface: Limiter,
    region: KeyedLimiter,
    user: KeyedLimiter,
    applied: Mutex<Rates>,
}

impl Limits {
    /// Limits at these rates.
    pub fn new(rates: &Rates, clock: &Arc<dyn Clock>) -> Self {
        let Rates {
            interface,
            user,
            region,
        } = *rates;
        let keyed = |rate: guard::Rate| {
            KeyedLimiter::new(rate.per_second, rate.burst, KEYS_MAX, Arc::clone(clock))
        };
        Self {
            interface: Limiter::new(interface.per_second, interface.burst, Arc::clone(clock)),
            region: keyed(region),
            user: keyed(user),
            applied: Mutex::new(rates.clone()),
        }
    }

    /// Takes one token of each limit that applies.
    ///
    /// # Errors
    /// 429 with whole seconds to wait, rounded up.
    pub fn take(
        &self,
        rates: &Rates,
        prefix: Option<Prefix>,
        user: Option<&UserId>,
    ) -> Result<(), Problem> {
        self.follow(rates);
        refused("interface", "interface_limit", self.interface.take())?;
        if let Some(Prefix(network)) = prefix {
            refused("region", "region_limit", self.region.take(network))?;
        }
        if let Some(user) = user {
            refused(
                "user",
                "user_limit",
                self.user.take(UserState::user_hash(user)),
            )?;
        }
        Ok(())
    }

    /// Applies rates that changed.
    fn follow(&self, rates: &Rates) {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        if *applied == *rates {
            return;
        }
        let Rates {
            interface,
            user,
            region,
        } = *rates;
        self.interface
            .reconfigure(interface.per_second, interface.burst);
        self.region.reconfigure(region.per_second, region.burst);
        self.user.reconfigure(user.per_second, user.burst);
        *applied = rates.clone();
    }
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

#[cfg(test)]
mod tests {
    use guard::{ManualClock, Rate};

    use super::*;

    fn rates(interface: f64, region: f64, user: f64) -> Rates {
        let rate = |burst| Rate {
            per_second: 0.5,
            burst,
        };
        Rates {
            interface: rate(interface),
            region: rate(region),
            user: rate(user),
        }
    }

    fn id(text: &str) -> UserId {
        UserId::parse(text).unwrap()
    }

    #[test]
    fn the_narrowest_limit_that_is_empty_answers_with_its_wait() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let rates = rates(4.0, 3.0, 1.0);
        let limits = Limits::new(&rates, &clock);
        let network = Some(Prefix(7));
        let take = |user: &str| {
            limits
                .take(&rates, network, Some(&id(user)))
                .map_err(|p| p.code())
        };
        assert_eq!(take("a"), Ok(()));
        assert_eq!(take("a"), Err("user_limit"));
        assert_eq!(take("b"), Ok(()));
        assert_eq!(take("c"), Err("region_limit"));
        assert_eq!(take("c"), Err("interface_limit"));
    }

    #[test]
    fn changed_rates_are_followed() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let limits = Limits::new(&rates(9.0, 9.0, 9.0), &clock);
        let narrow = rates(1.0, 9.0, 9.0);
        assert!(limits.take(&narrow, None, None).is_ok());
        let refused = limits.take(&narrow, None, None).unwrap_err();
        assert_eq!(
            (refused.status().as_u16(), refused.code()),
            (429, "interface_limit")
        );
    }
}
