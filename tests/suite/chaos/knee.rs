//! Twice as much as can be done: what is done stays, the rest is refused quickly.

use std::time::Duration;

use tests::{Load, Report};

use super::Pace;
use super::row::{Matrix, ms};
use super::world::World;

const SPAN: Duration = Duration::from_secs(10);
/// Beyond the knee answers take longer than this.
const SLOW: Duration = Duration::from_millis(50);
/// Steps of the search.
const STEPS: [u32; 10] = [100, 200, 300, 400, 600, 800, 1_200, 1_600, 2_400, 3_200];

pub(super) async fn twice(matrix: &mut Matrix) {
    let pace = Pace {
        full: true,
        rate_per_s: 100,
    };
    let world = World::start(pace, false).await;
    world.warm().await;
    let mut knee = (0, 0.0);
    for rate_per_s in STEPS {
        let report = offer(&world, rate_per_s).await;
        let goodput = goodput(&report);
        if report.latency(99.0) > SLOW || goodput < 0.95 * f64::from(rate_per_s) {
            break;
        }
        knee = (rate_per_s, goodput);
    }
    let report = offer(&world, 2 * knee.0).await;
    assert_eq!(report.errors, 0, "{:?}", report.complaints);
    matrix.note(format!(
        "twice the knee (misses and hits of 600 users, one process): knee {} requests/s with p99 ≤ 50 ms; at {} requests/s {:.0} answered per second ({:.0} % of the knee), {} refused, refusals p99 {:.1} ms, answers p50 {:.1} p99 {:.1} ms, generator late by {:.1} ms at p99",
        knee.0, 2 * knee.0, goodput(&report), 100.0 * goodput(&report) / knee.1, report.refused,
        ms(report.refusal(99.0)), ms(report.latency(50.0)), ms(report.latency(99.0)), ms(report.lag_p99())
    ));
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
