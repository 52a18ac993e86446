//! The hot document: one JSON text with a section per crate, checked whole, swapped whole.
//!
//! ```text
//! file │ AppConfig ──► LiveTuning::offer ──► problems? refused, the last good one stays
//!                                      └──► snapshot(), one per request
//! ```

use std::sync::Arc;
use std::time::Duration;

use engine::EngineTuning;
use guard::GuardTuning;
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::life::Life;

mod file;
mod live;

pub use file::TuningFile;
pub use live::LiveTuning;

/// Largest document.
pub const TUNING_BYTES_MAX: usize = 256 * 1_024;

/// Everything that can be changed while it runs. A section or value that is left out has its
/// default; one that is not known is a mistake.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tuning {
    /// How recommendations are made.
    pub engine: Arc<EngineTuning>,
    /// How load is bounded.
    pub guard: GuardTuning,
    /// How long values are kept and stores are waited for.
    pub store: StoreTuning,
}

/// How long values are kept and stores are waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreTuning {
    /// Longest waits.
    pub budgets: StoreBudgets,
    /// How long slates are kept.
    pub lives: Lives,
    /// How often a process asks for a new generation, 1,000 to 3,600,000 milliseconds.
    pub generation_every_ms: u32,
}

/// Longest waits, in milliseconds. No wait outlives its request, except a detached load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreBudgets {
    /// One round trip to Redis, 1 to 1,000.
    pub redis_ms: u32,
    /// One call of the tables, 1 to 10,000.
    pub tables_ms: u32,
    /// A detached load as a whole, 10 to 10,000.
    pub load_ms: u32,
}

/// How long slates are kept, in milliseconds; all but `absent_ms` at most a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lives {
    /// A personal slate is served without asking for the user's version for this long.
    pub personal_soft_ms: u32,
    /// A personal slate is personal for this long.
    pub personal_hard_ms: u32,
    /// A shared slate is served without making it anew for this long.
    pub shared_soft_ms: u32,
    /// A shared slate is served at all for this long.
    pub shared_hard_ms: u32,
    /// That somebody is unknown is believed for this long, at most 5,000; past the soft life of a
    /// personal slate only if the user's version says so.
    pub absent_ms: u32,
}

impl Default for StoreTuning {
    fn default() -> Self {
        let (budgets, lives) = (StoreBudgets::default(), Lives::default());
        Self {
            budgets,
            lives,
            generation_every_ms: 30_000,
        }
    }
}

impl Default for StoreBudgets {
    fn default() -> Self {
        Self {
            redis_ms: 30,
            tables_ms: 60,
            load_ms: 500,
        }
    }
}

impl Default for Lives {
    fn default() -> Self {
        Self {
            // With the moment that an event takes to arrive: within two seconds.
            personal_soft_ms: 1_500,
            personal_hard_ms: 600_000,
            shared_soft_ms: 30_000,
            shared_hard_ms: 7_200_000,
            absent_ms: 5_000,
        }
    }
}

impl Tuning {
    /// Reads a document.
    ///
    /// # Errors
    /// Everything that is wrong with it: all values out of bounds at once, or the first that is no
    /// such value.
    pub fn parse(json: &str) -> Result<Self, Vec<String>> {
        if json.len() > TUNING_BYTES_MAX {
            return Err(vec![format!(
                "the document is larger than {TUNING_BYTES_MAX} bytes"
            )]);
        }
        let not_read = |error: serde_json::Error| vec![error.to_string()];
        let tuning: Self = serde_json::from_str(json).map_err(not_read)?;
        let given: Value = serde_json::from_str(json).map_err(not_read)?;
        let taken = serde_json::to_value(&tuning).map_err(not_read)?;
        if !same_shape(&given, &taken) {
            return Err(vec!["a list stands where an object is expected".to_owned()]);
        }
        let problems = tuning.problems();
        if problems.is_empty() {
            Ok(tuning)
        } else {
            Err(problems)
        }
    }

    /// Names every value that is out of bounds; empty when the document may be applied.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let section = |name: &'static str, problems: Vec<String>| {
            problems
                .into_iter()
                .map(move |problem| format!("{name}.{problem}"))
        };
        section("engine", self.engine.problems())
            .chain(section("guard", self.guard.problems()))
            .chain(section("store", self.store.problems()))
            .collect()
    }

    /// The JSON Schema of the document.
    #[must_use]
    pub fn schema() -> Schema {
        schema_for!(Tuning)
    }
}

impl StoreTuning {
    /// Names every value that is out of bounds.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        const DAY_MS: u32 = 24 * 3_600 * 1_000;
        let StoreBudgets {
            redis_ms,
            tables_ms,
            load_ms,
        } = self.budgets;
        let lives = &self.lives;
        let bounds = [
            ("budgets.redis_ms", redis_ms, 1, 1_000),
            ("budgets.tables_ms", tables_ms, 1, 10_000),
            ("budgets.load_ms", load_ms, 10, 10_000),
            ("lives.personal_soft_ms", lives.personal_soft_ms, 0, DAY_MS),
            (
                "lives.personal_hard_ms",
                lives.personal_hard_ms,
                lives.personal_soft_ms,
                DAY_MS,
            ),
            ("lives.shared_soft_ms", lives.shared_soft_ms, 0, DAY_MS),
            (
                "lives.shared_hard_ms",
                lives.shared_hard_ms,
                lives.shared_soft_ms,
                DAY_MS,
            ),
            ("lives.absent_ms", lives.absent_ms, 0, 5_000),
            (
                "generation_every_ms",
                self.generation_every_ms,
                1_000,
                3_600_000,
            ),
        ];
        let outside = bounds
            .into_iter()
            .filter(|(_, value, min, max)| value < min || value > max);
        outside
            .map(|(name, _, min, max)| format!("{name} is not {min} to {max}"))
            .collect()
    }

    /// How long a personal slate is good for.
    #[must_use]
    pub fn personal_life(&self) -> Life {
        life(self.lives.personal_soft_ms, self.lives.personal_hard_ms)
    }

    /// How long a shared slate is good for.
    #[must_use]
    pub fn shared_life(&self) -> Life {
        life(self.lives.shared_soft_ms, self.lives.shared_hard_ms)
    }

    /// How often a process asks for a new generation.
    #[must_use]
    pub fn generation_every(&self) -> Duration {
        Duration::from_millis(self.generation_every_ms.into())
    }
}

/// Whether lists stand only where lists belong: serde would take one for an object, by position.
fn same_shape(given: &Value, taken: &Value) -> bool {
    match (given, taken) {
        (Value::Object(given), Value::Object(taken)) => given
            .iter()
            .all(|(key, value)| taken.get(key).is_none_or(|taken| same_shape(value, taken))),
        (Value::Array(given), Value::Array(taken)) => given
            .iter()
            .zip(taken)
            .all(|(given, taken)| same_shape(given, taken)),
        (Value::Array(_), _) => false,
        _ => true,
    }
}

fn life(soft_ms: u32, hard_ms: u32) -> Life {
    let (soft, hard) = (
        Duration::from_millis(soft_ms.into()),
        Duration::from_millis(hard_ms.into()),
    );
    Life { soft, hard }
}

#[cfg(test)]
mod tests;
