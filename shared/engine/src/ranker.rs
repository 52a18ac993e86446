//! A ranker says how good each candidate is: one number.
//!
//! ```text
//! generation with a model ─► LearnedRanker: first ranker's score × chance ^ blend
//! generation without one ──► PriorRanker, the first ranker
//! ```

mod forest;
mod learned;
mod model;
mod prior;

pub use forest::{Forest, Split, chance};
pub use learned::{LearnedRanker, vectors};
pub use model::{Model, ModelError};
pub use prior::PriorRanker;

use async_trait::async_trait;

use crate::pipeline::{Candidate, Prepared};

/// Scores candidates; async so that a team's own may be remote.
#[async_trait]
pub trait Ranker: Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Writes a score into every candidate; the caller orders them.
    ///
    /// # Errors
    /// A word for `degraded` when it cannot; the merged order stands then.
    async fn rank(
        &self,
        asked: &Prepared<'_>,
        candidates: &mut [Candidate],
    ) -> Result<(), &'static str>;
}
