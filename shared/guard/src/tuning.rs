//! The section of the hot document that bounds load.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How load is bounded; hot, validated, swapped whole.
///
/// ```
/// let mut tuning = guard::GuardTuning::default();
/// assert!(tuning.problems().is_empty());
///
/// tuning.limits.user.burst = 0.0;
/// assert_eq!(tuning.problems(), ["limits.user.burst is not 1 to 1000000"]);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuardTuning {
    /// When a dependency is left alone, and for how long.
    pub breaker: BreakerTuning,
    /// What callers may ask.
    pub limits: Limits,
}

/// When a dependency is left alone, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// Token buckets, from the widest to the narrowest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Everything one process is asked.
    pub interface: Rate,
    /// One user.
    pub user: Rate,
    /// One client network (/24, /48).
    pub region: Rate,
}

/// One token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
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
        }
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
        let b = &self.breaker;
        let consecutive = f64::from(b.consecutive_failures_max);
        check("breaker.consecutive_failures_max", consecutive, 1.0, 1e3);
        check("breaker.failure_share_max", b.failure_share_max, 0.01, 1.0);
        check("breaker.calls_min", f64::from(b.calls_min), 1.0, 1e6);
        check("breaker.window_ms", f64::from(b.window_ms), 3e3, 3.6e6);
        check("breaker.open_ms", f64::from(b.open_ms), 1e2, 6e5);
        check(
            "breaker.half_open_max",
            f64::from(b.half_open_max),
            1.0,
            1e4,
        );
        check("breaker.permit_ms", f64::from(b.permit_ms), 1e2, 6e5);
        let Limits {
            interface,
            user,
            region,
        } = &self.limits;
        for (name, rate) in [("interface", interface), ("user", user), ("region", region)] {
            check(
                &format!("limits.{name}.per_second"),
                rate.per_second,
                0.01,
                1e6,
            );
            check(&format!("limits.{name}.burst"), rate.burst, 1.0, 1e6);
        }
        problems
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
mod tests {
    use super::*;

    #[test]
    fn the_defaults_may_be_applied() {
        assert_eq!(GuardTuning::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn every_value_out_of_bounds_is_named_at_once() {
        let mut tuning = GuardTuning::default();
        tuning.breaker.failure_share_max = f64::NAN;
        tuning.breaker.half_open_max = 0;
        tuning.limits.interface.per_second = -1.0;
        tuning.limits.region.burst = f64::INFINITY;
        let expected = [
            "breaker.failure_share_max is not 0.01 to 1",
            "breaker.half_open_max is not 1 to 10000",
            "limits.interface.per_second is not 0.01 to 1000000",
            "limits.region.burst is not 1 to 1000000",
        ];
        assert_eq!(tuning.problems(), expected);
    }
}
