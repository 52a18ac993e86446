//! One token bucket per key, in bounded memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Bucket;
use crate::{Clock, Now, Rate};

/// Keys that share one lock and compete for the same places.
const WAYS: usize = 8;

/// One token bucket per key hash, for at most a fixed number of keys.
///
/// The table is split into sets of 8 places by the hash. When a set is full, a new key displaces
/// the one with the most tokens: forgetting a key lets it ask again for what it had already used,
/// so the fullest bucket is the cheapest to forget, and one full to the brim costs nothing. The
/// over-admission is at most `burst` per displaced key.
///
/// ```
/// use guard::{KeyedLimiter, ManualClock};
/// use std::sync::Arc;
///
/// let users = KeyedLimiter::new(20.0, 1.0, 10_000, Arc::new(ManualClock::default()));
/// let (ada, ben) = (0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f);
/// assert!(users.take(ada).is_ok());
/// assert!(users.take(ada).is_err());
/// assert!(users.take(ben).is_ok());
/// ```
#[derive(Debug)]
pub struct KeyedLimiter {
    clock: Arc<dyn Clock>,
    sets: Vec<Mutex<Set>>,
}

#[derive(Debug)]
struct Set {
    rate: Rate,
    /// At most [`WAYS`].
    places: Vec<(u64, Bucket)>,
}

impl KeyedLimiter {
    /// A table for at least `keys_max` keys, rounded up to a multiple of 8; about 50 bytes each.
    #[must_use]
    pub fn new(rate_per_s: f64, burst: f64, keys_max: usize, clock: Arc<dyn Clock>) -> Self {
        let rate = Rate {
            per_second: rate_per_s,
            burst,
        }
        .sane();
        let set = || {
            Mutex::new(Set {
                rate,
                places: Vec::new(),
            })
        };
        let sets = std::iter::repeat_with(set)
            .take(keys_max.div_ceil(WAYS).max(1))
            .collect();
        Self { clock, sets }
    }

    /// Takes one token of a key's bucket; `key` is a well-mixed hash.
    ///
    /// # Errors
    /// When there is none: the time after which there will be one, if nobody else takes it.
    pub fn take(&self, key: u64) -> Result<(), Duration> {
        let now = self.clock.now();
        let set = key % self.sets.len() as u64;
        let Some(set) = usize::try_from(set).ok().and_then(|set| self.sets.get(set)) else {
            return Ok(());
        };
        lock(set).take(key, now)
    }

    /// Changes rate and burst for every key. Tokens above the new burst are lost, none are added.
    pub fn reconfigure(&self, rate_per_s: f64, burst: f64) {
        let now = self.clock.now();
        let rate = Rate {
            per_second: rate_per_s,
            burst,
        }
        .sane();
        for set in &self.sets {
            lock(set).reconfigure(rate, now);
        }
    }

    /// How many keys are in the table.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.sets.iter().map(|set| lock(set).places.len()).sum()
    }
}

fn lock(set: &Mutex<Set>) -> std::sync::MutexGuard<'_, Set> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Set {
    fn take(&mut self, key: u64, now: Now) -> Result<(), Duration> {
        let rate = self.rate;
        if let Some((_, bucket)) = self.places.iter_mut().find(|(held, _)| *held == key) {
            return bucket.take(rate, now);
        }
        let mut bucket = Bucket::full(rate, now);
        let taken = bucket.take(rate, now);
        if self.places.len() < WAYS {
            self.places.push((key, bucket));
        } else {
            for (_, held) in &mut self.places {
                held.settle(rate, now);
            }
            let fullest = self
                .places
                .iter_mut()
                .max_by(|(_, a), (_, b)| a.tokens.total_cmp(&b.tokens));
            if let Some(place) = fullest {
                *place = (key, bucket);
            }
        }
        taken
    }

    fn reconfigure(&mut self, rate: Rate, now: Now) {
        for (_, bucket) in &mut self.places {
            bucket.settle(self.rate, now);
            bucket.settle(rate, now);
        }
        self.rate = rate;
    }
}
