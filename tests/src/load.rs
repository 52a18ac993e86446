//! An open-model load generator: requests are sent when they are due, whatever became of the others.
//!
//! ```text
//! schedule ─▶ due ─▶ call ─▶ sample        latency = answered − due
//!               └─ lag = sent − due        p99 ≥ 1 ms: the run is void
//! ```
//!
//! A generator that waits for answers before it sends more hides exactly what it is for: while a
//! server stands still, it asks nothing (G. Tene, *How NOT to Measure Latency*).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use guard::{Clock, Tasks};
use hdrhistogram::Histogram;
use ops::RealClock;
use tokio::sync::mpsc;

/// Timers wake on whole milliseconds; aiming between two of them meets the one that is meant.
const HALF_TICK: Duration = Duration::from_micros(500);
/// A run whose requests were later than this at the 99th percentile says nothing.
const LAG_MAX: Duration = Duration::from_millis(1);
/// Longest time that a histogram tells apart, in microseconds.
const LONGEST_US: u64 = 120_000_000;
/// Complaints that are kept word by word.
const COMPLAINTS_MAX: usize = 5;
/// Calls that may be under way: each has a connection of its own, and a process has 20,000 descriptors
/// and fewer.
const UNDER_WAY_MAX: usize = 8_000;

/// What is offered.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests per second, 1 to 100,000; whether so many were sent in time is for the report to say.
    pub rate_per_s: u32,
    /// For how long.
    pub span: Duration,
}

/// How one call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sample {
    /// With a valid answer; the label is counted: a rung, a cause.
    Valid(String),
    /// Refused by a limit, with an answer that says so.
    Refused,
    /// With anything else, or not at all.
    Error(String),
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Calls made.
    pub sent: u64,
    /// Calls that were due and not made, because 8,000 others were under way.
    pub unsent: u64,
    /// Of them with a valid answer.
    pub valid: u64,
    /// Of them refused by a limit.
    pub refused: u64,
    /// The rest.
    pub errors: u64,
    /// Valid answers by label.
    pub labels: BTreeMap<String, u64>,
    /// The first errors in words.
    pub complaints: Vec<String>,
    /// When each valid answer was due, relative to the start, and its label.
    pub ends: Vec<(Duration, String)>,
    latency_us: Histogram<u64>,
    refusal_us: Histogram<u64>,
    lag_us: Histogram<u64>,
    /// From the first request to the last answer.
    pub took: Duration,
}

impl Load {
    /// Makes every call when it is due and waits for all of them.
    ///
    /// # Errors
    /// When no histogram can be made.
    pub async fn run<F, Ended>(&self, call: F) -> anyhow::Result<Report>
    where
        F: Fn(u64) -> Ended,
        Ended: Future<Output = Sample> + Send + 'static,
    {
        let (clock, tasks) = (RealClock::new(), Tasks::new());
        let (ended, mut samples) = mpsc::unbounded_channel();
        let clock = Arc::new(clock);
        // From a wake-up on, so that the schedule is in step with the timer.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let start = clock.now().mono;
        let total = u64::from(self.rate_per_s) * self.span.as_millis() as u64 / 1_000;
        let mut report = Report::empty(&Histogram::new_with_bounds(1, LONGEST_US, 3)?);
        for number in 0..total {
            let due = start + Duration::from_millis(number * 1_000 / u64::from(self.rate_per_s));
            let wait = due.saturating_sub(clock.now().mono + HALF_TICK);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            if tasks.running() >= UNDER_WAY_MAX {
                report.unsent += 1;
                continue;
            }
            report.lag(clock.now().mono.saturating_sub(due));
            let (calling, ended, clock) = (call(number), ended.clone(), Arc::clone(&clock));
            tasks.spawn(async move {
                let sample = calling.await;
                let took = clock.now().mono.saturating_sub(due);
                // The receiver outlives all senders.
                let _ = ended.send((due, took, sample));
            });
            while let Ok((due, took, sample)) = samples.try_recv() {
                report.take(due.saturating_sub(start), took, sample);
            }
        }
        drop(ended);
        while let Some((due, took, sample)) = samples.recv().await {
            report.take(due.saturating_sub(start), took, sample);
        }
        report.took = clock.now().mono.saturating_sub(start);
        Ok(report)
    }
}

impl Report {
    fn empty(empty: &Histogram<u64>) -> Self {
        Self {
            sent: 0,
            unsent: 0,
            valid: 0,
            refused: 0,
            errors: 0,
            labels: BTreeMap::new(),
            complaints: Vec::new(),
            ends: Vec::new(),
            latency_us: empty.clone(),
            refusal_us: empty.clone(),
            lag_us: empty.clone(),
            took: Duration::ZERO,
        }
    }

    fn lag(&mut self, lag: Duration) {
        self.sent += 1;
        self.lag_us.saturating_record(micros(lag));
    }

    fn take(&mut self, due: Duration, took: Duration, sample: Sample) {
        match sample {
            Sample::Valid(label) => {
                self.valid += 1;
                self.latency_us.saturating_record(micros(took));
                *self.labels.entry(label.clone()).or_default() += 1;
                self.ends.push((due, label));
            }
            Sample::Refused => {
                self.refused += 1;
                self.refusal_us.saturating_record(micros(took));
            }
            Sample::Error(what) => {
                self.errors += 1;
                if self.complaints.len() < COMPLAINTS_MAX {
                    self.complaints.push(what);
                }
            }
        }
    }

    /// A percentile of the time from when a valid answer was due to when it was there.
    #[must_use]
    pub fn latency(&self, percentile: f64) -> Duration {
        Duration::from_micros(self.latency_us.value_at_percentile(percentile))
    }

    /// How many valid answers came later than this after they were due.
    #[must_use]
    pub fn later_than(&self, span: Duration) -> u64 {
        self.latency_us.len() - self.latency_us.count_between(0, micros(span))
    }

    /// A percentile of the time that refusals took.
    #[must_use]
    pub fn refusal(&self, percentile: f64) -> Duration {
        Duration::from_micros(self.refusal_us.value_at_percentile(percentile))
    }

    /// How late requests were sent, at the 99th percentile.
    #[must_use]
    pub fn lag_p99(&self) -> Duration {
        Duration::from_micros(self.lag_us.value_at_percentile(99.0))
    }

    /// Whether the generator itself was too late for its times to mean something.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.lag_p99() >= LAG_MAX
    }

    /// The share of errors that is not exceeded with 95 % confidence.
    #[must_use]
    pub fn error_share_bound(&self) -> f64 {
        poisson_bound(self.errors) / (self.sent.max(1) as f64)
    }
}

/// The one-sided 95 % upper bound of a Poisson mean of which `seen` events were seen (exact,
/// Garwood 1936): the mean under which so few are seen one time in twenty.
#[must_use]
pub fn poisson_bound(seen: u64) -> f64 {
    let at_most = |mean: f64| {
        let (mut term, mut sum) = ((-mean).exp(), 0.0);
        for k in 0..=seen {
            sum += term;
            term *= mean / (k as f64 + 1.0);
        }
        sum
    };
    let (mut low, mut high) = (0.0, 10.0 + 3.0 * seen as f64);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if at_most(middle) > 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1)
}
