//! What was seen during a soak, in memory that does not grow with it.

use std::sync::atomic::{AtomicU64, Ordering};

use engine::Rung;
use store::TierOutcome;
use xxhash_rust::xxh3::xxh3_64;

/// Slates whose owner is remembered at a time; another one that falls on the same place replaces it.
const OWNERS: usize = 1 << 20;

/// Who asked: every asker has a number of their own.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// The number.
    pub number: usize,
    /// Whether somebody with a history asks, who may be given a slate of their own.
    pub has_history: bool,
}

/// Counts.
pub struct Seen {
    /// Answers of the tiers by outcome.
    pub outcomes: [AtomicU64; TierOutcome::ALL.len()],
    /// Answers through the router.
    pub routed: AtomicU64,
    /// Refusals and empty answers.
    pub errors: AtomicU64,
    /// Slates of one user that another was given.
    pub foreign: AtomicU64,
    /// Slates that were looked at for this.
    pub owned: AtomicU64,
    /// One bit for each asker.
    askers: Vec<AtomicU64>,
    /// The owner of a slate, above 32 bits that tell slates of one place apart.
    owners: Vec<AtomicU64>,
}

impl Seen {
    /// Nothing seen of so many askers.
    pub fn new(askers: usize) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            outcomes: std::array::from_fn(|_| AtomicU64::new(0)),
            routed: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            owned: AtomicU64::new(0),
            askers: zeros(askers.div_ceil(64)),
            owners: zeros(OWNERS),
        }
    }

    /// Remembers that somebody asked.
    pub fn ask(&self, asker: Asker) {
        if let Some(word) = self.askers.get(asker.number / 64) {
            word.fetch_or(1 << (asker.number % 64), Ordering::Relaxed);
        }
    }

    /// How many different askers there were.
    pub fn askers(&self) -> u64 {
        let bits = |word: &AtomicU64| u64::from(word.load(Ordering::Relaxed).count_ones());
        self.askers.iter().map(bits).sum()
    }

    /// Looks at whose slate an answer was: a user's own goes to that user alone.
    pub fn answer(&self, asker: Asker, rung: Rung, slate_id: &str) {
        if !matches!(rung, Rung::Personal | Rung::Stale) {
            return;
        }
        self.owned.fetch_add(1, Ordering::Relaxed);
        let hash = xxh3_64(slate_id.as_bytes());
        let mine = ((asker.number as u64) << 32) | (hash >> 32);
        let foreign = match self.owners.get(hash as usize % OWNERS) {
            Some(place) => {
                let held = place.swap(mine, Ordering::Relaxed);
                held != mine && held as u32 == mine as u32 && held != 0
            }
            None => false,
        };
        if foreign || !asker.has_history {
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Answers of the tiers with this outcome.
    pub fn hits(&self, outcome: TierOutcome) -> u64 {
        let counter = self.outcomes.get(outcome as usize);
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Counts an answer of the tiers.
    pub fn count(&self, outcome: TierOutcome) {
        if let Some(counter) = self.outcomes.get(outcome as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(number: usize, has_history: bool) -> Asker {
        Asker {
            number,
            has_history,
        }
    }

    #[test]
    fn a_slate_that_two_are_given_is_foreign_to_one_of_them() {
        let seen = Seen::new(1_000);
        for (who, rung, slate, foreign) in [
            (asker(1, true), Rung::Personal, "a", 0),
            (asker(1, true), Rung::Stale, "a", 0),
            (asker(2, true), Rung::Personal, "b", 0),
            (asker(2, true), Rung::Personal, "a", 1),
            (asker(3, false), Rung::Trending, "t", 1),
            (asker(4, false), Rung::Trending, "t", 1),
            (asker(3, false), Rung::Personal, "c", 2),
        ] {
            seen.ask(who);
            seen.answer(who, rung, slate);
            assert_eq!(seen.foreign.load(Ordering::Relaxed), foreign, "{who:?}");
        }
        assert_eq!(seen.askers(), 4);
        assert_eq!(seen.owned.load(Ordering::Relaxed), 5);
    }
}
