//! What [`Shedder`](crate::Shedder) goes by.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a request may wait before it is read, and from when on a share of them is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ShedderTuning {
    /// Wait that is endured, 1 to 10,000 milliseconds.
    pub target_ms: u32,
    /// Wait from which on nearly all are turned away, 2 to 60,000 milliseconds; between both the share
    /// rises evenly.
    pub full_ms: u32,
    /// How long every wait must be longer before anybody is, 1 to 60,000 milliseconds.
    pub interval_ms: u32,
}

impl Default for ShedderTuning {
    fn default() -> Self {
        Self {
            target_ms: 5,
            full_ms: 25,
            interval_ms: 100,
        }
    }
}
