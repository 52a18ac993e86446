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

/// Puts the candidates that stand at `places`, each named once, in front, in this order. The others
/// keep theirs.
fn lead(candidates: &mut [Candidate], places: &[usize]) {
    let stay = places.iter().enumerate();
    let stay = stay.take_while(|(at, place)| at == *place).count();
    let moved = places.get(stay..).unwrap_or_default();
    let Some(last) = moved.iter().max() else {
        return;
    };
    let Some(part) = candidates.get_mut(stay..=*last) else {
        return;
    };
    let mut in_front = vec![false; part.len()];
    let mut leading: Vec<Candidate> = Vec::with_capacity(moved.len());
    for place in moved {
        leading.extend(part.get(place - stay).copied());
        if let Some(chosen) = in_front.get_mut(place - stay) {
            *chosen = true;
        }
    }
    // The others move back to make room, the last one first.
    let mut to = part.len();
    for from in (0..part.len()).rev() {
        if in_front.get(from) == Some(&false) {
            to -= 1;
            part.copy_within(from..=from, to);
        }
    }
    for (own, leading) in part.iter_mut().zip(leading) {
        *own = leading;
    }
}
