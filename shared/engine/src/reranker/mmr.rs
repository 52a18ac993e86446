//! Maximal marginal relevance: what is like what stands before it counts less.

use zerocopy::little_endian::U32;

use super::Reranker;
use crate::index::format::NONE;
use crate::pipeline::{Candidate, Prepared};

/// Candidates that are arranged, the best; bounds the work to a few thousand comparisons.
const ARRANGED_MAX: usize = 60;
/// What the same creator counts for in likeness; shared categories count for the rest.
const CREATOR: f32 = 0.5;

/// Fills each place with the candidate whose score × (1 − weight × likeness) is highest, likeness
/// being the highest to any video before it (Carbonell and Goldstein, SIGIR 1998, as a factor so
/// that the scale of the scores does not matter).
#[derive(Debug, Clone, Copy, Default)]
pub struct MmrReranker;

impl Reranker for MmrReranker {
    fn name(&self) -> &'static str {
        "rerank.mmr"
    }

    fn rerank(&self, asked: &Prepared<'_>, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        let weight = asked.scene.mmr_weight;
        if weight <= 0.0 {
            return candidates;
        }
        let arranged = candidates.len().min(ARRANGED_MAX);
        let rest = candidates.split_off(arranged);
        let mut left: Vec<Seat<'_>> = candidates
            .iter()
            .map(|candidate| Seat::new(asked, *candidate))
            .collect();
        let mut order = Vec::with_capacity(arranged + rest.len());
        // Where every place is asked for, the last ones are not worth arranging.
        while order.len() < asked.query.wanted && !left.is_empty() {
            let value = |seat: &Seat<'_>| {
                let score = seat.candidate.score;
                score - weight * seat.likeness * score.abs()
            };
            let mut best = 0;
            for (place, seat) in left.iter().enumerate().skip(1) {
                // Equals stay in the order they came in.
                if left.get(best).is_some_and(|best| value(seat) > value(best)) {
                    best = place;
                }
            }
            let taken = left.remove(best);
            left.iter_mut().for_each(|seat| seat.meet(&taken));
            order.push(taken.candidate);
        }
        order.extend(left.iter().map(|seat| seat.candidate));
        order.extend(rest);
        order
    }
}

/// A candidate and how like it is to what was taken.
struct Seat<'a> {
    candidate: Candidate,
    creator: u32,
    categories: &'a [U32],
    likeness: f32,
}

impl<'a> Seat<'a> {
    fn new(asked: &Prepared<'a>, candidate: Candidate) -> Self {
        let row = asked.items.get(candidate.item as usize);
        Self {
            candidate,
            creator: row.map_or(NONE, |row| row.creator.get()),
            categories: asked.index.item_categories().row(candidate.item),
            likeness: 0.0,
        }
    }

    fn meet(&mut self, taken: &Self) {
        let creator = self.creator != NONE && self.creator == taken.creator;
        let shared = self
            .categories
            .iter()
            .filter(|own| taken.categories.contains(own))
            .count();
        let either = self.categories.len() + taken.categories.len() - shared;
        let alike = shared as f32 / either.max(1) as f32;
        let likeness = CREATOR * f32::from(u8::from(creator)) + (1.0 - CREATOR) * alike;
        self.likeness = self.likeness.max(likeness);
    }
}
