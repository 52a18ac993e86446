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

/// What an asker was given.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The step of the ladder.
    pub rung: Rung,
    /// Which slate.
    pub slate_id: &'a str,
    /// Whether something was given up for it.
    pub degraded: bool,
}

/// Answers of one part of the run.
#[derive(Debug, Default)]
pub struct Part {
    /// All of them.
    pub answers: AtomicU64,
    /// Those that stand on the user's own step, where the user has a history.
    pub personal: AtomicU64,
    /// Those that stand on another step than they should.
    pub wrong: AtomicU64,
    /// Those that stand on the last step.
    pub builtin: AtomicU64,
    /// Those for which something was given up.
    pub degraded: AtomicU64,
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
    /// By the part of the run.
    pub parts: Vec<Part>,
    /// One bit for each asker who was given a slate of their own.
    askers: Vec<AtomicU64>,
    /// The owner of a slate, above 32 bits that tell slates of one place apart.
    owners: Vec<AtomicU64>,
}

impl Seen {
    /// Nothing seen of so many askers in so many parts.
    pub fn new(askers: usize, parts: usize) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            outcomes: std::array::from_fn(|_| AtomicU64::new(0)),
            routed: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            owned: AtomicU64::new(0),
            parts: (0..parts).map(|_| Part::default()).collect(),
            askers: zeros(askers.div_ceil(64)),
            owners: zeros(OWNERS),
        }
    }

    /// How many different askers were given a slate of their own: as many keys.
    pub fn askers(&self) -> u64 {
        let bits = |word: &AtomicU64| u64::from(word.load(Ordering::Relaxed).count_ones());
        self.askers.iter().map(bits).sum()
    }

    /// Looks at an answer: whether it stands where it should, and whose slate it was. A user's own
    /// goes to that user alone.
    pub fn answer(&self, asker: Asker, part: usize, given: Given<'_>) {
        if let Some(part) = self.parts.get(part) {
            part.count(asker, given);
        }
        if !matches!(given.rung, Rung::Personal | Rung::Stale) {
            return;
        }
        if let Some(word) = self.askers.get(asker.number / 64) {
            word.fetch_or(1 << (asker.number % 64), Ordering::Relaxed);
        }
        self.owned.fetch_add(1, Ordering::Relaxed);
        let hash = xxh3_64(given.slate_id.as_bytes());
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

impl Part {
    fn count(&self, asker: Asker, given: Given<'_>) {
        let due = if asker.has_history {
            Rung::Personal
        } else {
            Rung::Trending
        };
        let add = |counter: &AtomicU64, holds: bool| {
            counter.fetch_add(u64::from(holds), Ordering::Relaxed);
        };
        add(&self.answers, true);
        add(&self.personal, asker.has_history && given.rung == due);
        add(&self.wrong, given.rung != due);
        add(&self.builtin, given.rung == Rung::Builtin);
        add(&self.degraded, given.degraded);
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
        let seen = Seen::new(1_000, 1);
        for (who, rung, slate_id, foreign) in [
            (asker(1, true), Rung::Personal, "a", 0),
            (asker(1, true), Rung::Stale, "a", 0),
            (asker(2, true), Rung::Personal, "b", 0),
            (asker(2, true), Rung::Personal, "a", 1),
            (asker(3, false), Rung::Trending, "t", 1),
            (asker(4, false), Rung::Trending, "t", 1),
            (asker(3, false), Rung::Personal, "c", 2),
        ] {
            let given = Given {
                rung,
                slate_id,
                degraded: false,
            };
            seen.answer(who, 0, given);
            assert_eq!(seen.foreign.load(Ordering::Relaxed), foreign, "{who:?}");
        }
        assert_eq!(seen.askers(), 3);
        let [part] = seen.parts.as_slice() else {
            panic!("one part")
        };
        let counts = [&part.answers, &part.personal, &part.wrong, &part.builtin];
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [7, 3, 2, 0]);
        assert_eq!(seen.owned.load(Ordering::Relaxed), 5);
    }
}
