//! The breaker before a shared cache: the same rules as before a table, over shorter times.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::BreakerTuning;

/// When the shared cache is left alone, and for how long; one that is back should be used within a
/// second or two, so this is shorter than for a dependency that suffers from being asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RedisBreakerTuning {
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

impl Default for RedisBreakerTuning {
    fn default() -> Self {
        let table = BreakerTuning::default();
        Self {
            consecutive_failures_max: table.consecutive_failures_max,
            failure_share_max: table.failure_share_max,
            calls_min: table.calls_min,
            window_ms: 30_000,
            open_ms: 500,
            half_open_max: 20,
            permit_ms: 1_000,
        }
    }
}

impl From<RedisBreakerTuning> for BreakerTuning {
    fn from(tuning: RedisBreakerTuning) -> Self {
        Self {
            consecutive_failures_max: tuning.consecutive_failures_max,
            failure_share_max: tuning.failure_share_max,
            calls_min: tuning.calls_min,
            window_ms: tuning.window_ms,
            open_ms: tuning.open_ms,
            half_open_max: tuning.half_open_max,
            permit_ms: tuning.permit_ms,
        }
    }
}

impl BreakerTuning {
    /// Every value with its bounds.
    pub(super) fn bounds(&self) -> [(&'static str, f64, f64, f64); 7] {
        let whole = |name, value: u32, min, max| (name, f64::from(value), min, max);
        [
            whole(
                "consecutive_failures_max",
                self.consecutive_failures_max,
                1.0,
                1e3,
            ),
            ("failure_share_max", self.failure_share_max, 0.01, 1.0),
            whole("calls_min", self.calls_min, 1.0, 1e6),
            whole("window_ms", self.window_ms, 3e3, 3.6e6),
            whole("open_ms", self.open_ms, 100.0, 6e5),
            whole("half_open_max", self.half_open_max, 1.0, 1e4),
            whole("permit_ms", self.permit_ms, 100.0, 6e5),
        ]
    }
}
