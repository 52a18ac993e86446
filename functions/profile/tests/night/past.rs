//! The ranker learns from the generations that served.

use bytes::Bytes;
use learn::TrainOptions;
use learn::train::Outcome;
use profile::{Job, Options, Report};
use store::Objects;

use super::world::{World, date};

/// Impressions of a day.
const SHOWN: usize = 600;

fn job(world: &World) -> Job {
    let mut options = Options::default();
    options.build.ranker = Some(TrainOptions {
        rows_min: 100,
        trees_max: 20,
        ..TrainOptions::default()
    });
    world.job_with(options)
}

async fn night(world: &World, day: i64) -> Report {
    let ran = job(world).run(Some(date(day)), &world.deadline).await;
    ran.unwrap()
}

/// A week in which each night's generation serves the next day. Ends with the day 1.
async fn week(world: &World) -> Report {
    let mut last: Option<Report> = None;
    for day in -5..=1 {
        let serves = last.as_ref().map(|report| report.generation.as_str());
        world.shown_by(serves, day, (day + 10) as u64).await;
        last = Some(night(world, day).await);
    }
    last.unwrap()
}

fn as_served(report: &Report) -> usize {
    report.ranker.as_ref().unwrap().as_served
}

#[tokio::test]
async fn every_impression_is_read_from_the_generation_that_served_it() {
    let world = World::new().await;
    let report = week(&world).await;
    assert_eq!(as_served(&report), 6 * SHOWN);
    assert_eq!(report.ranker.unwrap().outcome, Outcome::Published);
    assert!(!world.work_dir().join("past").exists());
}

#[tokio::test]
async fn a_night_whose_generation_is_gone_broken_or_replaced_is_made_again() {
    let world = World::new().await;
    week(&world).await;
    // Gone: as if it had been removed.
    let of = |day: i64, file: &str| format!("index/{}.1/{file}", date(day));
    let gone = [of(-5, "index.bin"), of(-5, "manifest.json")];
    world.objects.delete(&gone, &world.deadline).await.unwrap();
    // Broken: not what its manifest says.
    let broken = Bytes::from_static(b"no index");
    let file = of(-2, "index.bin");
    let put = world.objects.put(&file, broken, &world.deadline);
    put.await.unwrap();
    let again = night(&world, 1).await;
    assert_eq!(as_served(&again), 4 * SHOWN);
    assert_eq!(again.ranker.unwrap().outcome, Outcome::Published);
    // Replaced: a later run of the day wrote other profiles.
    night(&world, 0).await;
    let again = night(&world, 1).await;
    assert_eq!(as_served(&again), 3 * SHOWN);
    assert_eq!(again.ranker.unwrap().outcome, Outcome::Published);
}
