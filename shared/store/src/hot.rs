//! Which keys are asked for all the time: counted in a sketch that forgets, in bounded memory.
//!
//! ```text
//! note(key) ──► 4 counters of a count-min sketch, halved every second ──► ≥ 100? hot
//!                                                     └──► the 32 hottest, for people to look at
//! ```
//!
//! Count-min (Cormode, Muthukrishnan 2005) never counts too little, so no hot key is overlooked; a
//! key of middling temperature may be taken for a hot one, which costs a load made a little early.
//! Nothing is allocated and nothing waits on the way of a request.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use guard::Now;
use metrics::gauge;
use ops::metric::HOT_KEYS;
use smol_str::SmolStr;

use crate::ask::SlateKey;

/// A key is hot that was asked for this often, where what is a second old counts half.
pub const HOT_ASKS: u32 = 100;
/// Keys that are listed.
pub const HOT_KEYS_MAX: usize = 32;
/// How often counts are halved.
const HALVE_EVERY: Duration = Duration::from_secs(1);
/// After this many halvings nothing is left of a count.
const HALVINGS_MAX: u64 = 31;
/// Counters in a row, a power of two: with 12,000 asks a second three quarters of them are empty.
const WIDTH: usize = 16_384;
/// Rows; a key is overcounted only where it meets a hot one in each of them.
const DEPTH: usize = 4;
/// A hot key's place in the list is brought up to date once in so many asks.
const LIST_EVERY: u32 = 64;

/// A key that is asked for all the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotKey {
    /// Which.
    pub key: SlateKey,
    /// What kind of question it is; names nobody.
    pub about: SmolStr,
    /// How often it was asked for, where what is a second old counts half.
    pub asks: u32,
}

/// Counts the questions of this process.
#[derive(Debug)]
pub(crate) struct HotKeys {
    counters: Box<[AtomicU32]>,
    /// Halvings since the start.
    halvings: AtomicU64,
    listed: Mutex<Vec<HotKey>>,
}

impl HotKeys {
    /// Nothing was asked yet.
    pub fn new() -> Self {
        Self {
            counters: (0..WIDTH * DEPTH).map(|_| AtomicU32::new(0)).collect(),
            halvings: AtomicU64::new(0),
            listed: Mutex::new(Vec::with_capacity(HOT_KEYS_MAX + 1)),
        }
    }

    /// Counts one question; says whether its key is hot. `about` is called now and then, for keys
    /// that are.
    pub fn note(&self, key: SlateKey, now: Now, about: impl FnOnce() -> SmolStr) -> bool {
        self.forget(now);
        let asks = self
            .cells(key)
            .map(|cell| cell.fetch_add(1, Ordering::Relaxed).saturating_add(1))
            .min()
            .unwrap_or_default();
        let hot = asks >= HOT_ASKS;
        if hot && (asks == HOT_ASKS || asks.is_multiple_of(LIST_EVERY)) {
            self.list(key, asks, about);
        }
        hot
    }

    /// Whether a key is hot, without counting.
    pub fn is_hot(&self, key: SlateKey) -> bool {
        self.asks(key) >= HOT_ASKS
    }

    /// The hottest keys, hottest first.
    pub fn hottest(&self) -> Vec<HotKey> {
        let mut listed = self.lock().clone();
        listed
            .iter_mut()
            .for_each(|one| one.asks = self.asks(one.key));
        listed.retain(|one| one.asks >= HOT_ASKS);
        listed.sort_by(|a, b| b.asks.cmp(&a.asks).then(a.key.cmp(&b.key)));
        listed
    }

    fn asks(&self, key: SlateKey) -> u32 {
        let counts = self.cells(key).map(|cell| cell.load(Ordering::Relaxed));
        counts.min().unwrap_or_default()
    }

    /// The counters of a key, one in each row. Keys are hashes already: each row takes other bits.
    fn cells(&self, key: SlateKey) -> impl Iterator<Item = &AtomicU32> {
        (0..DEPTH).filter_map(move |row| {
            let bits = (key.0 >> (32 * row)) as usize;
            self.counters.get(row * WIDTH + (bits & (WIDTH - 1)))
        })
    }

    /// Halves every count for every second that passed; who comes first does it for all.
    fn forget(&self, now: Now) {
        // By the wall clock: it goes on while an environment is frozen.
        let second_ms = i64::try_from(HALVE_EVERY.as_millis()).unwrap_or(i64::MAX);
        let due = u64::try_from(now.wall_ms / second_ms).unwrap_or(0);
        let done = self.halvings.load(Ordering::Relaxed);
        if due == done {
            return;
        }
        let claimed =
            self.halvings
                .compare_exchange(done, due, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_err() {
            return;
        }
        // A clock that was set back halves once: nothing is hot for longer than it is asked for.
        let times = due.checked_sub(done).unwrap_or(1).min(HALVINGS_MAX);
        for cell in &self.counters {
            let count = cell.load(Ordering::Relaxed);
            if count > 0 {
                cell.store(count >> times, Ordering::Relaxed);
            }
        }
        let mut listed = self.lock();
        listed.retain(|one| self.asks(one.key) >= HOT_ASKS);
        gauge!(HOT_KEYS).set(listed.len() as f64);
    }

    fn list(&self, key: SlateKey, asks: u32, about: impl FnOnce() -> SmolStr) {
        let mut listed = self.lock();
        if let Some(known) = listed.iter_mut().find(|one| one.key == key) {
            known.asks = asks;
            return;
        }
        let about = about();
        listed.push(HotKey { key, about, asks });
        if listed.len() > HOT_KEYS_MAX {
            let coolest = (0..listed.len()).min_by_key(|at| listed.get(*at).map(|one| one.asks));
            if let Some(coolest) = coolest {
                listed.swap_remove(coolest);
            }
        }
        gauge!(HOT_KEYS).set(listed.len() as f64);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<HotKey>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    fn key(number: u64) -> SlateKey {
        SlateKey(xxh3_128(&number.to_le_bytes()))
    }

    fn at(ms: u64) -> Now {
        Now {
            mono: Duration::from_millis(ms),
            wall_ms: 1_760_000_000_000 + i64::try_from(ms).unwrap(),
        }
    }

    fn ask(keys: &HotKeys, number: u64, now: Now) -> bool {
        keys.note(key(number), now, || SmolStr::new_static("recommend"))
    }

    #[test]
    fn a_key_is_hot_within_the_second_in_which_it_is_asked_for_a_hundred_times() {
        let keys = HotKeys::new();
        for asked in 1..=100_u64 {
            let hot = ask(&keys, 1, at(asked * 9));
            assert_eq!(hot, asked >= 100, "{asked}");
        }
        assert!(keys.is_hot(key(1)) && !keys.is_hot(key(2)));
        let hottest = keys.hottest();
        assert_eq!(hottest.len(), 1);
        assert_eq!((hottest[0].key, hottest[0].asks), (key(1), 100));
    }

    #[test]
    fn a_steady_rate_stays_hot_and_what_ends_cools_down() {
        let keys = HotKeys::new();
        let mut hot = 0;
        for tick in 0..2_000 {
            hot += u32::from(ask(&keys, 1, at(tick * 5)));
        }
        assert_eq!(hot, 1_901, "all but the first 99 over ten seconds");
        ask(&keys, 2, at(20_000));
        assert!(!keys.is_hot(key(1)));
        assert!(keys.hottest().is_empty());
    }

    #[test]
    fn among_many_keys_only_the_hot_ones_are_hot() {
        let keys = HotKeys::new();
        let mut wrong = 0;
        for number in 0..12_000 {
            wrong += u32::from(ask(&keys, 10 + number, at(number / 12)));
            if number % 12 == 0 {
                ask(&keys, 1, at(number / 12));
            }
        }
        assert!(keys.is_hot(key(1)));
        assert_eq!(wrong, 0, "keys asked for once were taken for hot ones");
    }

    #[test]
    fn the_list_is_bounded_and_keeps_the_hottest() {
        let keys = HotKeys::new();
        for number in 0..60_u64 {
            for _ in 0..100 + number * 10 {
                ask(&keys, number, at(0));
            }
        }
        let hottest = keys.hottest();
        assert_eq!(hottest.len(), HOT_KEYS_MAX);
        assert!(hottest.windows(2).all(|pair| pair[0].asks >= pair[1].asks));
        assert_eq!(hottest[0].key, key(59));
    }

    #[test]
    fn a_clock_that_steps_back_lets_nothing_stay_hot() {
        let keys = HotKeys::new();
        (0..150).for_each(|_| {
            ask(&keys, 1, at(5_000));
        });
        ask(&keys, 2, at(0));
        assert!(!keys.is_hot(key(1)));
    }
}
