//! Rerankers arrange neighbours. They lose nothing and add nothing.

mod diversity;
mod explore;
mod fresh;
mod mmr;

pub use diversity::DiversityReranker;
pub use explore::ExploreReranker;
pub use fresh::FreshReranker;
pub use mmr::MmrReranker;

use crate::pipeline::{Candidate, Prepared};

/// Arranges a list.
pub trait Reranker: Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Returns a permutation of `candidates`, which come best first.
    fn rerank(&self, asked: &Prepared<'_>, candidates: Vec<Candidate>) -> Vec<Candidate>;
}
