//! Fills the shared tier before it is asked.
//!
//! ```text
//! everybody's lists ─► cohorts ─► active users, part by part of the profile table
//!        └── in batches: answer, store with a time to live, keep a checkpoint
//! ```
//!
//! - One run per region at a time: a lease, renewed around every batch.
//! - Whatever kills a run costs the next one at most a batch; asking twice stores the same.
//! - A run that its deadline would cut hands over before: it answers `done: false` and where it is.
//! - A generation that was announced is walked before the pointer moves to it, so that its slates are
//!   there when readers follow. A walk that fails costs warmth, not the generation.
//! - No key is stored without a time to live.
//!
//! Read in the order `lib`, `options`, `walk`, `checkpoint`.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use guard::{Clock, Deadline};
use lake::Lake;
use metrics::{counter, histogram};
use serde::Serialize;
use store::tiered::FillReport;
use store::{Control, Error, ErrorKind, GenerationReader, Generations, Tiered};

pub mod checkpoint;
pub mod options;
#[cfg(test)]
mod tests;
mod walk;

pub use checkpoint::Checkpoint;
pub use options::Options;
pub use walk::{HANDOVER_RESERVE, LEASE_LIFE};

use walk::Walk;

const NAME: &str = "preload";

/// What the job works with.
#[derive(Clone)]
pub struct Parts {
    /// Answers questions and stores the slates.
    pub tiered: Arc<Tiered>,
    /// The generation whose cohorts are walked.
    pub generations: Arc<GenerationReader>,
    /// What is published, and what waits for this job before it is.
    pub published: Generations,
    /// The profile table: who is active.
    pub lake: Arc<Lake>,
    /// Leases and checkpoints.
    pub control: Arc<Control>,
    /// Names this instance in the lease; the same instance may start again at once.
    pub owner: String,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Everything is stored; otherwise `checkpoint` says where to go on.
    pub done: bool,
    /// The generation whose slates were stored.
    pub generation: String,
    /// Questions that people share, answered by this run.
    pub shared: u64,
    /// Questions of single users, answered by this run.
    pub personal: u64,
    /// Slates stored.
    pub stored: u64,
    /// Slates not worth storing: something had to be given up, or nothing is known of the user.
    pub skipped: u64,
    /// Slates the tier did not take.
    pub failed: u64,
    /// Batches of this run.
    pub batches: u64,
    /// Where the next run goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// How long this run took.
    pub seconds: f64,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The part that is walked, from 0.
    pub part: usize,
    /// How many parts there are.
    pub parts: usize,
    /// Questions answered by this run.
    pub asked: u64,
}

/// Fills the shared tier.
pub struct Job {
    parts: Parts,
}

impl Job {
    /// A job over its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// Walks until the end, or until the deadline is near and another run has to go on.
    ///
    /// # Errors
    /// `Invalid` when an option is out of bounds, `NotFound` before the first generation,
    /// `Unavailable` while another run is at it or the shared tier takes nothing; otherwise the
    /// stores'. What is done stays done.
    pub async fn run(
        &self,
        options: &Options,
        progress: &(dyn Fn(Progress) + Send + Sync),
        deadline: &Deadline,
    ) -> Result<Report, Error> {
        let began = self.parts.clock.now().mono;
        let ran = self.walk(options, progress, deadline).await;
        let seconds = self
            .parts
            .clock
            .now()
            .mono
            .saturating_sub(began)
            .as_secs_f64();
        let outcome = match &ran {
            Ok(report) if report.done => "done",
            Ok(_) => "handed_over",
            Err(_) => "failed",
        };
        counter!(ops::metric::JOB_RUNS, "job" => NAME, "outcome" => outcome).increment(1);
        histogram!(ops::metric::JOB_SECONDS, "job" => NAME).record(seconds);
        ran.map(|report| Report { seconds, ..report })
    }

    async fn walk(
        &self,
        options: &Options,
        progress: &(dyn Fn(Progress) + Send + Sync),
        deadline: &Deadline,
    ) -> Result<Report, Error> {
        options.check()?;
        let Parts {
            tiered,
            generations,
            published,
            lake,
            control,
            owner,
            ..
        } = &self.parts;
        let next = published.next(deadline).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "what was announced cannot be read");
            None
        });
        let index = match &next {
            Some(next) => generations.open(&next.generation, deadline).await?,
            None => {
                generations.refresh(deadline).await?;
                generations.current().ok_or_else(no_generation)?
            }
        };
        let walk = Walk {
            control,
            lake,
            options,
            generation: index.generation(),
            cohorts: index.cohorts(),
        };
        let lease = control
            .acquire(&walk.name(), owner, LEASE_LIFE, deadline)
            .await?;
        let busy = || Error::new(ErrorKind::Unavailable, "preload: another run is at it");
        let ttl = Duration::from_secs(u64::from(options.ttl_s));
        let fill = |asks| -> BoxFuture<'_, _> { Box::pin(tiered.fill(asks, ttl, deadline)) };
        let mut lease = lease.ok_or_else(busy)?;
        let ran = walk.run(&mut lease, &fill, progress, deadline).await;
        if let Err(error) = control.release(lease, deadline).await {
            tracing::warn!(error = %error, "the lease was not given back and runs out by itself");
        }
        let over = ran.as_ref().map_or(true, |report| report.done);
        if over && next.is_some() {
            published.point_to_next(deadline).await?;
        }
        ran
    }
}

fn no_generation() -> Error {
    Error::new(ErrorKind::NotFound, "preload: there is no generation yet")
}

impl Report {
    /// Questions answered by this run.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.shared + self.personal
    }

    /// Adds a batch.
    ///
    /// # Errors
    /// `Unavailable` when the tier took nothing at all: it is down, and going on would only pretend.
    fn add(&mut self, part: usize, asked: usize, filled: FillReport) -> Result<(), Error> {
        if filled.stored == 0 && filled.failed > 0 {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "preload: the shared tier takes nothing",
            ));
        }
        let of = if part == 0 {
            &mut self.shared
        } else {
            &mut self.personal
        };
        *of += asked as u64;
        self.stored += filled.stored as u64;
        self.skipped += (filled.degraded + filled.absent) as u64;
        self.failed += filled.failed as u64;
        self.batches += 1;
        Ok(())
    }
}
