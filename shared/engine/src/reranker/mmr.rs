//! Maximal marginal relevance: what is like what stands before it counts less.

use zerocopy::little_endian::U32;

use super::{Reranker, lead};
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
        let mut known = Vec::with_capacity(ARRANGED_MAX);
        let best = candidates.iter().take(ARRANGED_MAX).enumerate();
        let mut left: Vec<Seat<'_>> = best
            .map(|(place, candidate)| Seat::new(asked, place, candidate, &mut known))
            .collect();
        let mut order = Vec::with_capacity(left.len());
        let mut next = best_of(&mut left, weight, None);
        // Where every place is asked for, the last ones are not worth arranging.
        while order.len() < asked.query.wanted && !left.is_empty() {
            let taken = left.remove(next);
            order.push(taken.place);
            next = best_of(&mut left, weight, Some(&taken));
        }
        lead(&mut candidates, &order);
        candidates
    }
}

/// The place of the seat that is worth most after all have met `taken`. Equals stay in the order
/// they came in.
fn best_of<'a>(left: &mut [Seat<'a>], weight: f32, taken: Option<&Seat<'a>>) -> usize {
    let (mut best, mut most) = (0, f32::NAN);
    for (place, seat) in left.iter_mut().enumerate() {
        if let Some(taken) = taken {
            seat.meet(taken);
        }
        let value = seat.score - weight * seat.likeness * seat.score.abs();
        if place == 0 || value > most {
            (best, most) = (place, value);
        }
    }
    best
}

/// A candidate and how like it is to what was taken.
struct Seat<'a> {
    place: usize,
    score: f32,
    likeness: f32,
    creator: u32,
    categories: &'a [U32],
    /// The categories as a set of bits, as far as there are bits.
    bits: u64,
    /// Some of them have no bit.
    beyond: bool,
}

impl<'a> Seat<'a> {
    /// `known` are the categories met so far: the place in it is the bit of a category.
    fn new(
        asked: &Prepared<'a>,
        place: usize,
        candidate: &Candidate,
        known: &mut Vec<U32>,
    ) -> Self {
        let row = asked.items.get(candidate.item as usize);
        let mut seat = Self {
            place,
            score: candidate.score,
            likeness: 0.0,
            creator: row.map_or(NONE, |row| row.creator.get()),
            categories: asked.index.item_categories().row(candidate.item),
            bits: 0,
            beyond: false,
        };
        for category in seat.categories {
            let bit = known.iter().position(|own| own == category);
            let bit = bit.unwrap_or_else(|| {
                known.push(*category);
                known.len() - 1
            });
            match 1u64.checked_shl(bit as u32) {
                Some(bit) => seat.bits |= bit,
                None => seat.beyond = true,
            }
        }
        seat
    }

    #[inline]
    fn meet(&mut self, taken: &Self) {
        let creator = self.creator != NONE && self.creator == taken.creator;
        let shared = if self.beyond && taken.beyond {
            let own = self.categories.iter();
            own.filter(|own| taken.categories.contains(own)).count()
        } else {
            (self.bits & taken.bits).count_ones() as usize
        };
        let either = self.categories.len() + taken.categories.len() - shared;
        let alike = shared as f32 / either.max(1) as f32;
        let likeness = CREATOR * f32::from(u8::from(creator)) + (1.0 - CREATOR) * alike;
        self.likeness = self.likeness.max(likeness);
    }
}
