//! Bounds what callers may ask: token buckets that can be changed while they run.
//!
//! A bucket starts full. Time fills it at the rate, up to the burst; every admission takes one
//! token. A change of rate settles what the old rate owes first and never adds tokens.
//!
//! Freezes count as time. A clock that steps back gives nothing, also not on its way forward again.
//! A wall clock that is set forward by more than a second looks exactly like a freeze, so it fills
//! buckets as that time would, up to the burst, once; less than a second, as clocks are slewed,
//! gives nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::{Clock, Now, Rate};

mod keyed;
mod tally;

pub use keyed::{DEBT_MAX, KeyedLimiter};

/// A token that is short of one by rounding is one. What is missing stays owed, so this does not
/// add up.
const ROUNDING: f64 = 1e-6;

/// One token bucket.
///
/// ```
/// use guard::{Limiter, ManualClock};
/// use std::{sync::Arc, time::Duration};
///
/// let clock = Arc::new(ManualClock::default());
/// let limiter = Limiter::new(200.0, 2.0, clock.clone());
/// assert!(limiter.take().is_ok() && limiter.take().is_ok());
/// assert_eq!(limiter.take(), Err(Duration::from_millis(5)));
/// clock.advance(Duration::from_millis(5));
/// assert!(limiter.take().is_ok());
/// ```
#[derive(Debug)]
pub struct Limiter {
    clock: Arc<dyn Clock>,
    state: Mutex<(Rate, Bucket)>,
}

impl Limiter {
    /// A full bucket of `burst` tokens, filled at `rate_per_s`.
    #[must_use]
    pub fn new(rate_per_s: f64, burst: f64, clock: Arc<dyn Clock>) -> Self {
        let rate = Rate {
            per_second: rate_per_s,
            burst,
        }
        .sane();
        let bucket = Bucket::full(rate, clock.now());
        Self {
            clock,
            state: Mutex::new((rate, bucket)),
        }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// When there is none: the time after which there will be one, if nobody else takes it.
    pub fn take(&self) -> Result<(), Duration> {
        self.take_leaving(0.0)
    }

    /// Takes one token and leaves at least `reserve`, cut to what the bucket can hold besides:
    /// what is left is for those who may take it all.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_leaving(&self, reserve: f64) -> Result<(), Duration> {
        self.take_at(self.clock.now(), reserve)
    }

    /// The same for a caller that has read the clock.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_at(&self, now: Now, reserve: f64) -> Result<(), Duration> {
        let (rate, bucket) = &mut *self.lock();
        bucket.take(*rate, now, reserve)
    }

    /// Gives back a token that was taken for what was then refused elsewhere.
    pub fn put_back(&self) {
        let (rate, bucket) = &mut *self.lock();
        bucket.put_back(*rate);
    }

    /// Changes rate and burst. Tokens above the new burst are lost, none are added.
    pub fn reconfigure(&self, rate_per_s: f64, burst: f64) {
        let now = self.clock.now();
        let (rate, bucket) = &mut *self.lock();
        bucket.settle(*rate, now);
        *rate = Rate {
            per_second: rate_per_s,
            burst,
        }
        .sane();
        bucket.settle(*rate, now);
    }

    fn lock(&self) -> MutexGuard<'_, (Rate, Bucket)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    last: Now,
}

impl Bucket {
    fn full(rate: Rate, now: Now) -> Self {
        Self {
            tokens: rate.burst,
            last: now,
        }
    }

    /// Adds what time has brought.
    fn settle(&mut self, rate: Rate, now: Now) {
        let passed = self.last.pass_to(now);
        self.tokens = (self.tokens + passed.as_secs_f64() * rate.per_second).min(rate.burst);
    }

    /// Takes what was admitted elsewhere, into debt if need be.
    fn charge(&mut self, rate: Rate, now: Now, tokens: f64) {
        self.settle(rate, now);
        let debt_max = DEBT_MAX.as_secs_f64() * rate.per_second;
        self.tokens = (self.tokens - tokens).max(-debt_max);
    }

    fn take(&mut self, rate: Rate, now: Now, reserve: f64) -> Result<(), Duration> {
        self.settle(rate, now);
        let needed = 1.0 + reserve.clamp(0.0, rate.burst - 1.0);
        if self.tokens >= needed - ROUNDING {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait_ns = (needed - self.tokens) / rate.per_second * 1e9;
        // Rounded up, so that waiting that long is enough; a cast from float saturates.
        Err(Duration::from_nanos((wait_ns - 1e-3).ceil() as u64))
    }

    fn put_back(&mut self, rate: Rate) {
        self.tokens = (self.tokens + 1.0).min(rate.burst);
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod tests;
