//! The tuning in force.

use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics::counter;
use ops::metric;

use super::Tuning;

/// The tuning in force; a request takes one snapshot and reads nothing else.
#[derive(Debug, Default)]
pub struct LiveTuning(ArcSwap<Tuning>);

impl LiveTuning {
    /// Starts with a tuning that was checked.
    #[must_use]
    pub fn new(tuning: Tuning) -> Self {
        Self(ArcSwap::from_pointee(tuning))
    }

    /// The tuning in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Tuning> {
        self.0.load_full()
    }

    /// Puts a document in force, whole; a bad one changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn offer(&self, json: &str) -> Result<(), Vec<String>> {
        let parsed = Tuning::parse(json);
        let outcome = if parsed.is_ok() { "applied" } else { "refused" };
        counter!(metric::TUNING_OFFERS, "outcome" => outcome).increment(1);
        match parsed {
            Ok(tuning) => {
                self.0.store(Arc::new(tuning));
                tracing::info!("a tuning document was applied");
                Ok(())
            }
            Err(problems) => {
                let listed = problems.join("; ");
                tracing::error!(tuning.problems = listed, "a tuning document was refused");
                Err(problems)
            }
        }
    }
}
