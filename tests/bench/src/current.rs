//! Taking events into collaborative filtering that is kept current, one by one.

use std::hint::black_box;

use engine::index::IndexWriter;
use engine::index::format::CfKnobs;
use engine::{Event, Video};
use learn::{BuildOptions, CurrentCf};
use ops::RealClock;

use crate::build::{DAY_MS, DAYS, HANDED_OVER, START_MS, Town, memory_bytes, timed};
use crate::measure::compare::Random;
use crate::measure::{Report, cpu};

const INTERACTIONS: usize = 2_000_000;
/// Parts of the log that are timed by themselves.
const PARTS: usize = 10;
/// Rows that are asked for, each after another event.
const ROWS: usize = 500;
const THREADS: usize = 2;

/// What an event costs at the beginning of a log and at its end, a row after an event, and a refreshment.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let clock = RealClock::new();
    let town = Town::new()?;
    let videos: Vec<Video> = town.videos().collect::<Result<_, _>>()?;
    let options = BuildOptions {
        threads: THREADS,
        ..BuildOptions::new("bench", START_MS + DAYS * DAY_MS)
    };
    let mut cf = CurrentCf::new(options, &videos)?;
    let before = memory_bytes("VmRSS:");
    let (parts, last) = take_in(&town, &mut cf)?;
    let grown = memory_bytes("VmRSS:").saturating_sub(before);
    for (what, part) in [("first", parts.first()), ("last", parts.last())] {
        let (seconds, events) = part.copied().unwrap_or_default();
        let what = format!("an event, in the {what} tenth of the log");
        report.tell(&what, format!("{:.2} µs", seconds * 1e6 / events as f64));
    }
    let each = grown as f64 / INTERACTIONS as f64;
    report.tell("memory an event leaves behind", format!("{each:.0} B"));
    let row = rows(&mut cf, &last, videos.len())?;
    report.tell(
        "a row of neighbours, each after another event",
        format!("{row:.0} µs"),
    );
    let mut index = IndexWriter::new("bench", 0);
    let (_, refreshing) = timed(&clock, || cf.put(&mut index, CfKnobs::default()));
    report.tell(
        "all sections written",
        format!(
            "{:.2} s of CPU, {:.2} s on two cores",
            refreshing.cpu, refreshing.wall
        ),
    );
    report.note(format!(
        "The town of `build`, {INTERACTIONS} watches in the order of time, taken in one by one, nothing \
         fades; CPU time of the thread, without the making of the events; memory is what is resident. A row \
         is of any video, with the norms that the events before it changed."
    ));
    let seconds: Vec<f64> = parts.iter().map(|(seconds, _)| *seconds).collect();
    report.keep("seconds_per_part", seconds);
    report.keep("row_us", row);
    report.keep("put_seconds", [refreshing.cpu, refreshing.wall]);
    Ok(())
}

/// Seconds, and how many events they were spent on.
type Part = (f64, usize);

/// Takes the log in; the seconds and events of each part, and the last events.
fn take_in(town: &Town, cf: &mut CurrentCf) -> anyhow::Result<(Vec<Part>, Vec<Event>)> {
    let (mut parts, mut taken) = (vec![(0.0, 0); PARTS], 0);
    let mut made: Vec<Event> = Vec::with_capacity(HANDED_OVER);
    town.events(INTERACTIONS, |event| {
        if made.len() == HANDED_OVER {
            let begin = cpu::this_thread();
            made.iter().try_for_each(|event| cf.add_event(event))?;
            let part = (taken * PARTS / INTERACTIONS).min(PARTS - 1);
            if let Some((seconds, events)) = parts.get_mut(part) {
                *seconds += (cpu::this_thread() - begin).as_secs_f64();
                *events += made.len();
            }
            taken += made.len();
            made.clear();
        }
        made.push(event);
        Ok(())
    })?;
    Ok((parts, made))
}

/// Microseconds of a row that is asked for after another event, the event not counted.
fn rows(cf: &mut CurrentCf, events: &[Event], videos: usize) -> anyhow::Result<f64> {
    let (mut random, mut seconds) = (Random(5), 0.0);
    for event in events.iter().cycle().take(ROWS) {
        cf.add_event(event)?;
        let item = random.below(videos) as u32;
        let begin = cpu::this_thread();
        black_box(cf.neighbours(item));
        seconds += (cpu::this_thread() - begin).as_secs_f64();
    }
    Ok(seconds * 1e6 / ROWS as f64)
}
