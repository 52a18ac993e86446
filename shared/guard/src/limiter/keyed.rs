//! One token bucket per key, in bounded memory, and what other processes have admitted.

use std::sync::Arc;
use std::time::Duration;

use super::Bucket;
use super::tally::Tally;
use crate::keyed::{Keyed, Set};
use crate::{Clock, Now, Rate};

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
///
/// # One limit over many processes
///
/// Each process says now and then how many it admitted, to a counter that all share, and hears
/// what the counter then holds; what the others admitted is taken out of its own bucket, into
/// debt if need be. With `n` processes that each say so at least every `s` seconds while they
/// admit, no more than `rate · t + burst + 2 (n − 1) (burst + rate · s)` are admitted in any time
/// `t`, as long as no debt exceeds [`DEBT_MAX`]: each of the others may admit that much before it
/// is first heard of, and as much again that is not heard of yet.
///
/// ```
/// # use guard::{KeyedLimiter, ManualClock};
/// # use std::sync::Arc;
/// # let clock = Arc::new(ManualClock::default());
/// # let (here, there) = (KeyedLimiter::new(1.0, 3.0, 8, clock.clone()), KeyedLimiter::new(1.0, 3.0, 8, clock));
/// let (ada, window, mut counter) = (7, 0, 0);
/// for process in [&here, &there, &here] {
///     assert!(process.take(ada).is_ok());
///     counter += u64::from(process.say(ada, window)); // INCRBY
///     process.hear(ada, window, counter);
/// }
/// assert!(here.take(ada).is_err(), "three were admitted, one of them elsewhere");
/// ```
#[derive(Debug)]
pub struct KeyedLimiter {
    clock: Arc<dyn Clock>,
    table: Keyed<Rate, Account>,
}

/// What others admitted is owed for no longer than this.
pub const DEBT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Account {
    bucket: Bucket,
    tally: Tally,
}

impl KeyedLimiter {
    /// A table for at least `keys_max` keys, rounded up to a multiple of 8.
    #[must_use]
    pub fn new(rate_per_s: f64, burst: f64, keys_max: usize, clock: Arc<dyn Clock>) -> Self {
        let rate = Rate {
            per_second: rate_per_s,
            burst,
        };
        Self {
            clock,
            table: Keyed::new(keys_max, rate.sane()),
        }
    }

    /// Takes one token of a key's bucket; `key` is a well-mixed hash.
    ///
    /// # Errors
    /// When there is none: the time after which there will be one, if nobody else takes it.
    pub fn take(&self, key: u64) -> Result<(), Duration> {
        self.take_leaving(key, 0.0)
    }

    /// Takes one token and leaves at least `reserve`, cut to what the bucket can hold besides.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_leaving(&self, key: u64, reserve: f64) -> Result<(), Duration> {
        self.take_at(self.clock.now(), key, reserve)
    }

    /// The same for a caller that has read the clock.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_at(&self, now: Now, key: u64, reserve: f64) -> Result<(), Duration> {
        let Some(mut set) = self.table.set(key) else {
            return Ok(());
        };
        let rate = set.context;
        if let Some(account) = set.held(key) {
            return account.take(rate, now, reserve);
        }
        let mut account = Account {
            bucket: Bucket::full(rate, now),
            tally: Tally::default(),
        };
        let taken = account.take(rate, now, reserve);
        for held in set.all() {
            held.bucket.settle(rate, now);
        }
        set.keep(key, account, |held| -held.bucket.tokens);
        taken
    }

    /// Gives back a token that was taken for what was then refused elsewhere; other processes
    /// do not hear of it.
    pub fn put_back(&self, key: u64) {
        self.with(key, |account, rate, _| {
            account.bucket.put_back(rate);
            account.tally.uncount();
        });
    }

    /// How many a key was admitted since this was last asked, to be added to the counter of that
    /// window of time; 0 when there is nothing to say. Whoever cannot add them gives them back
    /// with [`Self::unsay`].
    #[must_use]
    pub fn say(&self, key: u64, window: u32) -> u32 {
        self.with(key, |account, _, _| account.tally.say(window))
            .unwrap_or(0)
    }

    /// Takes back what could not be said.
    pub fn unsay(&self, key: u64, window: u32, count: u32) {
        self.with(key, |account, _, _| account.tally.unsay(window, count));
    }

    /// Takes what others admitted out of a key's bucket: the counter of that window of time holds
    /// `total`, with everything said here.
    pub fn hear(&self, key: u64, window: u32, total: u64) {
        self.with(key, |account, rate, now| {
            let others = account.tally.hear(window, total);
            account.bucket.charge(rate, now, others as f64);
        });
    }

    /// Changes rate and burst for every key. Tokens above the new burst are lost, none are added.
    pub fn reconfigure(&self, rate_per_s: f64, burst: f64) {
        let now = self.clock.now();
        let rate = Rate {
            per_second: rate_per_s,
            burst,
        }
        .sane();
        for mut set in self.table.sets() {
            let old = set.context;
            for account in set.all() {
                account.bucket.settle(old, now);
                account.bucket.settle(rate, now);
            }
            set.context = rate;
        }
    }

    /// How many keys are in the table.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.table.keys()
    }

    /// What the table weighs now, in bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// What a table for `keys_max` keys may weigh, in bytes.
    #[must_use]
    pub fn bytes_max(keys_max: usize) -> usize {
        Keyed::<Rate, Account>::bytes_max(keys_max)
    }

    fn with<R>(&self, key: u64, work: impl FnOnce(&mut Account, Rate, Now) -> R) -> Option<R> {
        let now = self.clock.now();
        let mut set = self.table.set(key)?;
        let rate = set.context;
        Set::held(&mut set, key).map(|account| work(account, rate, now))
    }
}

impl Account {
    fn take(&mut self, rate: Rate, now: Now, reserve: f64) -> Result<(), Duration> {
        self.bucket.take(rate, now, reserve)?;
        self.tally.count();
        Ok(())
    }
}
