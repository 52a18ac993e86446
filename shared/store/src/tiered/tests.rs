//! The tiers as a whole, on a real index, with time that only moves when it is waited for;
//! `outages` when something fails, `shared` with a real Redis.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use engine::{CategoriesMatch, Rung, UserState};
use futures_util::future::join_all;

use super::*;
use crate::Cohort;
use crate::ask::{Kind, Who};
use crate::testing::user;
use world::{Process, VIDEOS, World, anyone, by, has_cause, ids, profile, v};

mod callers;
mod canonical;
mod crowds;
mod mutated;
mod outages;
mod shared;
mod storms;
mod world;

async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_askers_of_one_cold_key_cost_one_read() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.watched("u1", &[0, 3, 6]).await;
    world.slow(50);
    let answers = join_all((0..1_000).map(|_| process.ask(by("u1"), &world))).await;
    assert_eq!(world.user_reads(), 1);
    let slates: HashSet<_> = answers
        .iter()
        .map(|answer| answer.slate.slate_id.clone())
        .collect();
    assert_eq!(slates.len(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| answer.slate.rung == Rung::Personal)
    );
    assert_eq!(answers[0].slate.degraded, Vec::<String>::new());
    assert_eq!(answers[0].slate.items.len(), 200);
    assert_eq!(
        process.ask(by("u1"), &world).await.outcome,
        TierOutcome::LocalHit
    );
    process.settle().await;
    assert_eq!(process.tiered.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn unknown_users_are_read_once_a_moment_and_served_what_the_market_watches() {
    let world = World::new().await;
    let process = world.process(None).await;
    for round in 0..10 {
        for number in 0..1_000 {
            let answer = process.ask(by(&format!("nobody{number}")), &world).await;
            assert_eq!(answer.slate.rung, Rung::Trending, "round {round}");
            assert!(
                answer.slate.degraded.is_empty(),
                "{:?}",
                answer.slate.degraded
            );
        }
        pass(149).await;
    }
    assert_eq!(world.user_reads(), 1_000);
    assert_eq!(process.runs(), 1, "everybody's slate is made once");
    world.watched("nobody1", &[0, 3]).await;
    pass(10).await;
    let answer = process.ask(by("nobody1"), &world).await;
    assert_eq!(
        answer.slate.rung,
        Rung::Personal,
        "absence is believed unasked no longer than a slate"
    );
}

#[tokio::test(start_paused = true)]
async fn the_rung_follows_what_is_known() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.watched("tastes", &[0, 3, 6]).await;
    world
        .change("profile", |state| state.profile = Some(profile()))
        .await;
    world
        .change("met", |state| state.seen = vec![UserState::seen_hash("v0")])
        .await;
    world
        .change("deleted", |state| state.tombstone_ms = Some(1))
        .await;
    let cohort = process
        .ask(by("profile"), &world)
        .await
        .slate
        .cohort
        .clone()
        .unwrap();
    let of = |number| anyone().for_whom(Who::Cohort(Cohort::new(number)));
    let session = Ask {
        session: vec![v(0), v(3)],
        ..anyone()
    };
    let cases = [
        (by("tastes"), Rung::Personal),
        (by("profile"), Rung::Cohort),
        (by("met"), Rung::Trending),
        (by("deleted"), Rung::Trending),
        (of(cohort[1..].parse().unwrap()), Rung::Cohort),
        (of(9_999), Rung::Trending),
        (anyone(), Rung::Trending),
        (session, Rung::Personal),
    ];
    for (ask, rung) in cases {
        let answer = process.ask(ask.clone(), &world).await;
        assert_eq!(answer.slate.rung, rung, "{ask:?}");
        assert!(
            answer.slate.degraded.is_empty(),
            "{ask:?}: {:?}",
            answer.slate.degraded
        );
        let distinct: HashSet<_> = ids(&answer).into_iter().collect();
        assert_eq!(distinct.len(), 200, "{ask:?}");
    }
    assert!(
        !ids(&process.ask(by("met"), &world).await).contains(&"v0"),
        "met before"
    );
}

#[tokio::test(start_paused = true)]
async fn a_users_slate_is_looked_after_within_two_seconds_and_after_a_freeze() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.watched("u1", &[0, 3, 6]).await;
    process.ask(by("u1"), &world).await;
    let version = world.watched("u1", &[9]).await;
    pass(1_499).await;
    assert_eq!(
        process.ask(by("u1"), &world).await.outcome,
        TierOutcome::LocalHit
    );
    pass(1).await;
    let answer = process.ask(by("u1"), &world).await;
    assert_eq!(
        (answer.outcome, answer.slate.user_version),
        (TierOutcome::Origin, version)
    );
    assert!(!ids(&answer).contains(&"v9"), "just watched");
    world.clock.step_wall_ms(600_000);
    world.down(true);
    let answer = process.ask(by("u1"), &world).await;
    assert_eq!(
        answer.slate.rung,
        Rung::Trending,
        "its hard life passed while frozen"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slate_for_many_is_served_stale_and_refreshed_exactly_once() {
    let world = World::new().await;
    let process = world.process(None).await;
    let first = process.ask(anyone(), &world).await;
    assert_eq!((first.outcome, process.runs()), (TierOutcome::Origin, 1));
    pass(60_000).await;
    // Fewer than make a key hot, which would then live longer.
    let answers = join_all((0..99).map(|_| process.ask(anyone(), &world))).await;
    for answer in &answers {
        assert_eq!(answer.outcome, TierOutcome::LocalStale);
        assert_eq!(answer.slate.slate_id, first.slate.slate_id);
        assert_eq!(answer.age_ms, 60_000);
    }
    process.settle().await;
    assert_eq!(process.runs(), 2);
    let fresh = process.ask(anyone(), &world).await;
    assert_eq!((fresh.outcome, fresh.age_ms), (TierOutcome::LocalHit, 0));
    assert_ne!(fresh.slate.slate_id, first.slate.slate_id);
}

#[tokio::test(start_paused = true)]
async fn an_older_generation_is_stale_and_a_newer_one_takes_over() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.watched("u1", &[0, 3, 6]).await;
    for ask in [anyone(), by("u1")] {
        assert_eq!(
            process.ask(ask, &world).await.slate.generation,
            "2026-01-01.1"
        );
    }
    world.publish("2026-01-01.10").await;
    assert!(
        process
            .generations
            .refresh(&world.deadline(60_000))
            .await
            .unwrap()
    );
    let runs = process.runs();
    let answers = join_all((0..50).map(|_| process.ask(anyone(), &world))).await;
    assert!(answers.iter().all(|a| a.outcome == TierOutcome::LocalStale));
    assert!(answers.iter().all(|a| a.slate.generation == "2026-01-01.1"));
    process.settle().await;
    assert_eq!(process.runs(), runs + 1);
    let answer = process.ask(anyone(), &world).await;
    assert_eq!(
        (answer.outcome, &*answer.slate.generation),
        (TierOutcome::LocalHit, "2026-01-01.10")
    );

    world.down(true);
    let answer = process.ask(by("u1"), &world).await;
    assert_eq!(
        (answer.slate.rung, &*answer.slate.generation),
        (Rung::Stale, "2026-01-01.1")
    );
    world.down(false);
    pass(1_000).await;
    let answer = process.ask(by("u1"), &world).await;
    assert_eq!(
        (answer.slate.rung, &*answer.slate.generation),
        (Rung::Personal, "2026-01-01.10")
    );
}

#[tokio::test(start_paused = true)]
async fn who_has_met_everything_sees_it_again_but_never_what_they_hid() {
    let world = World::new().await;
    let process = world.process(None).await;
    world
        .change("u1", |state| {
            state.seen = (0..VIDEOS)
                .map(|n| UserState::seen_hash(v(n).as_str()))
                .collect();
            state.hidden_videos = vec![v(7)];
        })
        .await;
    world.watched("u1", &[0, 3]).await;
    let answer = process.ask(by("u1"), &world).await;
    assert_eq!(
        (answer.slate.rung, answer.slate.items.len()),
        (Rung::Trending, 200)
    );
    assert!(
        has_cause(&answer, "all_seen"),
        "{:?}",
        answer.slate.degraded
    );
    assert!(!ids(&answer).contains(&"v7"));
}

#[tokio::test(start_paused = true)]
async fn categories_narrow_down_and_their_order_is_the_same_question() {
    let world = World::new().await;
    let process = world.process(None).await;
    let with = |categories: &[&str], categories_match| Ask {
        categories: categories.iter().copied().map(Into::into).collect(),
        categories_match,
        ..anyone()
    };
    let answer = process
        .ask(with(&["c1", "c2"], CategoriesMatch::Any), &world)
        .await;
    let third = |id: &str| id[1..].parse::<usize>().unwrap() % 3;
    assert!(
        ids(&answer).iter().all(|id| third(id) != 0),
        "{:?}",
        ids(&answer)
    );
    let again = process
        .ask(with(&["c2", "c1", "c2"], CategoriesMatch::Any), &world)
        .await;
    assert_eq!(again.outcome, TierOutcome::LocalHit);
    let both = process
        .ask(with(&["c1", "c2"], CategoriesMatch::All), &world)
        .await;
    assert!(both.slate.items.is_empty(), "no video is in both");
}

#[tokio::test(start_paused = true)]
async fn an_explanation_comes_with_every_item_and_is_kept_nowhere() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.watched("u1", &[0, 3, 6]).await;
    for name in ["u1", "nobody"] {
        let (answer, explained) = process.tiered.explain(by(name), &world.deadline(200)).await;
        assert_eq!(answer.slate.items.len(), explained.len());
        assert!(!explained.is_empty() && !answer.stages.is_empty());
        let stages = process.ask(by(name), &world).await.stages;
        assert!(!stages.is_empty(), "{name}: it was made anew");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_shared_tier_this_process_is_filled() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.watched("u1", &[0, 3, 6]).await;
    let session = Ask {
        session: vec![v(1)],
        ..anyone()
    };
    let asks = vec![by("u1"), anyone(), by("nobody"), session];
    let ttl = Duration::from_secs(7_200);
    let report = process
        .tiered
        .fill(asks, ttl, &world.deadline(10_000))
        .await
        .unwrap();
    assert_eq!(
        report,
        FillReport {
            stored: 2,
            degraded: 1,
            absent: 1,
            failed: 0
        }
    );
    assert_eq!(world.user_reads(), 1, "users are read together");
    let runs = process.runs();
    for ask in [by("u1"), anyone()] {
        assert_eq!(
            process.ask(ask, &world).await.outcome,
            TierOutcome::LocalHit
        );
    }
    assert_eq!((process.runs(), world.user_reads()), (runs, 1));
    world.down(true);
    let failed = process
        .tiered
        .fill(vec![by("u1")], ttl, &world.deadline(10_000))
        .await;
    assert!(failed.is_err(), "a job is told, and tries again");
}

#[tokio::test(start_paused = true)]
async fn what_one_request_excludes_is_missing_from_no_kept_slate() {
    let world = World::new().await;
    let process = world.process(None).await;
    let (kept, _) = process.tiered.explain(anyone(), &world.deadline(200)).await;
    let best = kept.slate.items[0].video_id.clone();
    let excluding = Ask {
        exclude: vec![best.clone()],
        ..anyone()
    };
    let alone = process
        .tiered
        .explain(excluding.clone(), &world.deadline(200))
        .await
        .0;
    assert!(!ids(&alone).contains(&best.as_str()), "made for it alone");
    let first = process.ask(excluding.clone(), &world).await;
    assert!(ids(&first).contains(&best.as_str()), "left out by the page");
    let ttl = Duration::from_secs(60);
    let filled = process
        .tiered
        .fill(vec![excluding], ttl, &world.deadline(200))
        .await;
    assert_eq!(filled.unwrap().stored, 1);
    assert_eq!(ids(&process.ask(anyone(), &world).await)[0], best.as_str());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_at_hand_is_fetched_and_asked_for_once() {
    let world = World::new().await;
    let process = world.process(None).await;
    let (tiered, deadline) = (&process.tiered, world.deadline(200));
    let ask = tiered.canonical(anyone(), &tiered.inner.tuning.snapshot());
    let key = ask.key();
    let now = || deadline.clock().now();
    assert!(tiered.at_hand(&ask, key, now()).is_none());
    let fetched = tiered.fetch(&ask, key, &deadline).await;
    assert_eq!(fetched.outcome, TierOutcome::Origin);
    let at_hand = tiered.at_hand(&ask, key, now()).unwrap();
    assert_eq!(at_hand.outcome, TierOutcome::LocalHit);
    assert!(Arc::ptr_eq(&at_hand.slate, &fetched.slate));
    // Two questions so far: the hundredth makes it hot.
    for asked in 3..=crate::hot::HOT_ASKS {
        assert!(!tiered.inner.hot.is_hot(key), "{asked}");
        tiered.slate(anyone(), &deadline).await;
    }
    assert!(tiered.inner.hot.is_hot(key));
}
