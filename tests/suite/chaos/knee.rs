//! Twice as much as can be done: what is done stays, the rest is answered from the steps below or
//! refused quickly.
//!
//! Once with questions that mostly have a kept answer, once with questions that have none. Where an
//! answer costs hardly more than reading the question, a refusal costs nearly as much, and nothing
//! inside the process can hold the goodput; where it has to be computed, it is held.

use std::time::Duration;

use tests::{Load, Report};

use super::Pace;
use super::row::{Matrix, ms};
use super::world::World;

const SPAN: Duration = Duration::from_secs(10);
/// Beyond the knee answers take longer than a request may.
const SLOW: Duration = Duration::from_millis(200);
/// Steps of the search.
const STEPS: [u32; 14] = [
    100, 200, 300, 400, 600, 800, 1_200, 1_600, 2_400, 3_200, 4_800, 6_400, 9_600, 12_800,
];
/// Whom a process takes from that asks for everybody: the load is the only limit here.
const UNLIMITED: &str = r#"{"guard":{"limits":{
    "interface":{"per_second":1000000,"burst":1000000},
    "user":{"per_second":1000000,"burst":1000000},
    "region":{"per_second":1000000,"burst":1000000}}}}"#;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// By 600 users again and again.
    Kept,
    /// Never before.
    Anew,
}

/// Finds the knee of a process and offers twice as much, of questions of both kinds.
pub(super) async fn twice(pace: Pace, matrix: &mut Matrix) {
    for asked in [Asked::Kept, Asked::Anew] {
        let world = World::tuned(pace, UNLIMITED).await;
        world.warm().await;
        let Some(knee) = search(&world, asked).await else {
            let least = STEPS[0];
            matrix.note(format!(
                "twice the knee, {asked:?}: not measured, {least} requests/s were too much for a process beside what else ran here"
            ));
            continue;
        };
        beyond(&world, asked, knee, matrix).await;
    }
}

/// The highest rate that is answered in time with nothing given up, and what was answered then.
async fn search(world: &World, asked: Asked) -> Option<(u32, f64)> {
    let mut knee = None;
    for rate_per_s in STEPS {
        let mut report = offer(world, asked, rate_per_s).await;
        if !is_fine(&report, rate_per_s) {
            // Something else may have run for a moment.
            report = offer(world, asked, rate_per_s).await;
        }
        if !is_fine(&report, rate_per_s) {
            break;
        }
        knee = Some((rate_per_s, goodput(&report)));
    }
    knee
}

/// Answered in time, in step, and with hardly anything given up.
fn is_fine(report: &Report, rate_per_s: u32) -> bool {
    report.latency(99.0) <= SLOW
        && goodput(report) >= 0.95 * f64::from(rate_per_s)
        && 20 * overloaded(report) <= report.sent
}

async fn beyond(world: &World, asked: Asked, (knee, at_knee): (u32, f64), matrix: &mut Matrix) {
    let report = offer(world, asked, 2 * knee).await;
    let goodput = goodput(&report);
    let share = 100.0 * goodput / at_knee;
    let what = match asked {
        Asked::Kept => "hits of 600 users",
        Asked::Anew => "questions that have no kept answer",
    };
    matrix.note(format!(
        "twice the knee of one process on one core ({what}): knee {knee} requests/s (p99 ≤ 200 ms, 95 % answered in step, at most 5 % given up); of {} requests/s {goodput:.0} answered per second within 200 ms ({share:.0} % of the knee), {} of {} from the steps below because the process was behind, {} refused, {} invalid; refusals p99 {:.1} ms, answers p50 {:.1} p99 {:.1} ms; generator late by {:.1} ms at p99",
        2 * knee,
        overloaded(&report),
        report.sent,
        report.refused,
        report.errors,
        ms(report.refusal(99.0)),
        ms(report.latency(50.0)),
        ms(report.latency(99.0)),
        ms(report.lag_p99())
    ));
    assert_eq!(report.errors, 0, "{:?}", report.complaints);
    if asked == Asked::Anew {
        assert!(share >= 90.0, "{share:.0} % of the knee");
    }
}

/// Answers that say that the process was behind.
fn overloaded(report: &Report) -> u64 {
    let says = report
        .labels
        .iter()
        .filter(|(label, _)| label.contains("overloaded"));
    says.map(|(_, count)| *count).sum()
}

async fn offer(world: &World, asked: Asked, rate_per_s: u32) -> Report {
    let load = Load {
        rate_per_s,
        span: SPAN,
    };
    let feed = world.feed.clone();
    let run = match asked {
        Asked::Kept => load.run(move |number| feed.ask(number)).await,
        Asked::Anew => load.run(move |number| feed.ask_anew(number)).await,
    };
    run.unwrap()
}

/// Valid answers in time, per second.
fn goodput(report: &Report) -> f64 {
    let in_time = report.valid - report.later_than(SLOW);
    in_time as f64 / report.took.as_secs_f64()
}
