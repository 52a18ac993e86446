//! Who is left alone, and who is not because of it.

use super::*;
use crate::Tuning;

/// A document with these sections of `guard` and `store`.
fn tuned(process: &Process, document: &str) {
    let live = &process.tiered.inner.tuning;
    live.offer(document).unwrap();
}

async fn personal_with_cohort(world: &World, process: &Process, name: &str) {
    world.watched(name, &[0, 3, 6]).await;
    world
        .change(name, |state| state.profile = Some(profile()))
        .await;
    let answer = process.ask(by(name), world).await;
    assert_eq!(answer.slate.rung, Rung::Personal);
    assert!(answer.slate.cohort.is_some());
}

#[tokio::test(start_paused = true)]
async fn after_three_timeouts_a_user_is_answered_from_the_cohort_for_thirty_seconds_alone() {
    let world = World::new().await;
    let process = world.process(None).await;
    for name in ["u1", "u2"] {
        personal_with_cohort(&world, &process, name).await;
    }
    world.slow(100);
    for _ in 0..3 {
        pass(2_000).await;
        let answer = process.ask(by("u1"), &world).await;
        assert!(
            has_cause(&answer, "users_timeout"),
            "{:?}",
            answer.slate.degraded
        );
    }
    world.slow(0);
    let reads = world.user_reads();
    for _ in 0..4 {
        pass(7_000).await;
        let answer = process.ask(by("u1"), &world).await;
        assert_eq!(answer.slate.rung, Rung::Cohort);
        assert!(
            has_cause(&answer, "user_open"),
            "{:?}",
            answer.slate.degraded
        );
    }
    assert_eq!(world.user_reads(), reads, "nothing of theirs is loaded");
    let other = process.ask(by("u2"), &world).await;
    assert_eq!(other.slate.rung, Rung::Personal);
    pass(3_000).await;
    let answer = process.ask(by("u1"), &world).await;
    assert_eq!(answer.slate.rung, Rung::Personal);
}

#[tokio::test(start_paused = true)]
async fn who_wants_explanations_is_timed_and_left_alone_like_everybody() {
    let world = World::new().await;
    let process = world.process(None).await;
    personal_with_cohort(&world, &process, "u1").await;
    world.slow(100);
    pass(2_000).await;
    for _ in 0..3 {
        process.tiered.explain(by("u1"), &world.deadline(50)).await;
        pass(2_000).await;
    }
    world.slow(0);
    let reads = world.user_reads();
    let deadline = world.deadline(200);
    let (answer, explained) = process.tiered.explain(by("u1"), &deadline).await;
    assert!(
        has_cause(&answer, "user_open"),
        "{:?}",
        answer.slate.degraded
    );
    assert_eq!(answer.slate.rung, Rung::Cohort);
    assert_eq!((explained.len(), world.user_reads()), (0, reads));
}

#[tokio::test(start_paused = true)]
async fn a_network_whose_loads_take_more_than_800_ms_is_left_alone_and_others_are_not() {
    let world = World::new().await;
    let process = world.process(None).await;
    tuned(
        &process,
        r#"{"store":{"budgets":{"tables_ms":5000,"load_ms":10000}},"guard":{"lag":{"at_once":200}}}"#,
    );
    let of = |name: &str, network| Ask {
        network: Some(network),
        ..by(name)
    };
    for number in 0..201 {
        world.watched(&format!("u{number}"), &[0, 3, 6]).await;
    }
    // A hundred at once, as different users: the load takes 900 ms, whatever its askers wait.
    world.slow(900);
    let ask = async |number: usize| {
        let deadline = world.deadline(5);
        let asked = of(&format!("u{number}"), 7);
        process.tiered.slate(asked, &deadline).await
    };
    for answers in [0..99, 99..100] {
        let before = process.ask(of("u200", 9), &world).await;
        assert!(!has_cause(&before, "region_open"));
        join_all(answers.map(&ask)).await;
        pass(2_000).await;
    }
    world.slow(0);
    let reads = world.user_reads();
    let answer = process.ask(of("u150", 7), &world).await;
    assert!(
        has_cause(&answer, "region_open"),
        "{:?}",
        answer.slate.degraded
    );
    assert_eq!(
        (answer.slate.rung, world.user_reads()),
        (Rung::Trending, reads)
    );
    let other = process.ask(of("u151", 8), &world).await;
    assert_eq!(other.slate.rung, Rung::Personal);
    pass(30_000).await;
    let answer = process.ask(of("u152", 7), &world).await;
    assert_eq!(answer.slate.rung, Rung::Personal);
}

#[tokio::test(start_paused = true)]
async fn thresholds_are_those_of_the_document_in_force() {
    let world = World::new().await;
    let process = world.process(None).await;
    personal_with_cohort(&world, &process, "u1").await;
    tuned(
        &process,
        r#"{"guard":{"user_breaker":{"timeouts":1,"open_ms":1000}}}"#,
    );
    assert_eq!(Tuning::default().guard.user_breaker.timeouts, 3);
    world.slow(100);
    pass(2_000).await;
    process.ask(by("u1"), &world).await;
    world.slow(0);
    pass(1_000).await;
    let answer = process.ask(by("u1"), &world).await;
    assert!(
        has_cause(&answer, "user_open"),
        "{:?}",
        answer.slate.degraded
    );
    pass(1_000).await;
    assert_eq!(
        process.ask(by("u1"), &world).await.slate.rung,
        Rung::Personal
    );
}

#[tokio::test]
async fn what_one_process_admitted_the_others_hear_on_the_way_of_their_next_miss() {
    let fleet = shared::Fleet::new().await;
    let (here, there) = (fleet.process().await, fleet.process().await);
    fleet.world.watched("u1", &[0, 3, 6]).await;
    let key = UserState::user_hash(&user("u1"));
    let admitted = |process: &Process, asks: usize| {
        let limit = process.tiered.user_limit();
        (0..asks).filter(|_| limit.take(key).is_ok()).count()
    };
    for process in [&here, &there] {
        // So slow that the test's own time brings no token.
        process.tiered.user_limit().reconfigure(0.01, 40.0);
        assert_eq!(admitted(process, 1), 1);
        process.ask(by("u1"), &fleet.world).await;
        process.settle().await;
    }
    fleet.pass_ms(2_000);
    assert_eq!((admitted(&here, 30), admitted(&there, 1)), (30, 1));
    for process in [&here, &there] {
        process.ask(by("u1"), &fleet.world).await;
        process.settle().await;
    }
    assert_eq!(admitted(&there, 100), 40 - 2 - 30);
    // What was admitted there after the first look here, too.
    assert_eq!(admitted(&here, 100), 40 - 1 - 30 - 1);
    for key in fleet.keys().await {
        assert!(!key.contains("u1"), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_behind_computes_nothing_new_for_users() {
    let world = World::new().await;
    let process = world.process(None).await;
    tuned(&process, r#"{"guard":{"lag":{"at_once":1}}}"#);
    for number in 0..12 {
        world.watched(&format!("u{number}"), &[0, 3, 6]).await;
    }
    // Everybody's is at hand, as it is where many ask.
    process.ask(anyone(), &world).await;
    let ask = async |number: usize| {
        let deadline = world.deadline(1_000);
        let asked = by(&format!("u{number}"));
        process.tiered.slate(asked, &deadline).await
    };
    // One after the other, 40 ms each: they wait 0, 40, 80, 120 ms and so on, and from the fifth on
    // everybody has waited too long for a tenth of a second.
    world.slow(40);
    let answers = join_all((0..10).map(&ask)).await;
    let personal = |answer: &&Answer| answer.slate.rung == Rung::Personal;
    assert_eq!(answers.iter().filter(personal).count(), 4);
    for answer in &answers[4..] {
        assert!(
            has_cause(answer, "overloaded"),
            "{:?}",
            answer.slate.degraded
        );
        assert_eq!(answer.slate.rung, Rung::Trending);
    }
    assert_eq!(world.user_reads(), 4);
    assert_eq!(
        ask(0).await.slate.rung,
        Rung::Personal,
        "what is at hand is served"
    );
    assert_eq!(
        ask(10).await.slate.rung,
        Rung::Personal,
        "the queue is gone"
    );
}
