//! The night's jobs in this process: at request, or at an hour of the day.
//!
//! ```text
//! flush the archive ─► profile ─► preload from the new generation ─► its pointer ─► map it
//! ```

use std::sync::Arc;
use std::time::Duration;

use guard::{Clock, Deadline, Gate};
use jiff::civil::Date;
use serde::Serialize;
use store::{Error, ErrorKind, GenerationReader, Generations};
use tokio_util::sync::CancellationToken;

use crate::pump::Pump;

/// How long a night may take.
pub const NIGHT_BUDGET: Duration = Duration::from_secs(6 * 3_600);

const DAY_MS: i64 = 24 * 3_600_000;
/// The wall clock may be corrected while the timer waits: it looks at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What the jobs work with.
pub struct Parts {
    /// The pump whose archive is flushed first; none where nothing is pumped.
    pub pump: Option<Pump>,
    /// Builds the generation.
    pub profile: profile::Job,
    /// Maps it.
    pub reader: Arc<GenerationReader>,
    /// Where it is published.
    pub published: Arc<Generations>,
    /// Fills the tiers from it, and how.
    pub preload: Option<(preload::Job, preload::Options)>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Runs one night at a time.
pub struct Jobs {
    parts: Parts,
    one: Gate,
}

/// What a night did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Night {
    /// The T+1 batch.
    pub profile: profile::Report,
    /// The tiers; none when nothing is preloaded, or when it failed, which costs only warmth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preload: Option<preload::Report>,
}

impl Jobs {
    /// Jobs over their parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            one: Gate::new(1, 0),
        }
    }

    /// What time it is to the jobs.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.parts.clock
    }

    /// Runs a night: with the events up to `date` (UTC), or with everything.
    ///
    /// # Errors
    /// `Unavailable` while another night runs; otherwise the flush's and the T+1 batch's. The
    /// generation of before goes on serving.
    pub async fn night(
        &self,
        date: Option<Date>,
        force: bool,
        deadline: &Deadline,
    ) -> Result<Night, Error> {
        let busy = |_| Error::new(ErrorKind::Unavailable, "run a night: another is running");
        let _turn = self.one.enter(deadline).await.map_err(busy)?;
        if let Some(pump) = &self.parts.pump {
            pump.flush(archive::Archive::NAME, deadline).await?;
        }
        let is_first = self.parts.reader.current().is_none();
        let job = self.parts.profile.with(|options| {
            options.force |= force;
            options.preloads = self.parts.preload.is_some();
            // A new store answers at once; the next night trains.
            if is_first {
                options.build.ranker = None;
            }
        });
        let profile = job.run(date, deadline).await?;
        let preload = self.preload(deadline).await;
        // Also where the tiers were not filled: that costs only warmth.
        self.parts.published.point_to_next(deadline).await?;
        self.parts.reader.refresh(deadline).await?;
        Ok(Night { profile, preload })
    }

    /// Runs a night every day at `at_ms` milliseconds after midnight, UTC, until `stop`.
    pub async fn every_night(&self, at_ms: i64, stop: &CancellationToken) {
        loop {
            let due_ms = next_ms(self.parts.clock.now().wall_ms, at_ms);
            if !self.sleep_until(due_ms, stop).await {
                return;
            }
            let deadline = Deadline::after(Arc::clone(&self.parts.clock), NIGHT_BUDGET);
            let night = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                night = self.night(None, false, &deadline) => night,
            };
            match night {
                Ok(night) => {
                    let generation = &night.profile.generation;
                    tracing::info!(index.generation = %generation, "the night is done");
                }
                Err(error) => {
                    tracing::error!(error = %error, "the night failed, yesterday's generation serves");
                }
            }
        }
    }

    async fn preload(&self, deadline: &Deadline) -> Option<preload::Report> {
        let (job, options) = self.parts.preload.as_ref()?;
        let filled = job.run(options, &|_| (), deadline).await;
        filled
            .inspect_err(|error| tracing::warn!(error = %error, "the tiers were not filled"))
            .ok()
    }

    /// False when stopped before.
    async fn sleep_until(&self, due_ms: i64, stop: &CancellationToken) -> bool {
        loop {
            let left_ms = due_ms.saturating_sub(self.parts.clock.now().wall_ms);
            let Ok(left_ms @ 1..) = u64::try_from(left_ms) else {
                return true;
            };
            let nap = Duration::from_millis(left_ms).min(LOOK_EVERY);
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(nap) => {}
            }
        }
    }
}

/// The first time after `now_ms` that is `at_ms` into a day, UTC.
fn next_ms(now_ms: i64, at_ms: i64) -> i64 {
    let today = now_ms.div_euclid(DAY_MS) * DAY_MS + at_ms.rem_euclid(DAY_MS);
    if today > now_ms {
        today
    } else {
        today + DAY_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_night_is_always_ahead() {
        let hour = 3_600_000;
        let cases = [
            (0, 3 * hour, 3 * hour),
            (3 * hour, 3 * hour, DAY_MS + 3 * hour),
            (3 * hour - 1, 3 * hour, 3 * hour),
            (-1, 0, 0),
            (5 * DAY_MS + 23 * hour, 3 * hour, 6 * DAY_MS + 3 * hour),
        ];
        for (now, at, expected) in cases {
            assert_eq!(next_ms(now, at), expected, "{now} {at}");
        }
    }
}
