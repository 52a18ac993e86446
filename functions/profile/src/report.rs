//! What a run did, for people and machines.

use std::sync::Arc;

use guard::Clock;
use jiff::civil::Date;
use learn::train::Trained;
use serde::Serialize;

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// The generation that was published.
    pub generation: String,
    /// The newest day it was made from, UTC.
    pub date: Date,
    /// Days that were read.
    pub days: usize,
    /// Distinct events.
    pub events: u64,
    /// Rows that repeated an event, or were from before their user's deletion.
    pub dropped: u64,
    /// Videos of the catalogue.
    pub videos: u64,
    /// Users with a profile.
    pub users: u64,
    /// Users whose state changed.
    pub users_changed: u64,
    /// How the ranker was trained and judged.
    pub ranker: Option<Trained>,
    /// How long each step took, in their order.
    pub steps: Vec<Step>,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// How long it took.
    pub seconds: f64,
}

/// Times the steps of a run.
pub(crate) struct Stopwatch {
    clock: Arc<dyn Clock>,
    since: std::time::Duration,
    steps: Vec<Step>,
}

impl Stopwatch {
    pub fn start(clock: Arc<dyn Clock>) -> Self {
        let since = clock.now().mono;
        Self {
            clock,
            since,
            steps: Vec::new(),
        }
    }

    /// Ends a step; the next begins.
    pub fn lap(&mut self, name: &'static str) {
        let now = self.clock.now().mono;
        let seconds = now.saturating_sub(self.since).as_secs_f64();
        self.since = now;
        tracing::info!(
            job.step = name,
            job.step_seconds = seconds,
            "a step of the night is done"
        );
        self.steps.push(Step { name, seconds });
    }

    pub fn finish(self) -> Vec<Step> {
        self.steps
    }
}
