//! The ranker learns from the generations that served.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Event, Index, Profile, UserId, UserState};
use learn::train::Outcome;
use learn::{BuildOptions, GenerationBuilder, Past, TrainOptions};
use profile::{Job, Options, PROFILE_PARTS, Report};
use store::Objects;

use super::world::{DAY_MS, FIRST_MS, World, date, user, videos};

/// Impressions of a day.
const SHOWN: usize = 600;
/// The days that generations served, each by that of the day before.
const SERVED: std::ops::RangeInclusive<i64> = -4..=1;

fn train() -> TrainOptions {
    TrainOptions {
        rows_min: 100,
        trees_max: 20,
        ..TrainOptions::default()
    }
}

fn job(world: &World) -> Job {
    let mut options = Options::default();
    options.build.ranker = Some(train());
    world.job_with(options)
}

async fn night(world: &World, day: i64) -> Report {
    let ran = job(world).run(Some(date(day)), &world.deadline).await;
    ran.unwrap()
}

/// A week in which each night's generation serves the next day, up to the day 1, without its night.
async fn served(world: &World) {
    let mut last: Option<Report> = None;
    for day in -5..=1 {
        let serves = last.as_ref().map(|report| report.generation.as_str());
        world.shown_by(serves, day, (day + 10) as u64).await;
        if day < 1 {
            last = Some(night(world, day).await);
        }
    }
}

fn as_served(report: &Report) -> usize {
    report.ranker.as_ref().unwrap().as_served
}

fn of(day: i64, file: &str) -> String {
    format!("index/{}.1/{file}", date(day))
}

/// The model that serves.
async fn model(world: &World) -> Vec<u8> {
    world.reader.refresh(&world.deadline).await.unwrap();
    world.reader.current().unwrap().model().to_vec()
}

/// What a builder that is given everything by hand makes of these events and pasts.
fn by_hand(
    events: &[Event],
    current: &[u8],
    past: impl IntoIterator<Item = (Arc<Index>, Vec<(UserId, Profile)>)>,
) -> Vec<u8> {
    let mut builder = GenerationBuilder::new(BuildOptions {
        ranker: Some(TrainOptions {
            current: Some(current.into()),
            ..train()
        }),
        ..BuildOptions::new("by-hand", FIRST_MS + 2 * DAY_MS - 1)
    });
    let add = |video| builder.add_video(video).unwrap();
    videos().iter().for_each(add);
    events
        .iter()
        .for_each(|event| builder.add_event(event).unwrap());
    for (index, profiles) in past {
        builder.add_past(Past::new(index, profiles));
    }
    let mut built = builder.finish().unwrap();
    let index = Index::open(Arc::new(built.to_bytes())).unwrap();
    index.model().to_vec()
}

async fn pasts(world: &World) -> Vec<(Arc<Index>, Vec<(UserId, Profile)>)> {
    let mut pasts = Vec::new();
    for day in SERVED {
        let name = format!("{}.1", date(day - 1));
        pasts.push(world.past(&name, day - 1).await);
    }
    pasts
}

#[tokio::test]
async fn every_impression_is_read_from_the_generation_that_served_it_and_its_profiles() {
    let world = World::new().await;
    served(&world).await;
    let (current, pasts) = (model(&world).await, pasts(&world).await);
    let report = night(&world, 1).await;
    assert_eq!(as_served(&report), SERVED.count() * SHOWN);
    assert_eq!(report.ranker.unwrap().outcome, Outcome::Published);
    assert!(!world.work_dir().join("past").exists());
    let events = world.events().await;
    let published = model(&world).await;
    assert!(by_hand(&events, &current, pasts.clone()) == published);
    let without = pasts.into_iter().map(|(index, _)| (index, Vec::new()));
    assert!(by_hand(&events, &current, without) != published);
}

#[tokio::test]
async fn who_was_deleted_and_came_back_has_no_profile_of_before() {
    let world = World::new().await;
    served(&world).await;
    let (current, pasts) = (model(&world).await, pasts(&world).await);
    // Amid what they do on the day before the last.
    let gone_ms = FIRST_MS + 105;
    let (users, gone) = (&world.users, user(3));
    let forgotten = users.forget(&gone, gone_ms, &world.deadline).await;
    forgotten.unwrap();
    night(&world, 1).await;
    let kept = |event: &Event| event.user_id != gone || event.ts_ms > gone_ms;
    let mut events = world.events().await;
    events.retain(kept);
    let published = model(&world).await;
    let as_it_was = pasts.clone();
    let pasts = pasts.into_iter().map(|(index, mut profiles)| {
        profiles.retain(|(user, _)| *user != gone || index.as_of_ms() > gone_ms);
        (index, profiles)
    });
    assert!(by_hand(&events, &current, pasts) == published);
    assert!(by_hand(&events, &current, as_it_was) != published);
}

#[tokio::test]
async fn a_night_whose_generation_is_gone_broken_or_replaced_is_made_again() {
    let world = World::new().await;
    served(&world).await;
    let days = SERVED.count();
    // Gone: as if it had been removed.
    let gone = [of(-5, "index.bin"), of(-5, "manifest.json")];
    world.objects.delete(&gone, &world.deadline).await.unwrap();
    // Broken: not what its manifest says.
    let (file, broken) = (of(-2, "index.bin"), Bytes::from_static(b"no index"));
    let put = world.objects.put(&file, broken, &world.deadline);
    put.await.unwrap();
    let report = night(&world, 1).await;
    assert_eq!(as_served(&report), (days - 2) * SHOWN);
    assert_eq!(report.ranker.unwrap().outcome, Outcome::Published);
    // Replaced: a later run of the day wrote other profiles.
    night(&world, 0).await;
    assert_eq!(as_served(&night(&world, 1).await), (days - 3) * SHOWN);
}

#[tokio::test]
async fn a_night_whose_profiles_are_not_whole_is_made_again() {
    let world = World::new().await;
    served(&world).await;
    let files = |day: i64| world.lake.profile_files(date(day), &world.deadline);
    let lost = files(-4).await.unwrap().remove(5);
    world
        .objects
        .delete(&[lost.key], &world.deadline)
        .await
        .unwrap();
    let damaged = files(-3).await.unwrap().remove(7);
    let put = world
        .objects
        .put(&damaged.key, Bytes::from_static(b"PAR1"), &world.deadline);
    put.await.unwrap();
    // A run that died after a part of its profiles, and before its generation.
    let part = (0..PROFILE_PARTS)
        .find(|part| UserState::user_hash(&user(3)) % u64::from(PROFILE_PARTS) == u64::from(*part));
    let (name, lake) = (format!("{}.2", date(-1)), &world.lake);
    let written = lake.write_profiles(date(-1), part.unwrap(), &name, Vec::new(), &world.deadline);
    written.await.unwrap();
    let report = night(&world, 1).await;
    assert_eq!(as_served(&report), (SERVED.count() - 3) * SHOWN);
    assert_eq!(report.ranker.unwrap().outcome, Outcome::Published);
}
