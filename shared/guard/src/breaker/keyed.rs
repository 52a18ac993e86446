//! A breaker per key, in bounded memory: who is left alone while everybody else is served.

use std::sync::Arc;
use std::time::Duration;

use super::Open;
use crate::keyed::Keyed;
use crate::{Clock, KeyedBreakerTuning, Now};

/// Opens for one key after too many timeouts in a row, or when its mean time is too long, and
/// closes by itself.
///
/// There is no half-open state: one caller is too few to probe with. After its time a key starts
/// from nothing. At most a fixed number of keys is remembered; in a full set of 8 the one with the
/// least to remember is forgotten, one that is open last.
///
/// ```
/// use guard::{KeyedBreaker, ManualClock, Sample, UserBreakerTuning};
/// use std::{sync::Arc, time::Duration};
///
/// let tuning = UserBreakerTuning::default(); // three timeouts in a row, 30 seconds
/// let users = KeyedBreaker::new(tuning.into(), 100_000, Arc::new(ManualClock::default()));
/// for _ in 0..3 {
///     assert!(users.check(7).is_ok());
///     users.report(7, Sample::Cut(Duration::from_millis(60)));
/// }
/// assert!(users.check(7).is_err());
/// assert!(users.check(8).is_ok());
/// ```
///
/// # The mean of times that were cut
///
/// A call that a deadline cuts after 60 ms took longer than 60 ms; counting it as 60 ms would make
/// a dependency that never answers look quick. The mean is therefore estimated as all the time
/// spent, cut or not, over the number of calls that came to their end: the maximum-likelihood
/// estimate for exponential times under censoring (Lawless, *Statistical Models and Methods for
/// Lifetime Data*, 2003, §4.1). Where nothing came to its end it is infinite.
#[derive(Debug)]
pub struct KeyedBreaker {
    clock: Arc<dyn Clock>,
    table: Keyed<KeyedBreakerTuning, Record>,
}

/// What was seen of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// It came to its end, well or not, after this time.
    Took(Duration),
    /// A deadline cut it after this time: a timeout, and a censored time.
    Cut(Duration),
    /// It was refused for load: in a row with timeouts, and no time at all.
    Refused,
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    opened: Option<Now>,
    in_a_row: u32,
    /// When the window began whose calls are summed.
    since: Now,
    spent: Duration,
    took: u32,
    cut: u32,
}

impl KeyedBreaker {
    /// Closed for everybody; remembers at least `keys_max` keys, rounded up to a multiple of 8.
    #[must_use]
    pub fn new(tuning: KeyedBreakerTuning, keys_max: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            table: Keyed::new(keys_max, tuning),
        }
    }

    /// Asks whether calls for a key may be made; `key` is a well-mixed hash.
    ///
    /// # Errors
    /// [`Open`] while the key is left alone.
    pub fn check(&self, key: u64) -> Result<(), Open> {
        let now = self.clock.now();
        let Some(mut set) = self.table.set(key) else {
            return Ok(());
        };
        let open = set.context.open();
        match set.held(key).and_then(|record| record.opened) {
            Some(opened) if now.since(opened) <= open => Err(Open {
                retry_after: open.saturating_sub(now.since(opened)),
            }),
            _ => Ok(()),
        }
    }

    /// Counts a call. What was begun before the key was left alone changes nothing after.
    pub fn report(&self, key: u64, sample: Sample) {
        let now = self.clock.now();
        let Some(mut set) = self.table.set(key) else {
            return;
        };
        let tuning = set.context;
        if let Some(record) = set.held(key) {
            record.count(sample, &tuning, now);
            return;
        }
        let nothing_to_remember = tuning.mean_ms_max == 0 && matches!(sample, Sample::Took(_));
        if !nothing_to_remember {
            let mut record = Record::default();
            record.count(sample, &tuning, now);
            set.keep(key, record, |held| held.worth(&tuning, now));
        }
    }

    /// Goes on under new tuning. What was counted stays.
    pub fn tune(&self, tuning: KeyedBreakerTuning) {
        for mut set in self.table.sets() {
            set.context = tuning;
        }
    }

    /// How many keys are left alone now.
    #[must_use]
    pub fn open(&self) -> usize {
        let now = self.clock.now();
        let open = |record: &Record, span: Duration| {
            record
                .opened
                .is_some_and(|opened| now.since(opened) <= span)
        };
        self.table
            .sets()
            .map(|mut set| {
                let span = set.context.open();
                set.all().filter(|record| open(record, span)).count()
            })
            .sum()
    }

    /// How many keys are remembered.
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
        Keyed::<KeyedBreakerTuning, Record>::bytes_max(keys_max)
    }
}

impl Record {
    fn count(&mut self, sample: Sample, tuning: &KeyedBreakerTuning, now: Now) {
        if let Some(opened) = self.opened {
            if now.since(opened) <= tuning.open() {
                return;
            }
            *self = Self {
                since: now,
                ..Self::default()
            };
        }
        if now.since(self.since) >= tuning.window() {
            *self = Self {
                in_a_row: self.in_a_row,
                since: now,
                ..Self::default()
            };
        }
        match sample {
            Sample::Took(time) => {
                self.in_a_row = 0;
                self.took += 1;
                self.spent += time;
            }
            Sample::Cut(time) => {
                self.in_a_row += 1;
                self.cut += 1;
                self.spent += time;
            }
            Sample::Refused => self.in_a_row += 1,
        }
        let in_a_row = tuning.timeouts > 0 && self.in_a_row >= tuning.timeouts;
        if in_a_row || self.is_slow(tuning) {
            self.opened = Some(now);
        }
    }

    /// Whether the estimated mean is above what is endured; multiplied out, so that no division
    /// by zero is needed for what never came to its end.
    fn is_slow(&self, tuning: &KeyedBreakerTuning) -> bool {
        tuning.mean_ms_max > 0
            && self.samples() >= tuning.samples_min
            && self.spent > Duration::from_millis(tuning.mean_ms_max.into()) * self.took
    }

    fn samples(&self) -> u32 {
        self.took.saturating_add(self.cut)
    }

    /// What forgetting it would cost.
    fn worth(&self, tuning: &KeyedBreakerTuning, now: Now) -> f64 {
        match self.opened {
            Some(opened) if now.since(opened) <= tuning.open() => f64::INFINITY,
            Some(_) => 0.0,
            None => f64::from(self.in_a_row) * 1e6 + f64::from(self.samples()),
        }
    }
}

#[cfg(test)]
mod tests;
