//! The T+1 batch: profiles, index generation.
//!
//! ```text
//! catalogue ─► add_video ─┐                       ┌─► profile table (Parquet, by user hash)
//!                         ├─► GenerationBuilder ──┼─► user states (profile, recents, seen)
//! lake days ─► once each ─┘                       └─► generation, its pointer last
//! ```
//!
//! - The pointer moves last: whatever kills a run, the generation of before goes on serving.
//! - A run refuses rather than publishes: no rows, a file that is not whole (named), a day far
//!   thinner than the day before. A forced run overlooks only the last.
//! - Every event counts once: a day's rows are compared by position and by (user, event id). An
//!   event lies in the day of its own time, wherever and however often it was sent.
//! - Memory is bounded by users times what a state remembers, by videos, and by the rows of one day.
//! - Writing states is a join: a run may be repeated, and live events are never overwritten.
//!
//! Read in the order `lib`, `days`, `audience`, `report`.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::UserState;
use guard::{Clock, Deadline};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use lake::{Dedupe, Lake, LakeRow, ProfileRow};
use learn::{BuildError, BuildOptions, Built, GenerationBuilder};
use metrics::{counter, histogram};
use store::{Catalogue, Control, Error, ErrorKind, Generations, Lease, Objects, Users};

mod audience;
pub mod days;
pub mod report;

pub use report::{Report, Step};

use audience::Audience;
use days::DayRows;
use report::Stopwatch;

/// Parts of a profile table; a user's part is their hash modulo this.
pub const PROFILE_PARTS: u32 = 16;
/// Longest window, in days.
pub const WINDOW_DAYS_MAX: u32 = 3_650;
/// How long a run that died keeps others out.
pub const LEASE_LIFE: Duration = Duration::from_secs(120);

/// The name of this job, in leases and metrics.
const NAME: &str = "profile";
/// Videos read from the catalogue at a time.
const VIDEOS_PER_PAGE: usize = 500;
/// Lake batches between two renewals of the lease.
const BATCHES_PER_RENEWAL: usize = 64;

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
    /// Where the generation is written before it is published.
    pub work_dir: PathBuf,
    /// Names this instance in the lease; the same instance may start again at once.
    pub owner: String,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// How the job runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How many calendar days of events are read, the newest included; 1 to [`WINDOW_DAYS_MAX`].
    pub window_days: u32,
    /// Publishes also from a day that is far thinner than the day before it.
    pub force: bool,
    /// How the generation is built; its name and time are the run's.
    pub build: BuildOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window_days: 400,
            force: false,
            build: BuildOptions::default(),
        }
    }
}

/// The T+1 batch.
pub struct Job {
    parts: Parts,
    options: Options,
}

/// What reading the lake gave.
#[derive(Default)]
struct Reading {
    days: Vec<DayRows>,
    events: u64,
    dropped: u64,
}

impl Job {
    /// A job over its parts.
    #[must_use]
    pub fn new(parts: Parts, options: Options) -> Self {
        Self { parts, options }
    }

    /// The same job, publishing also from a thin day.
    #[must_use]
    pub fn forced(&self) -> Self {
        let options = Options {
            force: true,
            ..self.options.clone()
        };
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
        let control = &self.parts.control;
        let lease = control
            .acquire(NAME, &self.parts.owner, LEASE_LIFE, deadline)
            .await?;
        let Some(mut lease) = lease else {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "build a generation: another run is at it",
            ));
        };
        let ran = self.build(date, &mut lease, deadline).await;
        if let Err(error) = control.release(lease, deadline).await {
            tracing::warn!(error = %error, "the lease was not given back and runs out by itself");
        }
        let outcome = if ran.is_ok() { "published" } else { "refused" };
        let seconds = self
            .parts
            .clock
            .now()
            .mono
            .saturating_sub(started)
            .as_secs_f64();
        counter!(ops::metric::JOB_RUNS, "job" => NAME, "outcome" => outcome).increment(1);
        histogram!(ops::metric::JOB_SECONDS, "job" => NAME).record(seconds);
        ran
    }

    async fn build(
        &self,
        date: Option<Date>,
        lease: &mut Lease,
        deadline: &Deadline,
    ) -> Result<Report, Error> {
        let Parts {
            lake, users, clock, ..
        } = &self.parts;
        let mut watch = Stopwatch::start(Arc::clone(clock));
        let known = lake.days(deadline).await?;
        let date = date
            .or(known.last().copied())
            .ok_or_else(nothing_to_build_from)?;
        let window = days::window_of(&known, date, self.options.window_days);
        if window.last() != Some(&date) {
            return Err(nothing_to_build_from());
        }
        let options = self.build_options(date, deadline).await?;
        let (generation, as_of_ms) = (options.generation.clone(), options.as_of_ms);
        let mut builder = GenerationBuilder::new(options);
        let videos = self.read_catalogue(&mut builder, deadline).await?;
        watch.lap("catalogue");
        let mut audience = Audience::default();
        let mut reading = Reading::default();
        for day in window {
            self.read_day(
                day,
                &mut builder,
                &mut audience,
                &mut reading,
                lease,
                deadline,
            )
            .await?;
        }
        self.check(&reading)?;
        watch.lap("lake");
        let mut built = finish(builder).await?;
        watch.lap("build");
        self.hold(lease, deadline).await?;
        self.write_profiles(date, &built, deadline).await?;
        watch.lap("profiles");
        let profiles = std::mem::take(&mut built.profiles);
        let users_known = profiles.len() as u64;
        let users_changed = audience.write(profiles, as_of_ms, users, deadline).await? as u64;
        watch.lap("users");
        self.hold(lease, deadline).await?;
        self.publish(&generation, built, deadline).await?;
        watch.lap("publish");
        let Reading {
            days,
            events,
            dropped,
        } = reading;
        let (days, users, steps) = (days.len(), users_known, watch.finish());
        Ok(Report {
            generation,
            date,
            days,
            events,
            dropped,
            videos,
            users,
            users_changed,
            steps,
        })
    }

    /// Goes on only while no other run took over.
    async fn hold(&self, lease: &mut Lease, deadline: &Deadline) -> Result<(), Error> {
        let renewed = self
            .parts
            .control
            .renew(lease, LEASE_LIFE, deadline)
            .await?;
        let lost = || {
            Error::new(
                ErrorKind::Unavailable,
                "build a generation: another run took over",
            )
        };
        *lease = renewed.ok_or_else(lost)?;
        Ok(())
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

    async fn read_catalogue(
        &self,
        builder: &mut GenerationBuilder,
        deadline: &Deadline,
    ) -> Result<u64, Error> {
        let (mut videos, mut after) = (0, None);
        loop {
            let page = self
                .parts
                .catalogue
                .scan(after, VIDEOS_PER_PAGE, deadline)
                .await?;
            for video in &page.videos {
                builder.add_video(video).map_err(unbuilt)?;
            }
            videos += page.videos.len() as u64;
            after = page.next;
            if after.is_none() {
                return Ok(videos);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn read_day(
        &self,
        date: Date,
        builder: &mut GenerationBuilder,
        audience: &mut Audience,
        reading: &mut Reading,
        lease: &mut Lease,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let mut once = Dedupe::new();
        let mut day = DayRows { date, rows: 0 };
        let mut batches = 0_usize;
        for object in self.parts.lake.files(date, deadline).await? {
            for batch in self.parts.lake.open(&object.key, deadline).await? {
                let rows = batch.map_err(|error| named(error, &object.key))?;
                day.rows += rows.len() as u64;
                let strangers = audience.strangers(rows.iter().map(|row| &row.event.user_id));
                audience
                    .meet(strangers, &self.parts.users, deadline)
                    .await?;
                let taken = take(&rows, &mut once, audience, builder)?;
                reading.events += taken;
                reading.dropped += rows.len() as u64 - taken;
                batches += 1;
                if batches.is_multiple_of(BATCHES_PER_RENEWAL) {
                    self.hold(lease, deadline).await?;
                }
                if deadline.expired() {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        format!("read {}", object.key),
                    ));
                }
                tokio::task::yield_now().await;
            }
        }
        reading.days.push(day);
        Ok(())
    }

    fn check(&self, reading: &Reading) -> Result<(), Error> {
        if reading.events == 0 {
            return Err(nothing_to_build_from());
        }
        let today = jiff::Timestamp::from_millisecond(self.parts.clock.now().wall_ms)
            .map_or(Date::MAX, |now| now.to_zoned(TimeZone::UTC).date());
        match days::too_thin(&reading.days, today) {
            Some(thin) if !self.options.force => {
                let days::Thin { day, before } = thin;
                let what = format!(
                    "publish from {}: {} rows against {} of the day before; force it if that is right",
                    day.date, day.rows, before.rows
                );
                Err(Error::new(ErrorKind::Invalid, what))
            }
            _ => Ok(()),
        }
    }

    /// Writes every part, empty ones too, so that an earlier run of the day leaves none behind.
    async fn write_profiles(
        &self,
        date: Date,
        built: &Built,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let mut parts: Vec<Vec<ProfileRow>> = (0..PROFILE_PARTS).map(|_| Vec::new()).collect();
        for (user_id, profile) in &built.profiles {
            let at = UserState::user_hash(user_id) % u64::from(PROFILE_PARTS);
            if let Some(part) = parts.get_mut(at as usize) {
                part.push(ProfileRow {
                    user_id: user_id.clone(),
                    profile: profile.clone(),
                });
            }
        }
        for (part, rows) in (0..PROFILE_PARTS).zip(parts) {
            self.parts
                .lake
                .write_profiles(date, part, rows, deadline)
                .await?;
        }
        Ok(())
    }

    async fn publish(
        &self,
        generation: &str,
        mut built: Built,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let failed =
            |e: std::io::Error| Error::because(ErrorKind::Unavailable, "write a generation", e);
        tokio::fs::create_dir_all(&self.parts.work_dir)
            .await
            .map_err(failed)?;
        let mut builder = tempfile::Builder::new();
        let folder = builder
            .prefix("reelway-generation-")
            .tempdir_in(&self.parts.work_dir);
        let folder = folder.map_err(failed)?;
        let file = folder.path().join("index");
        let written = file.clone();
        let writing = tokio::task::spawn_blocking(move || built.write_to(&written));
        writing.await.map_err(gave_up)?.map_err(failed)?;
        self.parts
            .generations
            .publish(generation, &file, deadline)
            .await
            .map(|_| ())
    }
}

/// Feeds each event of somebody who is still here once; answers how many.
fn take(
    rows: &[LakeRow],
    once: &mut Dedupe,
    audience: &mut Audience,
    builder: &mut GenerationBuilder,
) -> Result<u64, Error> {
    let mut taken = 0;
    for row in rows {
        if once.admit(row) && audience.apply(&row.event) {
            builder.add_event(&row.event).map_err(unbuilt)?;
            taken += 1;
        }
    }
    Ok(taken)
}

/// Building computes for seconds: not on a thread that answers requests.
async fn finish(builder: GenerationBuilder) -> Result<Built, Error> {
    let built = tokio::task::spawn_blocking(move || builder.finish());
    built.await.map_err(gave_up)?.map_err(unbuilt)
}

fn named(error: Error, key: &str) -> Error {
    Error {
        what: format!("{} ({key})", error.what),
        ..error
    }
}

fn unbuilt(error: BuildError) -> Error {
    Error::because(ErrorKind::Invalid, "build a generation", error)
}

fn gave_up(error: tokio::task::JoinError) -> Error {
    Error::because(ErrorKind::Unavailable, "build a generation", error)
}

fn nothing_to_build_from() -> Error {
    Error::new(
        ErrorKind::Invalid,
        "build a generation: the lake has no events of that day",
    )
}
#[cfg(test)]
mod sendtest { use super::*;
fn s<T: Send>(_: T) {}
fn a(j: Job, d: Deadline) { s(async move { j.run(None, &d).await.map(|_| ()) }); }
fn b(j: Job, mut l: Lease, d: Deadline) { s(async move { j.hold(&mut l, &d).await }); }
fn c(j: Job, d: Deadline) { s(async move { j.build_options(Date::MAX, &d).await.map(|_|()) }); }
fn e(j: Job, mut b: GenerationBuilder, d: Deadline) { s(async move { j.read_catalogue(&mut b, &d).await }); }
fn f(j: Job, mut b: GenerationBuilder, mut au: Audience, mut r: Reading, mut l: Lease, d: Deadline) { s(async move { j.read_day(Date::MAX, &mut b, &mut au, &mut r, &mut l, &d).await }); }
fn g(j: Job, b: Built, d: Deadline) { s(async move { j.write_profiles(Date::MAX, &b, &d).await }); }
fn h(j: Job, b: Built, d: Deadline) { s(async move { j.publish("x", b, &d).await }); }
fn i(a: Audience, u: Users, d: Deadline) { s(async move { a.write(vec![], 1, &u, &d).await }); }
}
