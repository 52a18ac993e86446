//! Twice as much as can be done: what is done stays, the rest is refused quickly.

use std::time::Duration;

use tests::{Load, Report};

use super::Pace;
use super::row::{Matrix, ms};
use super::world::World;

const SPAN: Duration = Duration::from_secs(10);
/// Beyond the knee answers take longer than a request may.
const SLOW: Duration = Duration::from_millis(200);
/// Steps of the search.
const STEPS: [u32; 11] = [
    100, 200, 300, 400, 600, 800, 1_200, 1_600, 2_400, 3_200, 4_800,
];
/// The hot document of the second process.
const ADAPTIVE: &str = r#"{"guard":{"concurrency":{"adaptive":true}}}"#;

/// Finds the knee of a process and offers twice as much, with a fixed limit and with an adaptive one.
pub(super) async fn twice(pace: Pace, matrix: &mut Matrix) {
    let knee = {
        let world = World::start(pace, false).await;
        world.warm().await;
        let Some(knee) = search(&world).await else {
            let least = STEPS[0];
            matrix.note(format!(
                "twice the knee: not measured, {least} requests/s were too much for a process beside what else ran here"
            ));
            return;
        };
        beyond("a fixed limit of 1024 at work", &world, knee, matrix).await;
        knee
    };
    let world = World::tuned(pace, ADAPTIVE).await;
    world.warm().await;
    beyond("an adaptive limit", &world, knee, matrix).await;
}

/// The highest rate that is answered in time, and what was answered then.
async fn search(world: &World) -> Option<(u32, f64)> {
    let mut knee = None;
    for rate_per_s in STEPS {
        let report = offer(world, rate_per_s).await;
        let goodput = goodput(&report);
        if report.latency(99.0) > SLOW || goodput < 0.95 * f64::from(rate_per_s) {
            break;
        }
        knee = Some((rate_per_s, goodput));
    }
    knee
}

async fn beyond(limit: &str, world: &World, (knee, at_knee): (u32, f64), matrix: &mut Matrix) {
    let report = offer(world, 2 * knee).await;
    let goodput = goodput(&report);
    let share = 100.0 * goodput / at_knee;
    matrix.note(format!(
        "twice the knee of one process (hits and misses of 600 users), {limit}: knee {knee} requests/s (p99 ≤ 200 ms, 95 % answered in step); of {} requests/s {goodput:.0} answered per second ({share:.0} % of the knee), {} of {} refused, {} invalid; refusals p99 {:.1} ms, answers p50 {:.1} p99 {:.1} ms; generator late by {:.1} ms at p99",
        2 * knee,
        report.refused,
        report.sent,
        report.errors,
        ms(report.refusal(99.0)),
        ms(report.latency(50.0)),
        ms(report.latency(99.0)),
        ms(report.lag_p99())
    ));
    assert_eq!(report.errors, 0, "{:?}", report.complaints);
}

async fn offer(world: &World, rate_per_s: u32) -> Report {
    let load = Load {
        rate_per_s,
        span: SPAN,
    };
    let feed = world.feed.clone();
    load.run(move |number| feed.ask(number)).await.unwrap()
}

fn goodput(report: &Report) -> f64 {
    report.valid as f64 / report.took.as_secs_f64()
}
