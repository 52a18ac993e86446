//! What is answered when callers leave and loads fail.

use super::*;

#[tokio::test(start_paused = true)]
async fn when_the_first_asker_goes_away_the_others_are_served() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.watched("u1", &[0, 3, 6]).await;
    world.slow(50);
    let first = world.deadline(200);
    let leaving = async {
        pass(10).await;
        first.cancel();
    };
    let others = join_all((0..100).map(|_| process.ask(by("u1"), &world)));
    let (gone, others, ()) =
        futures_util::join!(process.tiered.slate(by("u1"), &first), others, leaving);
    assert_eq!(gone.outcome, TierOutcome::Fallback);
    assert!(
        others
            .iter()
            .all(|answer| answer.slate.rung == Rung::Personal)
    );
    assert_eq!(world.user_reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_for_the_load_gets_a_lower_step_and_the_load_goes_on() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.watched("u1", &[0, 3, 6]).await;
    world.slow(50);
    let start = world.clock.now().mono;
    let answer = process.tiered.slate(by("u1"), &world.deadline(20)).await;
    assert_eq!(world.clock.now().mono - start, Duration::from_millis(20));
    assert_eq!(
        (answer.slate.rung, answer.outcome),
        (Rung::Builtin, TierOutcome::Fallback)
    );
    assert!(
        has_cause(&answer, "load_timeout"),
        "{:?}",
        answer.slate.degraded
    );
    assert_eq!(answer.slate.items.len(), 200, "the most liked of the index");
    pass(40).await;
    let answer = process.ask(by("u1"), &world).await;
    assert_eq!(
        (answer.slate.rung, answer.outcome),
        (Rung::Personal, TierOutcome::LocalHit)
    );
    assert_eq!(world.user_reads(), 1);
    // With everybody's slate at hand, that is the lower step.
    process.ask(anyone(), &world).await;
    world.watched("u2", &[0]).await;
    let answer = process.tiered.slate(by("u2"), &world.deadline(20)).await;
    assert_eq!(answer.slate.rung, Rung::Trending);
}

#[tokio::test(start_paused = true)]
async fn after_a_freeze_no_lower_step_is_last_nights() {
    let world = World::new().await;
    let process = world.process(None).await;
    process.ask(anyone(), &world).await;
    world.watched("u1", &[0]).await;
    world.slow(50);
    world.clock.step_wall_ms(8 * 3_600_000);
    let answer = process.tiered.slate(by("u1"), &world.deadline(20)).await;
    assert!(has_cause(&answer, "load_timeout"));
    assert_eq!((answer.slate.rung, answer.age_ms), (Rung::Builtin, 0));
}

#[tokio::test(start_paused = true)]
async fn while_users_cannot_be_read_their_last_slate_stands_in_and_is_retried_once_a_second() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.watched("u1", &[0, 3, 6]).await;
    let fresh = process.ask(by("u1"), &world).await;
    world.down(true);
    let unseen = process.ask(by("u2"), &world).await;
    assert_eq!(
        (unseen.slate.rung, unseen.outcome),
        (Rung::Trending, TierOutcome::Fallback)
    );
    assert!(
        has_cause(&unseen, "users_unavailable"),
        "{:?}",
        unseen.slate.degraded
    );

    pass(2_000).await;
    world.tables.user_reads.store(0, Ordering::SeqCst);
    for _ in 0..100 {
        let stale = process.ask(by("u1"), &world).await;
        assert_eq!(
            (stale.slate.rung, stale.outcome),
            (Rung::Stale, TierOutcome::Fallback)
        );
        assert_eq!(stale.slate.items, fresh.slate.items);
        assert!(
            has_cause(&stale, "users_unavailable"),
            "{:?}",
            stale.slate.degraded
        );
        pass(20).await;
    }
    assert_eq!(world.user_reads(), 2, "one try a second");

    pass(600_000).await;
    let dead = process.ask(by("u1"), &world).await;
    assert_eq!(
        dead.slate.rung,
        Rung::Trending,
        "past its hard life it is not served"
    );
    world.down(false);
    pass(31_000).await;
    let healed = process.ask(by("u1"), &world).await;
    assert_eq!(
        (healed.slate.rung, healed.outcome),
        (Rung::Personal, TierOutcome::Origin)
    );
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_gave_something_up_does_not_replace_a_whole_slate() {
    let world = World::new().await;
    let process = world.process(None).await;
    let first = process.ask(anyone(), &world).await;
    pass(60_000).await;
    process.source.panics.store(true, Ordering::SeqCst);
    for round in 1..=3 {
        let answer = process.ask(anyone(), &world).await;
        assert_eq!(answer.slate.slate_id, first.slate.slate_id);
        process.settle().await;
        assert_eq!(process.runs(), 1 + round, "one try a second");
        process.ask(anyone(), &world).await;
        process.settle().await;
        assert_eq!(process.runs(), 1 + round);
        pass(1_000).await;
    }
    process.source.panics.store(false, Ordering::SeqCst);
    process.ask(anyone(), &world).await;
    process.settle().await;
    assert_ne!(
        process.ask(anyone(), &world).await.slate.slate_id,
        first.slate.slate_id
    );
}

#[tokio::test(start_paused = true)]
async fn a_load_that_panics_answers_everybody() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.watched("u1", &[0, 3, 6]).await;
    process.source.panics.store(true, Ordering::SeqCst);
    let answers = join_all((0..64).map(|_| process.ask(by("u1"), &world))).await;
    for answer in answers {
        assert_eq!(
            (answer.slate.rung, answer.slate.items.len()),
            (Rung::Builtin, 200)
        );
        assert!(
            has_cause(&answer, "load_failed"),
            "{:?}",
            answer.slate.degraded
        );
    }
    process.source.panics.store(false, Ordering::SeqCst);
    assert_eq!(
        process.ask(by("u1"), &world).await.slate.rung,
        Rung::Personal
    );
}

#[tokio::test(start_paused = true)]
async fn without_any_index_the_package_s_list_answers_until_there_is_one() {
    let world = World::without_index();
    let process = world.process(None).await;
    world.watched("u1", &[0, 3, 6]).await;
    for ask in [by("u1"), by("u2"), anyone()] {
        let answer = process.ask(ask, &world).await;
        assert_eq!(
            (answer.slate.rung, ids(&answer)),
            (Rung::Builtin, vec!["b1", "b2"])
        );
        assert!(
            has_cause(&answer, "index_missing"),
            "{:?}",
            answer.slate.degraded
        );
    }
    let narrowed = Ask {
        categories: vec!["c1".into()],
        ..anyone()
    };
    assert!(
        process.ask(narrowed, &world).await.slate.items.is_empty(),
        "cannot be narrowed down"
    );
    world.publish("2026-01-01.1").await;
    process
        .generations
        .refresh(&world.deadline(60_000))
        .await
        .unwrap();
    pass(1_000).await;
    assert_eq!(
        process.ask(by("u1"), &world).await.slate.rung,
        Rung::Personal
    );
    assert_eq!(
        process.ask(anyone(), &world).await.slate.rung,
        Rung::Trending
    );
}
