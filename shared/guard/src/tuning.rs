//! The section of the hot document that bounds load.

use std::time::Duration;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use redis::RedisBreakerTuning;
pub use shedder::ShedderTuning;

mod redis;
mod shedder;

/// Users for whom a share is kept.
pub const VIP_MAX: usize = 1_000;

/// How load is bounded; hot, validated, swapped whole.
///
/// ```
/// let mut tuning = guard::GuardTuning::default();
/// assert!(tuning.problems().is_empty());
///
/// tuning.limits.user.burst = 0.0;
/// assert_eq!(tuning.problems(), ["limits.user.burst is not 1 to 1000000"]);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct GuardTuning {
    /// When a dependency is left alone, and for how long.
    pub breaker: BreakerTuning,
    /// When the shared cache is left alone, and for how long.
    pub redis_breaker: RedisBreakerTuning,
    /// When one user's answers come from the cohort, and for how long.
    pub user_breaker: UserBreakerTuning,
    /// When one client network's answers come from the cohort, and for how long.
    pub region_breaker: RegionBreakerTuning,
    /// What callers may ask.
    pub limits: Limits,
    /// How much one process works on at once.
    pub concurrency: ConcurrencyTuning,
    /// When a process is behind with what it loads for users.
    pub lag: LagTuning,
    /// When a process is behind with reading requests, and how many it turns away then.
    pub shedder: ShedderTuning,
}

/// When a dependency is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BreakerTuning {
    /// Consecutive failures that are endured, 1 to 1,000; one more opens.
    pub consecutive_failures_max: u32,
    /// Share of failures within the window that is endured, 0.01 to 1; more opens.
    pub failure_share_max: f64,
    /// Calls within the window before the share means something, 1 to 1,000,000.
    pub calls_min: u32,
    /// Length of the rolling window, 3,000 to 3,600,000 milliseconds.
    pub window_ms: u32,
    /// How long nothing is asked, 100 to 600,000 milliseconds.
    pub open_ms: u32,
    /// Probes in flight while half-open, and consecutive successes that close; 1 to 10,000.
    pub half_open_max: u32,
    /// A probe unanswered for this long is a failure, 100 to 600,000 milliseconds.
    pub permit_ms: u32,
}

/// When one user is left alone: their own loads time out while others do not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UserBreakerTuning {
    /// Timeouts in a row that open, 1 to 1,000.
    pub timeouts: u32,
    /// How long nothing is loaded for the user, 100 to 600,000 milliseconds.
    pub open_ms: u32,
}

/// When one client network is left alone: what is loaded for it takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RegionBreakerTuning {
    /// Mean time of its loads that is endured, 1 to 600,000 milliseconds; more opens.
    pub mean_ms_max: u32,
    /// Loads before the mean means something, 1 to 1,000,000.
    pub samples_min: u32,
    /// The mean is taken over a window of this length, 3,000 to 3,600,000 milliseconds.
    pub window_ms: u32,
    /// How long nothing is loaded for the network, 100 to 600,000 milliseconds.
    pub open_ms: u32,
}

/// What a [`KeyedBreaker`](crate::KeyedBreaker) goes by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeyedBreakerTuning {
    /// Timeouts in a row that open; 0 never.
    pub timeouts: u32,
    /// Mean time that is endured, in milliseconds; 0 any.
    pub mean_ms_max: u32,
    /// Calls before the mean means something.
    pub samples_min: u32,
    /// Length of the window of the mean, in milliseconds.
    pub window_ms: u32,
    /// How long a key is left alone, in milliseconds.
    pub open_ms: u32,
}

/// How much one process works on at once; more is refused at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ConcurrencyTuning {
    /// Requests at work at once, 1 to 100,000; the most, when adaptive.
    pub limit: u32,
    /// Requests that wait for their turn, 0 to 100,000.
    pub waiting_max: u32,
    /// Whether the limit follows how long requests take.
    pub adaptive: bool,
}

/// How much is loaded for users at once, and when what waits for that is given up: the answer then
/// comes from the steps below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LagTuning {
    /// Loads for users at once, 1 to 100,000; more wait.
    pub at_once: u32,
    /// Wait that is endured, 1 to 10,000 milliseconds.
    pub target_ms: u32,
    /// How long every wait must be longer, 1 to 60,000 milliseconds.
    pub interval_ms: u32,
}

/// Token buckets, from the widest to the narrowest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Everything one process is asked.
    pub interface: Rate,
    /// One user, over all processes that share a Redis.
    pub user: Rate,
    /// One client network (/24, /48).
    pub region: Rate,
    /// Share of a user's rate and burst that one process admits while the Redis it is set to use
    /// is away, 0.01 to 1.
    pub user_share_alone: f64,
    /// Users for whom a share of the wider buckets is kept; at most 1,000.
    pub vip: Vec<String>,
    /// Share of the interface's and a network's burst that only they may use, 0 to 0.9.
    pub vip_share: f64,
}

/// One token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Tokens that flow in per second, 0.01 to 1,000,000.
    pub per_second: f64,
    /// Tokens that a rested bucket holds, 1 to 1,000,000.
    pub burst: f64,
}

impl Default for BreakerTuning {
    fn default() -> Self {
        Self {
            consecutive_failures_max: 5,
            failure_share_max: 0.30,
            calls_min: 100,
            window_ms: 300_000,
            open_ms: 30_000,
            half_open_max: 100,
            permit_ms: 30_000,
        }
    }
}

impl Default for UserBreakerTuning {
    fn default() -> Self {
        Self {
            timeouts: 3,
            open_ms: 30_000,
        }
    }
}

impl Default for RegionBreakerTuning {
    fn default() -> Self {
        Self {
            mean_ms_max: 800,
            samples_min: 100,
            window_ms: 300_000,
            open_ms: 30_000,
        }
    }
}

impl Default for ConcurrencyTuning {
    fn default() -> Self {
        Self {
            limit: 1_024,
            waiting_max: 0,
            adaptive: false,
        }
    }
}

impl Default for LagTuning {
    fn default() -> Self {
        Self {
            at_once: 64,
            target_ms: 25,
            interval_ms: 100,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            interface: Rate {
                per_second: 20_000.0,
                burst: 4_000.0,
            },
            user: Rate {
                per_second: 20.0,
                burst: 40.0,
            },
            region: Rate {
                per_second: 5_000.0,
                burst: 1_000.0,
            },
            user_share_alone: 0.5,
            vip: Vec::new(),
            vip_share: 0.1,
        }
    }
}

impl From<UserBreakerTuning> for KeyedBreakerTuning {
    fn from(UserBreakerTuning { timeouts, open_ms }: UserBreakerTuning) -> Self {
        Self {
            timeouts,
            mean_ms_max: 0,
            samples_min: 0,
            window_ms: u32::MAX,
            open_ms,
        }
    }
}

impl From<RegionBreakerTuning> for KeyedBreakerTuning {
    fn from(tuning: RegionBreakerTuning) -> Self {
        Self {
            timeouts: 0,
            mean_ms_max: tuning.mean_ms_max,
            samples_min: tuning.samples_min,
            window_ms: tuning.window_ms,
            open_ms: tuning.open_ms,
        }
    }
}

impl LagTuning {
    pub(crate) fn target(&self) -> Duration {
        Duration::from_millis(self.target_ms.into())
    }

    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.into())
    }
}

impl KeyedBreakerTuning {
    pub(crate) fn open(&self) -> Duration {
        Duration::from_millis(self.open_ms.into())
    }

    pub(crate) fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms.into())
    }
}

impl GuardTuning {
    /// Names every value that is out of bounds; empty when the document may be applied.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |name: &str, value: f64, min: f64, max: f64| {
            // Written so that a NaN is a problem.
            if !(min..=max).contains(&value) {
                problems.push(format!("{name} is not {min} to {max}"));
            }
        };
        for (section, breaker) in [
            ("breaker", self.breaker),
            ("redis_breaker", self.redis_breaker.into()),
        ] {
            for (name, value, min, max) in breaker.bounds() {
                check(&format!("{section}.{name}"), value, min, max);
            }
        }
        check(
            "limits.user_share_alone",
            self.limits.user_share_alone,
            0.01,
            1.0,
        );
        check("limits.vip_share", self.limits.vip_share, 0.0, 0.9);
        for (name, value, min, max) in self.integers() {
            check(name, f64::from(value), f64::from(min), f64::from(max));
        }
        let limits = &self.limits;
        for (name, rate) in [
            ("interface", &limits.interface),
            ("user", &limits.user),
            ("region", &limits.region),
        ] {
            let per_second = format!("limits.{name}.per_second");
            check(&per_second, rate.per_second, 0.01, 1e6);
            check(&format!("limits.{name}.burst"), rate.burst, 1.0, 1e6);
        }
        if limits.vip.len() > VIP_MAX {
            problems.push(format!("limits.vip names more than {VIP_MAX} users"));
        }
        problems
    }

    /// Every other whole number, with its bounds.
    fn integers(&self) -> [(&'static str, u32, u32, u32); 14] {
        let (user, region) = (&self.user_breaker, &self.region_breaker);
        [
            ("user_breaker.timeouts", user.timeouts, 1, 1_000),
            ("user_breaker.open_ms", user.open_ms, 100, 600_000),
            ("region_breaker.mean_ms_max", region.mean_ms_max, 1, 600_000),
            (
                "region_breaker.samples_min",
                region.samples_min,
                1,
                1_000_000,
            ),
            (
                "region_breaker.window_ms",
                region.window_ms,
                3_000,
                3_600_000,
            ),
            ("region_breaker.open_ms", region.open_ms, 100, 600_000),
            ("concurrency.limit", self.concurrency.limit, 1, 100_000),
            (
                "concurrency.waiting_max",
                self.concurrency.waiting_max,
                0,
                100_000,
            ),
            ("lag.at_once", self.lag.at_once, 1, 100_000),
            ("lag.target_ms", self.lag.target_ms, 1, 10_000),
            ("lag.interval_ms", self.lag.interval_ms, 1, 60_000),
            ("shedder.target_ms", self.shedder.target_ms, 1, 10_000),
            ("shedder.full_ms", self.shedder.full_ms, 2, 60_000),
            ("shedder.interval_ms", self.shedder.interval_ms, 1, 60_000),
        ]
    }
}

impl Rate {
    /// The same rate with values that arithmetic can bear; what is out of bounds is cut to them.
    pub(crate) fn sane(self) -> Self {
        let bounded = |value: f64, min: f64| {
            if value.is_nan() {
                min
            } else {
                value.clamp(min, 1e6)
            }
        };
        Self {
            per_second: bounded(self.per_second, 0.01),
            burst: bounded(self.burst, 1.0),
        }
    }
}

#[cfg(test)]
mod tests;
