//! The T+1 batch: profiles, index generation, ranker.
//!
//! ```text
//! catalogue ─► add_video ─┐                       ┌─► profile table (Parquet, by user hash)
//!                         ├─► GenerationBuilder ──┼─► user states (profile, recents, seen)
//! lake days ─► once each ─┘                       └─► generation, its pointer last: here, or by
//!                                                     `preload` once caches are filled from it
//! ```
//!
//! - The pointer moves last: whatever kills a run, the generation of before goes on serving.
//! - A run refuses rather than publishes: no rows, a file that is not whole (named), a day far
//!   thinner than the day before. A forced run overlooks only the last.
//! - Every event counts once: a day's rows are compared by position and by (user, event id). An
//!   event lies in the day of its own time, wherever and however often it was sent.
//! - The ranker is trained on the days before the newest and judged on the newest; one that loses to
//!   the model that serves is left out, and that one stays. What it learns from is read from the
//!   generations that served those days, where they are kept.
//! - Memory is bounded by users times what a state remembers, by videos, by the rows of one day, and by
//!   [`store::generation::GENERATIONS_KEPT`] profiles of whoever did something in the last week.
//! - Writing states is a join: a run may be repeated, and live events are never overwritten.
//!
//! Read in the order `lib`, `days`, `current`, `reading`, `past`, `audience`, `publish`, `report`.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;

use guard::{Clock, Deadline};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use lake::Lake;
use learn::{BuildError, BuildOptions, Built, GenerationBuilder, TrainOptions};
use metrics::{counter, histogram};
use store::{Catalogue, Control, Error, ErrorKind, Generations, Objects, Users};

mod audience;
mod current;
pub mod days;
mod hold;
mod input;
mod past;
mod publish;
mod reading;
pub mod report;

pub use hold::LEASE_LIFE;
pub use input::Input;
pub use publish::PROFILE_PARTS;
pub use report::{Report, Step};

use hold::Hold;
use reading::Reading;
use report::Stopwatch;

/// Longest window, in days.
pub const WINDOW_DAYS_MAX: u32 = 3_650;
/// The name of this job, in leases and metrics.
const NAME: &str = "profile";
/// What the job works with.
#[derive(Clone)]
pub struct Parts {
    /// Events in, profiles out.
    pub lake: Arc<Lake>,
    /// The videos.
    pub catalogue: Arc<Catalogue>,
    /// The user states.
    pub users: Arc<Users>,
    /// Where generations are published.
    pub generations: Arc<Generations>,
    /// Where generations lie, to see which names are taken.
    pub objects: Arc<dyn Objects>,
    /// Leases.
    pub control: Arc<Control>,
    /// Where the generation is written before it is published; this process's own.
    pub work_dir: PathBuf,
    /// Names this instance in the lease; the same instance may start again at once.
    pub owner: String,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// How the job runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How many days that hold events are read, the newest included; 1 to [`WINDOW_DAYS_MAX`].
    pub window_days: u32,
    /// Publishes also from a day that is far thinner than the day before it.
    pub force: bool,
    /// Leaves the pointer to the preload job, which moves it once caches are filled.
    pub preloads: bool,
    /// How the generation is built; its name and time are the run's.
    pub build: BuildOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window_days: 400,
            force: false,
            preloads: false,
            build: BuildOptions {
                ranker: Some(TrainOptions::default()),
                ..BuildOptions::default()
            },
        }
    }
}

/// The T+1 batch.
pub struct Job {
    parts: Parts,
    options: Options,
}

impl Job {
    /// A job over its parts.
    #[must_use]
    pub fn new(parts: Parts, options: Options) -> Self {
        Self { parts, options }
    }

    /// The same job with other options.
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.options.clone();
        change(&mut options);
        Self {
            parts: self.parts.clone(),
            options,
        }
    }

    /// Builds and publishes a generation from the events up to and with `date` (UTC), or up to the
    /// newest day of the lake.
    ///
    /// # Errors
    /// `Invalid` when there is nothing to build from or the newest whole day is too thin, `Corrupt`
    /// naming the file that is not whole, `Unavailable` while another run is at it; otherwise the
    /// stores'. The generation of before goes on serving.
    pub async fn run(&self, date: Option<Date>, deadline: &Deadline) -> Result<Report, Error> {
        let started = self.parts.clock.now().mono;
        let Parts { control, owner, .. } = &self.parts;
        let mut hold = Hold::take(control, NAME, owner, deadline).await?;
        let ran = self.build(date, &mut hold, deadline).await;
        hold.give_back(deadline).await;
        let outcome = if ran.is_ok() { "published" } else { "refused" };
        let took = self.parts.clock.now().mono.saturating_sub(started);
        counter!(ops::metric::JOB_RUNS, "job" => NAME, "outcome" => outcome).increment(1);
        histogram!(ops::metric::JOB_SECONDS, "job" => NAME).record(took.as_secs_f64());
        ran
    }

    async fn build(
        &self,
        date: Option<Date>,
        hold: &mut Hold<'_>,
        deadline: &Deadline,
    ) -> Result<Report, Error> {
        let Parts {
            lake, users, clock, ..
        } = &self.parts;
        let mut watch = Stopwatch::start(Arc::clone(clock));
        let (date, window) = self.window(date, deadline).await?;
        let mut options = self.build_options(date, deadline).await?;
        if let Some(ranker) = &mut options.ranker {
            ranker.current = current::model(&self.parts, deadline).await;
        }
        let (generation, as_of_ms) = (options.generation.clone(), options.as_of_ms);

        let mut reading = Reading::new(&self.parts, options);
        reading.catalogue(deadline).await?;
        watch.lap("catalogue");
        for day in window {
            reading.day(day, hold, deadline).await?;
        }
        self.check(&reading, deadline).await?;
        watch.lap("lake");
        let Reading {
            builder, audience, ..
        } = &mut reading;
        past::add(&self.parts, builder, audience, hold, deadline).await?;
        watch.lap("past");
        let Reading {
            builder,
            audience,
            days,
            videos,
            events,
            dropped,
            ..
        } = reading;
        let mut built = finish(builder).await?;
        watch.lap("build");

        hold.renew(deadline).await?;
        let ranker = built.report.ranker.take();
        let profiles = std::mem::take(&mut built.profiles);
        let known = profiles.len() as u64;
        publish::write_profiles(lake, date, &generation, &profiles, deadline).await?;
        watch.lap("profiles");
        let changed = audience.write(profiles, as_of_ms, users, deadline).await? as u64;
        watch.lap("users");
        hold.renew(deadline).await?;
        let before = self
            .parts
            .generations
            .pointer(deadline)
            .await
            .ok()
            .flatten();
        publish::publish(&self.parts, &generation, built, &self.options, deadline).await?;
        publish::settle(&self.parts, before, deadline).await;
        watch.lap("publish");
        Ok(Report {
            generation,
            date,
            days: days.len(),
            events,
            dropped,
            videos,
            users: known,
            users_changed: changed,
            ranker,
            steps: watch.finish(),
        })
    }

    /// The day to build for, and the days to read.
    async fn window(
        &self,
        date: Option<Date>,
        deadline: &Deadline,
    ) -> Result<(Date, Vec<Date>), Error> {
        let known = self.parts.lake.days(deadline).await?;
        let date = date
            .or(known.last().copied())
            .ok_or_else(nothing_to_build_from)?;
        let window = days::window_of(&known, date, self.options.window_days);
        if window.last() == Some(&date) {
            Ok((date, window))
        } else {
            Err(nothing_to_build_from())
        }
    }

    async fn build_options(&self, date: Date, deadline: &Deadline) -> Result<BuildOptions, Error> {
        let prefix = format!("index/{date}.");
        let objects = self.parts.objects.list(&prefix, deadline).await?;
        let taken = objects.iter().filter_map(|meta| meta.key.split('/').nth(1));
        let generation = days::next_generation(date, taken);
        let end = date
            .tomorrow()
            .and_then(|next| next.to_zoned(TimeZone::UTC));
        let end_ms = end.map_or(i64::MAX, |end| end.timestamp().as_millisecond() - 1);
        let as_of_ms = end_ms.min(self.parts.clock.now().wall_ms);
        Ok(BuildOptions {
            generation,
            as_of_ms,
            ..self.options.build.clone()
        })
    }

    /// Refuses to replace a generation by one from a day that is not whole. The first generation is
    /// published from whatever there is: nothing serves that would be lost.
    async fn check(&self, reading: &Reading<'_>, deadline: &Deadline) -> Result<(), Error> {
        if reading.events == 0 {
            return Err(nothing_to_build_from());
        }
        let today = jiff::Timestamp::from_millisecond(self.parts.clock.now().wall_ms)
            .map_or(Date::MAX, |now| now.to_zoned(TimeZone::UTC).date());
        let Some(days::Thin { day, before }) = days::too_thin(&reading.days, today) else {
            return Ok(());
        };
        if self.options.force || self.parts.generations.pointer(deadline).await?.is_none() {
            return Ok(());
        }
        let what = format!(
            "publish from {}: {} rows against {} of the day before; force it if that is right",
            day.date, day.rows, before.rows
        );
        Err(Error::new(ErrorKind::Invalid, what))
    }
}

/// Building computes for seconds: not on a thread that answers requests.
async fn finish(builder: GenerationBuilder) -> Result<Built, Error> {
    let built = tokio::task::spawn_blocking(move || builder.finish());
    built.await.map_err(gave_up)?.map_err(unbuilt)
}

pub(crate) fn unbuilt(error: BuildError) -> Error {
    Error::because(ErrorKind::Invalid, "build a generation", error)
}

pub(crate) fn gave_up(error: tokio::task::JoinError) -> Error {
    Error::because(ErrorKind::Unavailable, "build a generation", error)
}

/// Says when a folder in the work folder could not be removed.
pub(crate) fn untidied(removed: std::io::Result<()>) {
    if let Err(error) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(error = %error, "the work folder was not tidied");
    }
}

fn nothing_to_build_from() -> Error {
    Error::new(
        ErrorKind::Invalid,
        "build a generation: the lake has no events of that day",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_may_move_between_threads() {
        fn moves<T: Send>(_: impl FnOnce(Job, Deadline) -> T) {}
        moves(|job, deadline| async move { job.run(None, &deadline).await });
    }
}
