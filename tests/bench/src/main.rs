//! Benchmarks: `scripts/bench NAME`, `scripts/bench all`, `scripts/bench report`.
//!
//! One file per benchmark, one line in [`BENCHES`]. Each fills a [`Report`], whose raw figures are
//! kept as `docs/performance/NAME.json`; `docs/performance.md` is written from them. Read `measure`
//! first. Nothing here is a timed unit test.
#![deny(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context, ensure};

use measure::{Report, page};

mod allocs;
mod build;
mod cf;
mod current;
mod drain;
mod events;
mod features;
mod hits;
mod json;
mod measure;
mod miss;
mod options;
mod rank;
mod redis;
mod served;
mod soak;
mod town;
mod trips;
mod world;

/// A benchmark.
struct Bench {
    /// Its name on the command line and of its report.
    name: &'static str,
    /// One line on what it measures, with its row in the table of targets.
    title: &'static str,
    /// Measures.
    run: fn(&mut Report) -> anyhow::Result<()>,
}

/// Every benchmark, in the order of the page.
const BENCHES: &[Bench] = &[
    Bench {
        name: "hits",
        title: "Row 1: /recommend from the local tier",
        run: hits::run,
    },
    Bench {
        name: "miss",
        title: "Row 3: a full miss",
        run: miss::run,
    },
    Bench {
        name: "cf",
        title: "Row 4: one prediction of collaborative filtering",
        run: cf::run,
    },
    Bench {
        name: "cf-instructions",
        title: "Row 4: instructions of one prediction, under callgrind",
        run: cf::instructions::run,
    },
    Bench {
        name: "rank",
        title: "One slate ranked by the learned trees",
        run: rank::run,
    },
    Bench {
        name: "features",
        title: "Row 5: feature table get",
        run: features::run,
    },
    Bench {
        name: "trips",
        title: "Row 6: round trips",
        run: trips::run,
    },
    Bench {
        name: "allocations",
        title: "Row 7: allocations",
        run: allocs::run,
    },
    Bench {
        name: "json",
        title: "Row 9: JSON answer",
        run: json::run,
    },
    Bench {
        name: "soak",
        title: "Ten million requests: flat memory, no error",
        run: soak::run,
    },
    Bench {
        name: "build",
        title: "Row 15: building an index of ten million interactions",
        run: build::run,
    },
    Bench {
        name: "current",
        title: "Collaborative filtering kept current, event by event",
        run: current::run,
    },
    Bench {
        name: "options",
        title: "Optional weights of collaborative filtering",
        run: options::run,
    },
    Bench {
        name: "events",
        title: "Row 10: encoding events, and the peak through the log and towards Kinesis",
        run: events::run,
    },
    Bench {
        name: "served",
        title: "What `served` events cost an answer",
        run: served::run,
    },
    Bench {
        name: "drain",
        title: "clickstream at the original's peak",
        run: drain::run,
    },
];

fn main() -> anyhow::Result<ExitCode> {
    let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    match asked.as_slice() {
        ["report"] => {
            page::write(&names)?;
            Ok(ExitCode::SUCCESS)
        }
        ["all"] => run(&names, &names),
        [cf::instructions::COUNTED, arguments @ ..] => {
            cf::instructions::counted(arguments)?;
            Ok(ExitCode::SUCCESS)
        }
        [] | ["--help"] => {
            say("usage: bench NAME… | all | report\n\n")?;
            for Bench { name, title, .. } in BENCHES {
                say(&format!("  {name:<12} {title}\n"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        chosen => run(chosen, &names),
    }
}

/// Runs the chosen ones, prints and keeps what they found; a void run and a broken promise fail.
fn run(chosen: &[&str], names: &[&str]) -> anyhow::Result<ExitCode> {
    ensure!(
        !cfg!(debug_assertions),
        "figures of a debug build mean nothing: run scripts/bench"
    );
    let (mut void, mut broken) = (false, false);
    for name in chosen {
        let bench = BENCHES.iter().find(|bench| bench.name == *name);
        let bench = bench.with_context(|| format!("no benchmark is called {name}"))?;
        let mut report = Report::begin(bench.name, bench.title);
        say(&format!("{}: {}\n", bench.name, bench.title))?;
        (bench.run)(&mut report).with_context(|| bench.name)?;
        let path = report.finish()?;
        say(&format!("\n{}\n", report.table()))?;
        for note in &report.notes {
            say(&format!("- {note}\n"))?;
        }
        say(&format!("kept in {}\n\n", path.display()))?;
        void |= report.is_void();
        for what in report.broken() {
            say(&format!("BROKEN: {what}\n"))?;
            broken = true;
        }
    }
    page::write(names)?;
    if void {
        say("VOID: a control did not hold within 5 %; run it again on a quieter machine\n")?;
    }
    Ok(if void || broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Prints; a closed pipe is an error like any other.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
