//! A proposed video on its way to the slate.

use std::cmp::Ordering;

use crate::index::format::NONE;
use crate::source::SOURCES_MAX;

/// A proposed video with everything that spoke for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Dense id.
    pub item: u32,
    /// What the next stage orders by: merged, later the ranker's.
    pub score: f32,
    /// The weighted sum of the chances that its sources give it, 0 to 1.
    pub merged: f32,
    /// The part of `merged` that speaks of this user, not of what everybody watches.
    pub personal: f32,
    /// Weighted chance per source.
    pub parts: [f32; SOURCES_MAX],
    /// Bit n is set when source n proposed it.
    pub sources: u16,
    /// Number of the source that spoke most for it.
    pub strongest: u8,
    /// The user's own video behind the strongest source's proposal, or [`NONE`].
    pub because: u32,
    /// The chance, given the places before, that it got its place; 1 where nothing was random.
    pub propensity: f32,
}

impl Candidate {
    /// A candidate that nobody has spoken for yet.
    #[must_use]
    pub fn new(item: u32) -> Self {
        Self {
            item,
            score: 0.0,
            merged: 0.0,
            personal: 0.0,
            parts: [0.0; SOURCES_MAX],
            sources: 0,
            strongest: 0,
            because: NONE,
            propensity: 1.0,
        }
    }

    /// Whether source `number` proposed it.
    #[must_use]
    pub fn from_source(&self, number: usize) -> bool {
        u32::try_from(number).is_ok_and(|n| self.sources.checked_shr(n).unwrap_or(0) & 1 == 1)
    }

    /// Best first: by score, what is not a number last, ties by id. A total order.
    #[must_use]
    pub fn by_score(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }

    /// Orders like [`Candidate::by_score`], and twice as fast to sort as what it stands for.
    fn key(&self) -> u64 {
        self.descending() << 32 | u64::from(self.item)
    }

    /// A number of 32 bits that is lower the higher the score is.
    fn descending(&self) -> u64 {
        let score = if self.score.is_nan() {
            f32::NEG_INFINITY
        } else {
            self.score
        };
        let bits = score.to_bits();
        // The bits of floats order like integers, those of negative ones backwards.
        let ascending = if bits >> 31 == 0 {
            bits | 1 << 31
        } else {
            !bits
        };
        u64::from(!ascending)
    }
}

/// The candidates best first.
#[must_use]
pub fn sorted(candidates: &[Candidate]) -> Vec<Candidate> {
    // Score and place in one number; the few that score the same are then put in order by id.
    let keys = (0u64..).zip(candidates);
    let mut order: Vec<u64> = keys.map(|(at, one)| one.descending() << 32 | at).collect();
    order.sort_unstable();
    let one_of = |key: &u64| candidates.get((key & u64::from(u32::MAX)) as usize);
    for alike in order.chunk_by_mut(|a, b| a >> 32 == b >> 32) {
        if alike.len() > 1 {
            alike.sort_unstable_by_key(|key| one_of(key).map(|one| one.item));
        }
    }
    order.iter().filter_map(one_of).copied().collect()
}
