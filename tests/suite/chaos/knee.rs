//! Twice as much as can be done: what is done stays, the rest is answered from the steps below or
//! refused quickly.
//!
//! Once with questions that mostly have a kept answer, once with questions that have none. Where an
//! answer has to be computed, the goodput is held by the process itself. Where it costs hardly more than
//! reading the question, a refusal costs nearly half of it (decision 0024), so what a process can do
//! at most leaves no room for refusing as much again. The interface's limit, at half of it, makes that
//! room: twice the limit is offered, and twice what the process could do without one.

use std::time::Duration;

use serde_json::json;
use tests::{Load, Report};

use super::Pace;
use super::row::{Matrix, Row, ms};
use super::world::World;

const SPAN: Duration = Duration::from_secs(10);
/// Beyond the knee answers take longer than a request may.
const SLOW: Duration = Duration::from_millis(200);
/// Where the search begins, and what the generator sends at most in it.
const LEAST_PER_S: u32 = 100;
const MOST_PER_S: u32 = 40_000;
/// The knee lies between a rate that is fine and one that is not, so far apart at most.
const STEP: f64 = 1.1;
/// A generator that sends later than this makes answers late by itself.
const GENERATOR_LATE: Duration = Duration::from_millis(50);
/// What is promised: goodput as a share of the knee's, and how soon a refusal is there.
const SHARE_MIN: f64 = 0.9;
const REFUSED_WITHIN: Duration = Duration::from_millis(20);
/// A process takes as much as that from everybody together, where no limit is wanted.
const UNLIMITED_PER_S: u32 = 1_000_000;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// By 600 users again and again.
    Kept,
    /// Never before.
    Anew,
}

/// The highest rate that is answered in time with hardly anything given up.
#[derive(Debug, Clone, Copy)]
struct Knee {
    rate_per_s: u32,
    goodput: f64,
    limit: Limit,
}

/// For what more would have been too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Process,
    /// The interface's limit, which is set.
    Interface,
    Generator,
}

/// Finds the knee of a process and offers twice as much, of questions of both kinds; answers what
/// did not hold.
pub(super) async fn twice(pace: Pace, matrix: &mut Matrix) -> Vec<String> {
    let mut broken = Vec::new();
    for asked in [Asked::Kept, Asked::Anew] {
        let world = World::tuned(pace, &limited_to(UNLIMITED_PER_S)).await;
        world.warm().await;
        let Some((knee, row)) = beyond_the_knee(&world, asked).await else {
            matrix.note(format!(
                "twice the knee, {asked:?}: not measured, {LEAST_PER_S} requests/s were too much for a process beside what else ran here"
            ));
            continue;
        };
        broken.extend(judged(asked, knee, row, matrix));
        if asked == Asked::Kept {
            broken.extend(under_a_limit(&world, knee, matrix).await);
        }
    }
    broken
}

/// The knee, and what became of twice as much.
async fn beyond_the_knee(world: &World, asked: Asked) -> Option<(Knee, Row)> {
    let mut knee = search(world, asked, LEAST_PER_S).await?;
    loop {
        let twice = 2 * knee.rate_per_s;
        let row = beyond(world, asked, knee, twice).await;
        if !is_fine(&row.report, twice) || twice > MOST_PER_S {
            return Some((knee, row));
        }
        // It was not the process that failed below this; the knee is further on.
        knee = search(world, asked, twice).await.unwrap_or(Knee {
            rate_per_s: twice,
            goodput: goodput(&row.report),
            limit: Limit::Process,
        });
    }
}

/// With the interface's limit at half of the knee: twice the limit, and twice the knee.
async fn under_a_limit(world: &World, free: Knee, matrix: &mut Matrix) -> Vec<String> {
    let rate_per_s = free.rate_per_s / 2;
    world.retune(&limited_to(rate_per_s)).await;
    let goodput = match probe(world, Asked::Kept, rate_per_s).await {
        Ok(goodput) => goodput,
        Err(true) => {
            matrix.note("with a limit: not measured, the generator was late at it".to_owned());
            return Vec::new();
        }
        Err(false) => {
            return vec![format!(
                "{rate_per_s}/s are not held under a limit of as many"
            )];
        }
    };
    let limit = Knee {
        rate_per_s,
        goodput,
        limit: Limit::Interface,
    };
    let mut broken = Vec::new();
    for offered in [2 * rate_per_s, 2 * free.rate_per_s] {
        let row = beyond(world, Asked::Kept, limit, offered).await;
        broken.extend(judged(Asked::Kept, limit, row, matrix));
    }
    broken
}

/// Adds the row, and says where it fell short of the promise.
fn judged(asked: Asked, knee: Knee, row: Row, matrix: &mut Matrix) -> Vec<String> {
    let fell_short = verdict(asked, knee, &row);
    matrix.add(row);
    if !fell_short.is_empty() {
        matrix.note(format!(
            "missed: {}; promised are 90 % and refusals within 20 ms (decision 0024 says why)",
            fell_short.join(", ")
        ));
    }
    fell_short
}

/// The hot document that takes so many requests from everybody together, and any number of one user.
fn limited_to(per_second: u32) -> String {
    let rate = |per_second: u32| json!({"per_second": per_second, "burst": per_second / 10});
    let many = rate(UNLIMITED_PER_S);
    json!({"guard": {"limits": {"interface": rate(per_second), "user": many, "region": many}}})
        .to_string()
}

/// Doubles what is offered, up to the most there is, until it is too much, then halves the distance
/// until that is small. A process that is fine with the most has a knee that is not found here.
async fn search(world: &World, asked: Asked, from_per_s: u32) -> Option<Knee> {
    let (mut knee, mut rate_per_s) = (None, from_per_s);
    let mut too_much = loop {
        match probe(world, asked, rate_per_s).await {
            Ok(goodput) => {
                knee = Some(Knee {
                    rate_per_s,
                    goodput,
                    limit: Limit::Generator,
                });
            }
            Err(late) => break (rate_per_s, late),
        }
        if rate_per_s >= MOST_PER_S {
            return knee;
        }
        rate_per_s = MOST_PER_S.min(2 * rate_per_s);
    };
    let mut knee = knee?;
    while f64::from(too_much.0) > STEP * f64::from(knee.rate_per_s) {
        let middle = (knee.rate_per_s + too_much.0) / 2;
        match probe(world, asked, middle).await {
            Ok(goodput) => {
                (knee.rate_per_s, knee.goodput) = (middle, goodput);
            }
            Err(late) => too_much = (middle, late),
        }
    }
    if !too_much.1 {
        knee.limit = Limit::Process;
    }
    Some(knee)
}

/// Goodput at a rate that is fine; else whether the generator was late itself.
async fn probe(world: &World, asked: Asked, rate_per_s: u32) -> Result<f64, bool> {
    let mut late = false;
    // Something else may have run for a moment.
    for _ in 0..2 {
        let report = offer(world, asked, rate_per_s).await.report;
        if is_fine(&report, rate_per_s) {
            return Ok(goodput(&report));
        }
        late = report.lag_p99() > GENERATOR_LATE;
    }
    Err(late)
}

/// Answered in time, in step, and with hardly anything given up.
fn is_fine(report: &Report, rate_per_s: u32) -> bool {
    report.latency(99.0) <= SLOW
        && goodput(report) >= 0.95 * f64::from(rate_per_s)
        && 20 * (overloaded(report) + report.refused) <= report.sent
}

async fn beyond(world: &World, asked: Asked, knee: Knee, offered: u32) -> Row {
    let mut row = offer(world, asked, offered).await;
    if knee.limit == Limit::Interface {
        row.fault = row.fault.replace("the knee", "the knee under a limit");
    }
    let report = &row.report;
    let goodput = goodput(report);
    let share = 100.0 * goodput / knee.goodput;
    let (limit, whose) = match knee.limit {
        Limit::Process => ("found to within 10 %; the limit was the process", "knee"),
        Limit::Interface => ("set, half of the knee above", "interface's limit"),
        Limit::Generator => (
            "found to within 10 %; the limit was the generator, not the process",
            "knee",
        ),
    };
    row.note = format!(
        "{whose} {} requests/s (p99 ≤ 200 ms, 95 % answered in step, at most 5 % given up; {limit}); of {offered} requests/s {goodput:.0} answered per second within 200 ms ({share:.0} % of the {whose}), {} of {} from the steps below because the process was behind, {} refused, refusals p99 {:.1} ms; generator late by {:.1} ms at p99, {} questions not sent because 8,000 were under way",
        knee.rate_per_s,
        overloaded(report),
        report.sent,
        report.refused,
        ms(report.refusal(99.0)),
        ms(report.lag_p99()),
        report.unsent
    );
    row
}

/// What was promised and did not hold; nothing is known where the generator was the limit.
fn verdict(asked: Asked, knee: Knee, row: &Row) -> Vec<String> {
    let report = &row.report;
    let share = goodput(report) / knee.goodput;
    let refusal = report.refusal(99.0);
    let mut broken = Vec::new();
    if knee.limit == Limit::Generator || report.lag_p99() > GENERATOR_LATE {
        return broken;
    }
    if share < SHARE_MIN {
        broken.push(format!("{asked:?}: {:.0} % of the knee", 100.0 * share));
    }
    if report.refused > 0 && refusal > REFUSED_WITHIN {
        broken.push(format!("{asked:?}: refused after {:.1} ms", ms(refusal)));
    }
    broken
}

/// Answers that say that the process was behind.
fn overloaded(report: &Report) -> u64 {
    let says = report
        .labels
        .iter()
        .filter(|(label, _)| label.contains("overloaded"));
    says.map(|(_, count)| *count).sum()
}

async fn offer(world: &World, asked: Asked, rate_per_s: u32) -> Row {
    let load = Load {
        rate_per_s,
        span: SPAN,
    };
    let (feed, during, nothing) = (world.feed.clone(), (Duration::ZERO, SPAN), || async {});
    let mut row = match asked {
        Asked::Kept => {
            let fault = "twice the knee: hits of 600 users";
            let ask = move |number| feed.ask(number);
            world
                .watched(fault, load, during, ask, nothing, nothing)
                .await
        }
        Asked::Anew => {
            let fault = "twice the knee: questions that have no kept answer";
            let ask = move |number| feed.ask_anew(number);
            world
                .watched(fault, load, during, ask, nothing, nothing)
                .await
        }
    };
    row.may_refuse = true;
    row
}

/// Valid answers in time, per second.
fn goodput(report: &Report) -> f64 {
    let in_time = report.valid - report.later_than(SLOW);
    in_time as f64 / report.took.as_secs_f64()
}
