//! The night: what it makes, what it refuses, and what a kill leaves.

use bytes::Bytes;
use engine::UserState;
use lake::LakeRow;
use learn::TrainOptions;
use learn::train::Outcome;
use profile::Options;
use store::{ErrorKind, Objects, apply_event};

#[cfg(test)]
mod past;
#[cfg(test)]
mod world;

use world::{World, date, user, watch};

/// 20 kB that declare five million and one rows of one column, by `pyarrow`.
const BOMB: &[u8] = include_bytes!("bomb.parquet");

#[tokio::test]
async fn a_night_makes_a_generation_profiles_and_states() {
    let world = World::new().await;
    world.day(0, 2_000, 1).await;
    let rows = world.day(1, 2_000, 2).await;
    let report = world.job().run(None, &world.deadline).await.unwrap();
    assert_eq!(report.generation, "2026-11-21.1");
    assert_eq!((report.date, report.days), (date(1), 2));
    assert_eq!((report.events, report.dropped), (4_000, 0));
    assert_eq!(
        (report.videos, report.users, report.users_changed),
        (30, 20, 20)
    );
    let steps: Vec<&str> = report.steps.iter().map(|step| step.name).collect();
    assert_eq!(
        steps,
        [
            "catalogue",
            "lake",
            "past",
            "build",
            "profiles",
            "users",
            "publish"
        ]
    );

    assert!(world.reader.refresh(&world.deadline).await.unwrap());
    let index = world.reader.current().unwrap();
    assert_eq!((index.generation(), index.videos()), ("2026-11-21.1", 30));

    let state = world.user(3).await;
    assert!(
        state
            .profile
            .as_ref()
            .is_some_and(|profile| !profile.long_term.is_empty())
    );
    let newest = rows
        .iter()
        .rev()
        .find(|row| row.event.user_id == user(3))
        .unwrap();
    assert_eq!(state.recent.last().unwrap().video_id, newest.event.video_id);
    assert!(
        state
            .seen
            .contains(&UserState::seen_hash(newest.event.video_id.as_str()))
    );

    let mut rows = 0;
    for file in world
        .lake
        .profile_files(date(1), &world.deadline)
        .await
        .unwrap()
    {
        rows += world
            .lake
            .open_profiles(&file.key, &world.deadline)
            .await
            .unwrap()
            .rows();
    }
    assert_eq!(rows, 20);
}

#[tokio::test]
async fn the_same_night_again_changes_no_user_and_gets_the_next_name() {
    let world = World::new().await;
    world.day(0, 2_000, 1).await;
    world.job().run(None, &world.deadline).await.unwrap();
    let before = world.user(3).await;
    let again = world
        .job()
        .run(Some(date(0)), &world.deadline)
        .await
        .unwrap();
    assert_eq!(
        (again.generation.as_str(), again.users_changed),
        ("2026-11-20.2", 0)
    );
    assert_eq!(world.user(3).await, before);
    assert_eq!(world.pointer().await.as_deref(), Some("2026-11-20.2"));
}

#[tokio::test]
async fn repetitions_count_once_and_the_deleted_stay_deleted() {
    let world = World::new().await;
    world
        .users
        .forget(&user(3), world::FIRST_MS + world::DAY_MS, &world.deadline)
        .await
        .unwrap();
    let rows = world.day(0, 2_000, 1).await;
    // The archive's overlapping retry, and in it a client's retry under another position.
    let resent = LakeRow {
        sequence: "9".into(),
        ..rows[5].clone()
    };
    let overlap = [&rows[500..1_500], &[resent]].concat();
    world.lake.write(overlap, &world.deadline).await.unwrap();
    let report = world.job().run(None, &world.deadline).await.unwrap();
    let of_deleted = |row: &&LakeRow| row.event.user_id == user(3);
    assert_eq!(
        report.events,
        2_000 - rows.iter().filter(of_deleted).count() as u64
    );
    assert_eq!(report.events + report.dropped, 3_001);
    let state = world.user(3).await;
    assert!(state.tombstone_ms.is_some() && state.recent.is_empty() && state.profile.is_none());
}

#[tokio::test]
async fn what_happened_meanwhile_is_joined_not_overwritten() {
    let world = World::new().await;
    world.day(0, 2_000, 1).await;
    let live = watch(1, 3, 2);
    let apply = |state: &mut UserState| apply_event(state, &live);
    world
        .users
        .update(&user(3), &world.deadline, apply)
        .await
        .unwrap();
    world.job().run(None, &world.deadline).await.unwrap();
    let state = world.user(3).await;
    assert_eq!(state.recent.last().unwrap().video_id, live.video_id);
    assert!(state.recent.len() >= 3 && state.profile.is_some());
}

#[tokio::test]
async fn what_cannot_be_built_from_is_refused_and_yesterday_stays() {
    let world = World::new().await;
    let nothing = world.job().run(None, &world.deadline).await.unwrap_err();
    assert_eq!(nothing.kind, ErrorKind::Invalid);
    assert_eq!(world.pointer().await, None);
    world.day(0, 2_000, 1).await;
    world.job().run(None, &world.deadline).await.unwrap();

    let no_such_day = world
        .job()
        .run(Some(date(1)), &world.deadline)
        .await
        .unwrap_err();
    assert_eq!(no_such_day.kind, ErrorKind::Invalid);
    world.day(1, 799, 2).await;
    let thin = world.job().run(None, &world.deadline).await.unwrap_err();
    assert_eq!(thin.kind, ErrorKind::Invalid);
    assert!(thin.to_string().contains("799 rows against 2000"), "{thin}");
    assert_eq!(world.pointer().await.as_deref(), Some("2026-11-20.1"));

    let forced = world
        .job()
        .with(|options| options.force = true)
        .run(None, &world.deadline)
        .await
        .unwrap();
    assert_eq!(forced.generation, "2026-11-21.1");
    assert_eq!(world.pointer().await.as_deref(), Some("2026-11-21.1"));
}

#[tokio::test]
async fn today_is_still_filling_and_is_not_judged() {
    let world = World::new().await;
    world.day(1, 2_000, 1).await;
    world.day(2, 10, 2).await;
    let report = world.job().run(None, &world.deadline).await.unwrap();
    assert_eq!((report.date, report.events), (date(2), 2_010));
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_named_and_yesterday_stays() {
    let world = World::new().await;
    world.day(0, 2_000, 1).await;
    world.job().run(None, &world.deadline).await.unwrap();
    world.day(1, 2_000, 2).await;
    let file = world
        .lake
        .files(date(1), &world.deadline)
        .await
        .unwrap()
        .remove(0);
    let whole = world
        .objects
        .get(&file.key, 1 << 20, &world.deadline)
        .await
        .unwrap();
    let profiles = world
        .lake
        .profile_files(date(0), &world.deadline)
        .await
        .unwrap();
    let of_another_schema = world
        .objects
        .get(&profiles[0].key, 1 << 20, &world.deadline)
        .await
        .unwrap();
    for cut in [
        whole.slice(..whole.len() / 2),
        whole.slice(8..),
        whole.slice(..0),
        of_another_schema,
        Bytes::from_static(BOMB),
    ] {
        world
            .objects
            .put(&file.key, cut, &world.deadline)
            .await
            .unwrap();
        let error = world
            .job()
            .with(|options| options.force = true)
            .run(None, &world.deadline)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.to_string().contains(&file.key), "{error}");
    }
    assert_eq!(world.pointer().await.as_deref(), Some("2026-11-20.1"));
}

#[tokio::test]
async fn a_kill_at_any_write_leaves_the_old_generation_serving() {
    for kill_at in 1.. {
        let world = World::new().await;
        world.day(0, 500, 1).await;
        world.job().run(None, &world.deadline).await.unwrap();
        world.day(1, 500, 2).await;
        world.objects.dies_at(kill_at);
        let killed = world.job().run(None, &world.deadline).await;
        if !world.objects.is_dead() {
            assert!(
                killed.is_ok() && kill_at > 18,
                "parts, index, manifest, pointer"
            );
            break;
        }
        assert!(killed.is_err());
        world.objects.dies_at(i64::MAX);
        assert_eq!(world.pointer().await.as_deref(), Some("2026-11-20.1"));
        world.reader.refresh(&world.deadline).await.unwrap();
        assert_eq!(world.reader.current().unwrap().generation(), "2026-11-20.1");
        let again = world.job().run(None, &world.deadline).await.unwrap();
        assert!(
            again.generation.starts_with("2026-11-21."),
            "{}",
            again.generation
        );
        world.reader.refresh(&world.deadline).await.unwrap();
        assert_eq!(
            world.reader.current().unwrap().generation(),
            again.generation
        );
    }
}

#[tokio::test]
async fn a_night_publishes_a_ranker_and_one_that_loses_leaves_it() {
    let world = World::new().await;
    for day in -4..=1 {
        world.shown(day, (day + 10) as u64).await;
    }
    let with = |train: TrainOptions| {
        let mut options = Options::default();
        options.build.ranker = Some(TrainOptions {
            rows_min: 100,
            trees_max: 20,
            ..train
        });
        world.job_with(options)
    };
    let model = || async {
        world.reader.refresh(&world.deadline).await.unwrap();
        world.reader.current().unwrap().model().to_vec()
    };
    let first = with(TrainOptions::default());
    let first = first.run(None, &world.deadline).await.unwrap();
    let trained = first.ranker.unwrap();
    assert_eq!(trained.outcome, Outcome::Published, "{trained:?}");
    let published = model().await;
    assert!(!published.is_empty());
    // Nothing to learn from on a side: the model of before is carried over.
    let few = TrainOptions::default();
    let mut options = Options::default();
    options.build.ranker = Some(few);
    let again = world.job_with(options);
    let again = again.run(None, &world.deadline).await.unwrap();
    assert_eq!(again.ranker.unwrap().outcome, Outcome::Kept);
    assert_eq!(model().await, published);
    // A tree that is only shown the scene, which is always the same, against one that knows tastes.
    let weak = with(TrainOptions {
        trees_max: 1,
        depth: 1,
        feature_share: 0.01,
        seed: 6,
        ..TrainOptions::default()
    });
    let weak = weak.run(None, &world.deadline).await.unwrap();
    assert_eq!(weak.ranker.unwrap().outcome, Outcome::Kept);
    assert_eq!(model().await, published);
}

#[tokio::test]
async fn one_run_at_a_time() {
    let world = World::new().await;
    world.day(0, 500, 1).await;
    let life = profile::LEASE_LIFE;
    let lease = world
        .control
        .acquire("profile", "another", life, &world.deadline)
        .await
        .unwrap();
    let refused = world.job().run(None, &world.deadline).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    world.clock.advance(life);
    assert!(lease.is_some() && world.job().run(None, &world.deadline).await.is_ok());
}

#[tokio::test]
async fn where_a_preload_follows_the_pointer_is_left_to_it() {
    let world = World::new().await;
    let job = world.job().with(|options| options.preloads = true);
    let publishes = |day: i64| {
        let (job, world) = (&job, &world);
        async move {
            world.day(day, 2_000, 1 + day as u64).await;
            job.run(None, &world.deadline).await.unwrap();
            let next = world.generations.next(&world.deadline).await.unwrap();
            let next = next.map(|next| next.generation.to_string());
            (world.pointer().await, next)
        }
    };
    let named = |name: &str| Some(name.to_owned());
    let first = publishes(0).await;
    assert_eq!(first, (named("2026-11-20.1"), None), "nothing serves yet");
    let second = publishes(1).await;
    assert_eq!(second, (named("2026-11-20.1"), named("2026-11-21.1")));
    let pointed = world.generations.point_to_next(&world.deadline).await;
    assert!(pointed.unwrap());
    let third = publishes(2).await;
    assert_eq!(third, (named("2026-11-21.1"), named("2026-11-22.1")));
    let fourth = publishes(3).await;
    assert_eq!(
        fourth,
        (named("2026-11-23.1"), None),
        "nobody came for the last one"
    );
}
