//! `reelway import`: a catalogue and what people did, taken in whole or not at all.
//!
//! ```text
//! parts ─► records ─► converter ─► staging ──► READY ──► catalogue, lake
//!             └── malformed ─► import.rejected.tsv         (recover goes on here)
//! ```
//!
//! Files are read row by row; memory does not grow with them. Everything is staged first: until
//! the folder says READY nothing that was there is touched, from then on applying it can be
//! repeated until it is done. Event ids and positions are derived from what is imported, so
//! importing the same files again changes nothing.
//!
//! Events go straight to the lake, one object per day: the next T+1 run makes profiles and user
//! states of them. Read in the order `plan`, `records`, `convert`, a preset, `staging`.

mod convert;
mod event;
mod films;
mod gorse;
mod kuairand;
mod mapped;
mod plan;
pub mod progress;
mod records;
mod rejected;
mod sessions;
mod staging;
mod value;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use guard::Clock;
use store::{Catalogue, Objects};
use xxhash_rust::xxh3::Xxh3;

use crate::cli;
use crate::demo::Demo;
use convert::{Out, Reason};
use plan::{Part, plan};
use progress::Progress;
use records::Step;
use rejected::Rejected;
use staging::Staging;

/// Rows after which a file that is mostly malformed is not read to its end.
const HOPELESS_ROWS: u64 = 100_000;
/// How far a clock that told a time may have been ahead of ours.
const AHEAD_MS_MAX: i64 = 86_400_000;
/// Rows between two looks at the progress bar.
const PROGRESS_ROWS: u64 = 4_096;

/// Where imports end up.
#[derive(Clone)]
pub struct Stores {
    /// The videos.
    pub catalogue: Arc<Catalogue>,
    /// The lake's objects.
    pub objects: Arc<dyn Objects>,
    /// Judges deadlines and tells how long it took.
    pub clock: Arc<dyn Clock>,
}

/// What was taken in.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Report {
    /// Rows read, malformed ones included.
    pub rows: u64,
    /// Events written to the lake.
    pub events: u64,
    /// Videos written to the catalogue.
    pub videos: u64,
    /// Distinct users, where they are fewer than a million.
    pub users: Option<u64>,
    /// Malformed rows.
    pub bad: u64,
    /// The malformed rows, where there are any.
    pub rejected: Option<PathBuf>,
    /// How long it took.
    pub seconds: f64,
}

/// What [`recover`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Imports that were complete and are now applied.
    pub finished: usize,
    /// Imports that were not, and are forgotten.
    pub forgotten: usize,
}

/// An import that is planned and not yet begun.
pub struct Import {
    parts: Vec<Part>,
    max_bad: f64,
}

impl Import {
    /// Finds the files, their columns and how their rows are read.
    ///
    /// # Errors
    /// When a file is missing, or a column that is needed or was named.
    pub fn new(args: &cli::Import) -> anyhow::Result<Self> {
        if !(0.0..=1.0).contains(&args.max_bad) {
            bail!("--max-bad is a share between 0 and 1");
        }
        Ok(Self {
            parts: plan(args)?,
            max_bad: args.max_bad,
        })
    }

    /// Reads, stages and applies. The data folder must be ours alone, and recovered.
    ///
    /// # Errors
    /// When a file cannot be read, more rows are malformed than allowed, or a store fails. Nothing
    /// that was there is touched, except by the last: then the next start goes on.
    pub async fn run(
        self,
        data: PathBuf,
        stores: &Stores,
        progress: Box<dyn Progress>,
    ) -> anyhow::Result<Report> {
        let started = stores.clock.now();
        let latest_ms = started.wall_ms.saturating_add(AHEAD_MS_MAX);
        let folder = data.clone();
        // Reading and encoding take seconds of computing: not on a thread that answers requests.
        let staged = tokio::task::spawn_blocking(move || self.stage(&folder, latest_ms, progress));
        let (mut report, staging, mut progress) = staged.await.context("the import stopped")??;
        staging.apply(stores, progress.as_mut()).await?;
        report.seconds = stores
            .clock
            .now()
            .mono
            .saturating_sub(started.mono)
            .as_secs_f64();
        Ok(report)
    }

    fn stage(
        mut self,
        data: &Path,
        latest_ms: i64,
        mut progress: Box<dyn Progress>,
    ) -> anyhow::Result<(Report, staging::Ready, Box<dyn Progress>)> {
        let fingerprint = fingerprint(&self.parts)?;
        let mut staging = Staging::begin(data, &fingerprint)?;
        let mut rejected = Rejected::new(data.join("import.rejected.tsv"))?;
        let mut report = Report::default();
        for part in &mut self.parts {
            let mut reading = Reading {
                staging: &mut staging,
                rejected: &mut rejected,
                report: &mut report,
                latest_ms,
            };
            let read = reading.read(part, progress.as_mut(), self.max_bad);
            let closed = rejected.flush();
            if let Err(failed) = read.and(closed) {
                staging.forget()?;
                return Err(failed);
            }
        }
        report.users = staging.users();
        report.rejected = (report.bad > 0).then(|| rejected.path().to_owned());
        progress.begin("writing", 0);
        let ready = staging.finish()?;
        progress.end();
        Ok((report, ready, progress))
    }
}

/// Takes in a demo world, whole or not at all, like any import.
///
/// # Errors
/// When the folder cannot be written or a store fails.
pub async fn take_in_demo(demo: Demo, data: PathBuf, stores: &Stores) -> anyhow::Result<()> {
    let staged = tokio::task::spawn_blocking(move || {
        let mut staging = Staging::begin(&data, "demo")?;
        for video in demo.videos() {
            staging.video(video)?;
        }
        for event in demo.events() {
            staging.event(&event)?;
        }
        staging.finish()
    });
    let ready = staged.await.context("the demo was not made")??;
    ready.apply(stores, progress::choose().as_mut()).await
}

/// Applies imports that were complete when the process died and forgets those that were not.
///
/// # Errors
/// When a folder cannot be read or a store fails; the next start tries again.
pub async fn recover(data: &Path, stores: &Stores) -> anyhow::Result<Recovered> {
    staging::recover(data, stores).await
}

/// One import being read.
struct Reading<'a> {
    staging: &'a mut Staging,
    rejected: &'a mut Rejected,
    report: &'a mut Report,
    /// An event after it has not happened yet, Unix time in milliseconds.
    latest_ms: i64,
}

impl Reading<'_> {
    fn read(
        &mut self,
        part: &mut Part,
        progress: &mut dyn Progress,
        max_bad: f64,
    ) -> anyhow::Result<()> {
        let name = part.name();
        progress.begin(&name, part.bytes);
        let mut records = part.open()?;
        let mut out = Out::default();
        let (mut rows, mut bad) = (0u64, 0u64);
        loop {
            let (row, reason) = match records.next()? {
                Step::End => break,
                Step::Record { row, cells } => {
                    let taken = part.converter.record(cells, &mut out);
                    (row, taken.and_then(|()| self.has_happened(&out)).err())
                }
                Step::Malformed { row, reason } => (row, Some(reason)),
            };
            rows += 1;
            if let Some(reason) = reason {
                bad += 1;
                out.clear();
                let shown = self.rejected.add(&name, row, &reason, &records.raw())?;
                if shown {
                    progress.say(&format!("{name}:{row}: {reason}"));
                }
                if rows >= HOPELESS_ROWS && bad > rows / 2 && exceeds(bad, rows, max_bad) {
                    break;
                }
            }
            self.take(&mut out)?;
            if rows.is_multiple_of(PROGRESS_ROWS) {
                progress.at(records.bytes_read());
            }
        }
        part.converter.end(&mut out);
        self.take(&mut out)?;
        progress.end();
        self.report.rows += rows;
        self.report.bad += bad;
        if exceeds(bad, rows, max_bad) {
            bail!(
                "{bad} of {rows} rows of {name} are malformed, more than --max-bad {max_bad} \
                 allows; nothing was changed, the rows are in {}",
                self.rejected.path().display()
            );
        }
        Ok(())
    }

    /// One day that is still to come would be the newest of all nights.
    fn has_happened(&self, out: &Out) -> Result<(), Reason> {
        let ahead = out.events.iter().any(|event| event.ts_ms > self.latest_ms);
        if ahead {
            return Err("a time in the future".to_owned());
        }
        Ok(())
    }

    fn take(&mut self, out: &mut Out) -> anyhow::Result<()> {
        for event in out.events.drain(..) {
            self.staging.event(&event)?;
            self.report.events += 1;
        }
        for video in out.videos.drain(..) {
            self.staging.video(&video)?;
            self.report.videos += 1;
        }
        Ok(())
    }
}

fn exceeds(bad: u64, rows: u64, max_bad: f64) -> bool {
    bad as f64 > rows as f64 * max_bad
}

/// Names what is imported by its content: the same files, read the same way, have the same.
fn fingerprint(parts: &[Part]) -> anyhow::Result<String> {
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; 1 << 16];
    for part in parts {
        hasher.update(part.reading.as_bytes());
        hasher.update(&part.bytes.to_le_bytes());
        let unreadable = || format!("{} cannot be read", part.file.display());
        let mut file = File::open(&part.file).with_context(unreadable)?;
        loop {
            let read = file.read(&mut buffer).with_context(unreadable)?;
            match buffer.get(..read) {
                Some(bytes) if read > 0 => hasher.update(bytes),
                _ => break,
            }
        }
    }
    Ok(format!("{:016x}", hasher.digest()))
}

#[cfg(test)]
mod tests;
