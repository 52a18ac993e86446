//! What happened lately, forgotten a tenth of a minute at a time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Now;

/// Parts of the window; the oldest is forgotten whole.
pub(super) const BUCKETS: u32 = 30;

/// Calls and failures over a rolling span, in [`BUCKETS`] buckets.
#[derive(Debug)]
pub(super) struct Window {
    bucket: Duration,
    /// Oldest first; never empty, never more than [`BUCKETS`].
    buckets: VecDeque<Tally>,
    sum: Tally,
    last: Now,
    /// Time since the newest bucket began.
    into_bucket: Duration,
}

/// Calls and the failures among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) failures: u64,
}

impl Window {
    pub(super) fn new(span: Duration, now: Now) -> Self {
        let bucket = (span / BUCKETS).max(Duration::from_millis(1));
        let buckets = VecDeque::from([Tally::default()]);
        Self {
            bucket,
            buckets,
            sum: Tally::default(),
            last: now,
            into_bucket: Duration::ZERO,
        }
    }

    /// Counts one call and returns the sums that include it.
    pub(super) fn count(&mut self, failed: bool, now: Now) -> Tally {
        self.roll(now);
        let failures = u64::from(failed);
        for tally in self.buckets.back_mut().into_iter().chain([&mut self.sum]) {
            tally.calls += 1;
            tally.failures += failures;
        }
        self.sum
    }

    /// The sums over the window that ends now.
    pub(super) fn sums(&mut self, now: Now) -> Tally {
        self.roll(now);
        self.sum
    }

    /// Begins as many buckets as have passed and forgets those that fell out.
    fn roll(&mut self, now: Now) {
        self.into_bucket += self.last.pass_to(now);
        let begun = self.into_bucket.as_nanos() / self.bucket.as_nanos();
        if begun >= u128::from(BUCKETS) {
            self.buckets = VecDeque::from([Tally::default()]);
            self.sum = Tally::default();
            let over = self.into_bucket.as_nanos() % self.bucket.as_nanos();
            self.into_bucket = Duration::from_nanos(u64::try_from(over).unwrap_or(0));
            return;
        }
        for _ in 0..begun {
            self.into_bucket -= self.bucket;
            self.buckets.push_back(Tally::default());
            if self.buckets.len() > BUCKETS as usize
                && let Some(oldest) = self.buckets.pop_front()
            {
                self.sum.calls -= oldest.calls;
                self.sum.failures -= oldest.failures;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_s(s: u64) -> Now {
        Now {
            mono: Duration::from_secs(s),
            wall_ms: i64::try_from(s * 1000).unwrap(),
        }
    }

    #[test]
    fn a_call_is_forgotten_when_its_bucket_falls_out_of_the_window() {
        let mut window = Window::new(Duration::from_secs(300), at_s(0));
        window.count(true, at_s(9));
        window.count(false, at_s(10));
        assert_eq!(
            window.sums(at_s(299)),
            Tally {
                calls: 2,
                failures: 1
            }
        );
        assert_eq!(
            window.sums(at_s(300)),
            Tally {
                calls: 1,
                failures: 0
            }
        );
        assert_eq!(window.sums(at_s(310)), Tally::default());
    }

    #[test]
    fn a_long_silence_or_a_freeze_forgets_everything() {
        for now in [
            at_s(100_000),
            Now {
                wall_ms: 900_000,
                ..at_s(0)
            },
        ] {
            let mut window = Window::new(Duration::from_secs(300), at_s(0));
            window.count(true, at_s(0));
            assert_eq!(
                window.count(false, now),
                Tally {
                    calls: 1,
                    failures: 0
                }
            );
        }
    }
}
