//! `reelway evaluate`: how good the recommendations are, on what this store holds.
//!
//! ```text
//! catalogue, lake ─► Log ─► Course ─► baselines ───────────────┐
//!        └── second pass, what may be learned from ─► generation ─► pipeline ─► Report
//! ```
//!
//! The generation that serves is neither read nor touched: one is built in memory from what lies
//! before the split. The lake is read twice, so that memory is bounded by 24 bytes an event. With
//! `sessions` likings, sessions and the judged part are held besides, some 200 bytes an event, to
//! replay that part before what is kept current.

mod contenders;
mod passes;
mod slates;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use engine::event::LONG_VIEW_MS;
use learn::evaluate::report::Contribution;
use learn::evaluate::{Contender, Course, Log, Protocol, Replay, Report, tuning};

use crate::cli::{self, Judged};
use crate::import::progress::{self, Progress};
use crate::output::Output;
use crate::service::Service;
use crate::settings::Settings;
use contenders::Learned;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// Length of every slate: the longest cut of the measures.
const PLACES: usize = 20;

/// Judges the service against what else could be done with the same events.
///
/// # Errors
/// When there is nothing to judge by, a store cannot be read, or a file cannot be written.
pub async fn evaluate(
    settings: &Settings,
    args: &cli::Evaluate,
    out: Output,
) -> anyhow::Result<()> {
    let added = args.add.iter().map(|text| Added::parse(text));
    let added: Vec<Added> = added.collect::<anyhow::Result<_>>()?;
    let service = Service::open(settings).await?;
    let mut shown = progress::choose();
    let log = passes::log(&service, LONG_VIEW_MS, shown.as_mut()).await?;
    let protocol = protocol(&log, args)?;
    let mut course = Course::new(&log, protocol);
    course.keep(args.users_max);
    if course.exams.is_empty() {
        bail!("nobody can be asked anything: no user liked something new in the judged part");
    }
    let (learned, replay) = passes::learn(&service, &log, &course, shown.as_mut()).await?;
    let judged = Judging {
        log,
        course,
        learned,
        replay,
        added,
        tuning: service.serving.tuning.snapshot(),
        clock: std::sync::Arc::clone(&service.clock),
        seed: args.seed,
    };
    // Minutes of computing: not on a thread that others wait for.
    let slates_out = args.slates_out.clone();
    let report = tokio::task::spawn_blocking(move || judged.report(slates_out.as_deref(), shown));
    let report = report.await??;
    if let Some(path) = &args.plot {
        write(path, &learn::evaluate::plot::svg(&report))?;
    }
    Ok(out.result(&report, &report.table())?)
}

/// Everything that is needed to judge.
struct Judging {
    log: Log,
    course: Course,
    learned: Learned,
    replay: Option<Replay>,
    added: Vec<Added>,
    tuning: std::sync::Arc<store::Tuning>,
    clock: std::sync::Arc<dyn guard::Clock>,
    seed: u64,
}

impl Judging {
    fn report(
        self,
        slates_out: Option<&Path>,
        mut shown: Box<dyn Progress>,
    ) -> anyhow::Result<Report> {
        let (log, course) = (&self.log, &self.course);
        if let Some(folder) = slates_out {
            slates::write_split(log, course, folder)?;
        }
        let asker = contenders::Asker {
            log,
            course,
            learned: &self.learned,
            tuning: &self.tuning,
            clock: self.clock.as_ref(),
        };
        let (first, contributions) = asker.whole(shown.as_mut());
        let mut all = vec![first];
        all.extend(asker.alone(shown.as_mut()));
        if let Some(replay) = self.replay {
            all.push(asker.kept_current(replay, shown.as_mut())?);
        }
        shown.begin("baselines", 0);
        let mut tell = |_: &'static str| {};
        let (tuned, validation) = tuning::baselines(log, course, PLACES, &mut tell);
        all.extend(tuned.into_iter().map(|one| Contender {
            name: one.name.to_owned(),
            chosen: one.chosen,
            slates: one.slates,
            marks: one.marks,
            latency: None,
            twin: None,
        }));
        for added in &self.added {
            all.push(slates::read(log, course, &added.name, &added.path)?);
        }
        if let Some(folder) = slates_out {
            for contender in &all {
                slates::write(log, course, contender, folder)?;
            }
        }
        shown.begin("intervals", 0);
        let mut report = Report::new(log, course, &all, self.seed);
        shown.end();
        report.validation_exams = validation.exams;
        report.contributions = contributions;
        Ok(report)
    }
}

/// Slates that somebody else made.
struct Added {
    name: String,
    path: PathBuf,
}

impl Added {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, path) = text
            .split_once('=')
            .filter(|(name, path)| !name.is_empty() && !path.is_empty())
            .with_context(|| format!("--add {text} is not NAME=FILE"))?;
        Ok(Self {
            name: name.to_owned(),
            path: PathBuf::from(path),
        })
    }
}

/// The split that was asked for; days begin where the offset says.
fn protocol(log: &Log, args: &cli::Evaluate) -> anyhow::Result<Protocol> {
    let newest_ms = log
        .newest_ms()
        .context("there is nothing to judge by: import something first")?;
    let offset_ms = i64::from(args.utc_offset) * HOUR_MS;
    let day = (newest_ms + offset_ms).div_euclid(DAY_MS) + 1;
    let until_ms = day * DAY_MS - offset_ms;
    let from_ms = until_ms - i64::from(args.days) * DAY_MS;
    Ok(match args.protocol {
        Judged::Time => Protocol::Time { from_ms, until_ms },
        Judged::Sessions => Protocol::Sessions { from_ms, until_ms },
        Judged::LastOut => Protocol::LastOut,
    })
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// What each source brought to slates, from what the pipeline said of every item.
struct Tally {
    names: Vec<&'static str>,
    places: Vec<u64>,
    hits: Vec<u64>,
    strongest: Vec<u64>,
    all_places: u64,
    all_hits: u64,
}

impl Tally {
    fn new(names: Vec<&'static str>) -> Self {
        let none = vec![0; names.len()];
        Self {
            places: none.clone(),
            hits: none.clone(),
            strongest: none,
            names,
            all_places: 0,
            all_hits: 0,
        }
    }

    fn add(&mut self, sources: &[(&'static str, f32)], hit: bool) {
        self.all_places += 1;
        self.all_hits += u64::from(hit);
        let most = sources.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let most = most.map(|(name, _)| *name);
        for (name, _) in sources {
            let Some(at) = self.names.iter().position(|own| own == name) else {
                continue;
            };
            let count = |counts: &mut Vec<u64>, counts_it: bool| {
                if let Some(slot) = counts.get_mut(at) {
                    *slot += u64::from(counts_it);
                }
            };
            count(&mut self.places, true);
            count(&mut self.hits, hit);
            count(&mut self.strongest, hit && most == Some(name));
        }
    }

    fn finish(self) -> Vec<Contribution> {
        let share = |counts: &[u64], at: usize, all: u64| {
            counts.get(at).copied().unwrap_or(0) as f64 / all.max(1) as f64
        };
        let one = |(at, name): (usize, &&'static str)| Contribution {
            source: (*name).to_owned(),
            places: share(&self.places, at, self.all_places),
            hits: share(&self.hits, at, self.all_hits),
            strongest: share(&self.strongest, at, self.all_hits),
        };
        let all = self.names.iter().enumerate().map(one);
        all.filter(|one| one.places > 0.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_added_contender_is_a_name_and_a_file() {
        let cases = [
            ("ease=a/b.tsv", Some(("ease", "a/b.tsv"))),
            ("ease", None),
            ("=x", None),
            ("x=", None),
        ];
        for (text, expected) in cases {
            let parsed = Added::parse(text).ok();
            let parsed = parsed
                .as_ref()
                .map(|a| (a.name.as_str(), a.path.to_str().unwrap()));
            assert_eq!(parsed, expected, "{text}");
        }
    }

    #[test]
    fn sources_are_credited_for_what_they_proposed_and_for_speaking_most() {
        let mut tally = Tally::new(vec!["cf", "content", "latest"]);
        tally.add(&[("cf", 0.4), ("content", 0.1)], true);
        tally.add(&[("content", 0.2)], false);
        let found = tally.finish();
        let row = |at: usize| (found[at].places, found[at].hits, found[at].strongest);
        assert_eq!(found.len(), 2, "who proposed nothing is left out");
        assert_eq!(row(0), (0.5, 1.0, 1.0));
        assert_eq!(row(1), (1.0, 1.0, 0.0));
    }
}
