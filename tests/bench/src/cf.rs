//! One prediction of collaborative filtering, on real shop sessions.

pub mod instructions;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use engine::index::Index;
use engine::index::format::CfKnobs;
use engine::pipeline::prepared::Seed;
use engine::source::cf::{Scratch, predict_best};
use engine::{Event, EventKind, UserId, Video, VideoId};
use guard::Clock;
use hdrhistogram::Histogram;
use learn::{BuildOptions, GenerationBuilder};
use ops::RealClock;
use smol_str::{SmolStr, format_smolstr};
use zerocopy::little_endian::{F32, U32};

use crate::measure::report::root;
use crate::measure::{Report, allocations, cpu, nanos};

/// Passes over all questions.
const PASSES: usize = 200;
/// Places of a list.
const PLACES: usize = 20;

/// Click sessions by name, each by time.
pub type Clicks = BTreeMap<String, Vec<(i64, VideoId)>>;

/// What is known before each next click, newest first.
pub type Asked = Vec<Vec<Seed>>;

/// Row 4.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let (bytes, asked) = asked()?;
    let index = Index::open(Arc::new(bytes))?;
    cpu::pin(0);
    for (name, knobs) in ways(&index) {
        one(report, name, &index, &knobs, &asked)?;
    }
    report.note(format!(
        "{} questions of the Serenade sample (each next click from the clicks before it), {} videos, \
         {} sessions; lists of {PLACES}, sorted; one warm pass, then {PASSES}.",
        asked.len(),
        index.videos(),
        index.sessions().len()
    ));
    report.note("percentiles include reading the clock twice; predictions per second do not");
    report.note(format!("as the night chose: {:?}", index.cf_knobs()));
    Ok(())
}

/// The generation of the sample's training sessions, and a question for each next click.
fn asked() -> anyhow::Result<(Vec<u8>, Asked)> {
    let folder = root().join("../shared/data/serenade");
    let train = read(&folder.join("train.txt")).context("the Serenade sample is needed")?;
    let valid = read(&folder.join("valid.txt"))?;
    let bytes = build(&train)?;
    let asked = questions(&Index::open(Arc::new(bytes.clone()))?, &valid);
    Ok((bytes, asked))
}

/// What is asked of it.
fn ways(index: &Index) -> [(&'static str, CfKnobs); 3] {
    let paper = CfKnobs {
        last: U32::new(2),
        sessions: U32::new(500),
        voters: U32::new(50),
        session_share: F32::new(1.0),
        ..CfKnobs::default()
    };
    let blended = CfKnobs {
        session_share: F32::new(0.5),
        ..paper
    };
    [
        ("VMIS-kNN m=500 k=50 last=2", paper),
        ("as the night chose", *index.cf_knobs()),
        ("half VMIS-kNN, half item-item", blended),
    ]
}

/// The best for somebody who looks at the newest of the seeds.
fn ask(index: &Index, knobs: &CfKnobs, seeds: &[Seed], scratch: &mut Scratch) -> usize {
    let current = seeds.first().map(|seed| seed.item);
    let keeps = |item| Some(item) != current;
    predict_best(index, knobs, seeds, PLACES, keeps, scratch).len()
}

fn one(
    report: &mut Report,
    name: &str,
    index: &Index,
    knobs: &CfKnobs,
    asked: &[Vec<Seed>],
) -> anyhow::Result<()> {
    let clock = RealClock::new();
    let mut scratch = Scratch::default();
    let mut predict = |seeds: &[Seed]| ask(index, knobs, seeds, &mut scratch);
    asked.iter().for_each(|seeds| {
        black_box(predict(seeds));
    });
    let ((), taken) = allocations(|| {
        asked.iter().for_each(|seeds| {
            black_box(predict(seeds));
        });
    });
    let mut times = Histogram::<u64>::new(3)?;
    for seeds in std::iter::repeat_n(asked, PASSES).flatten() {
        let start = clock.now().mono;
        black_box(predict(seeds));
        times.record(nanos(clock.now().mono.saturating_sub(start)) as u64)?;
    }
    let start = cpu::this_thread();
    for seeds in std::iter::repeat_n(asked, PASSES).flatten() {
        black_box(predict(seeds));
    }
    let seconds = (cpu::this_thread() - start).as_secs_f64();
    let rate = (asked.len() * PASSES) as f64 / seconds;
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    report.check(
        &format!("{name}: p90 (p50, p99) of one prediction"),
        format!("{:.2} µs ({:.2}, {:.2})", at(0.9), at(0.5), at(0.99)),
        "≤ 3 µs",
        at(0.9) <= 3.0,
    );
    report.check(
        &format!("{name}: predictions per second and core"),
        format!("{rate:.0}"),
        "≥ 200,000",
        rate >= 200_000.0,
    );
    report.check(
        &format!("{name}: allocations of {} predictions", asked.len()),
        taken.calls.to_string(),
        "0",
        taken.calls == 0,
    );
    report.keep(name, [at(0.5), at(0.9), at(0.99), at(0.999), rate]);
    Ok(())
}

/// Reads a file of the sample.
///
/// # Errors
/// When it is absent or is none.
pub fn read(path: &Path) -> anyhow::Result<Clicks> {
    let mut sessions = Clicks::new();
    for line in std::fs::read_to_string(path)?.lines().skip(1) {
        let mut cells = line.split('\t');
        let (Some(session), Some(video), Some(time)) = (cells.next(), cells.next(), cells.next())
        else {
            continue;
        };
        let ts_ms = (time.parse::<f64>()? * 1000.0) as i64;
        let clicks = sessions.entry(session.to_owned()).or_default();
        clicks.push((ts_ms, VideoId::parse(video)?));
    }
    sessions
        .values_mut()
        .for_each(|clicks| clicks.sort_by_key(|(ts_ms, _)| *ts_ms));
    Ok(sessions)
}

fn build(train: &Clicks) -> anyhow::Result<Vec<u8>> {
    let mut builder = GenerationBuilder::new(BuildOptions {
        session_gap_ms: i64::MAX,
        ..BuildOptions::new("serenade", i64::MAX)
    });
    for (session, clicks) in train {
        for (ts_ms, video) in clicks {
            builder.add_video(&Video::new(video.clone()))?;
            builder.add_event(&click(&format_smolstr!("s{session}"), video, *ts_ms)?)?;
        }
    }
    Ok(builder.finish()?.to_bytes())
}

/// A click that says nothing else.
///
/// # Errors
/// When the user is no id.
pub fn click(user: &str, video: &VideoId, ts_ms: i64) -> anyhow::Result<Event> {
    Ok(Event {
        event_id: SmolStr::new_static("e"),
        kind: EventKind::Click,
        user_id: UserId::parse(user)?,
        video_id: video.clone(),
        ts_ms,
        watch_ms: None,
        duration_ms: None,
        scene: SmolStr::default(),
        market: SmolStr::default(),
        creator_id: None,
        undo: false,
        recommendation_id: SmolStr::default(),
        slate_position: None,
        arms: SmolStr::default(),
        made: None,
    })
}

/// What is known before each next click, newest first, without repeats.
fn questions(index: &Index, valid: &Clicks) -> Asked {
    let mut asked = Vec::new();
    for clicks in valid.values() {
        for next in 1..clicks.len() {
            let mut seeds: Vec<Seed> = Vec::new();
            for (_, video) in clicks.iter().take(next).rev() {
                if let Some(item) = index.find(video.as_str())
                    && seeds.iter().all(|seed| seed.item != item)
                {
                    seeds.push(Seed { item, weight: 1.0 });
                }
            }
            asked.push(seeds);
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::compare::Random;

    #[test]
    fn a_prediction_allocates_nothing_once_the_scratch_has_grown() {
        let mut random = Random(3);
        let mut clicks = Clicks::new();
        for session in 0..400_i64 {
            let films = (0..2 + random.below(8)).map(|step| {
                let film = VideoId::parse(&format!("v{}", random.below(300))).unwrap();
                (session * 1_000 + step as i64, film)
            });
            clicks.insert(session.to_string(), films.collect());
        }
        let index = Index::open(Arc::new(build(&clicks).unwrap())).unwrap();
        let asked = questions(&index, &clicks);
        assert!(asked.len() > 400);
        let mut scratch = Scratch::default();
        for share in [0.0, 0.5, 1.0] {
            let knobs = CfKnobs {
                session_share: F32::new(share),
                ..CfKnobs::default()
            };
            let mut ask_all = || {
                let sum = asked.iter().map(|seeds| {
                    predict_best(&index, &knobs, seeds, PLACES, |_| true, &mut scratch).len()
                });
                sum.sum::<usize>()
            };
            let first = ask_all();
            let (second, taken) = allocations(ask_all);
            assert_eq!((first, taken.calls), (second, 0), "share {share}");
        }
    }
}
