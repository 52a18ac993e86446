//! Many who ask for the same thing: in one process, and in several over one real Redis.

use super::shared::Fleet;
use super::world::Process;
use super::*;

/// Everything that Redis is sent by the tiers.
const COMMANDS: [&str; 5] = ["mget", "set", "eval", "del", "incrby"];

#[tokio::test(start_paused = true)]
async fn a_hot_slate_for_many_is_never_stale_and_made_anew_before_it_would_be() {
    let world = World::new().await;
    let process = world.process(None).await;
    process.ask(anyone(), &world).await;
    let mut outcomes = [0_u32; TierOutcome::ALL.len()];
    for tick in 0..1_300_u64 {
        for number in 0..20 {
            let ask = Ask {
                seed: tick * 20 + number,
                ..anyone()
            };
            outcomes[process.ask(ask, &world).await.outcome as usize] += 1;
        }
        pass(50).await;
    }
    assert_eq!(
        outcomes[TierOutcome::LocalHit as usize],
        26_000,
        "{outcomes:?}"
    );
    assert_eq!(
        process.runs(),
        2,
        "65 seconds: kept for 40 instead of its 30, made anew once"
    );
    let hot = process.tiered.hot_keys();
    assert_eq!(hot[0].about, "recommend scene=home market= for=anyone");
}

#[tokio::test(start_paused = true)]
async fn unknown_users_in_a_crowd_are_read_once_each() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.slow(20);
    let asks = (0..10_000).map(|number| by(&format!("nobody{}", number % 1_000)));
    let asks: Vec<Ask> = asks.collect();
    let mut answered = 0;
    for crowd in asks.chunks(64) {
        let answers = join_all(crowd.iter().map(|ask| process.ask(ask.clone(), &world))).await;
        answered += answers
            .iter()
            .filter(|answer| answer.slate.rung == Rung::Trending)
            .count();
    }
    assert_eq!(answered, 10_000);
    assert!(world.user_reads() <= 1_000, "{} reads", world.user_reads());
    process.settle().await;
    assert_eq!(process.tiered.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_read_is_tried_once_a_second_however_many_ask() {
    let world = World::new().await;
    let process = world.process(None).await;
    world.watched("u1", &[0, 3]).await;
    world.down(true);
    for _ in 0..30 {
        for _ in 0..64 {
            let answer = process.ask(by("u1"), &world).await;
            assert_eq!(
                (answer.slate.rung, answer.outcome),
                (Rung::Trending, TierOutcome::Fallback)
            );
            assert!(
                has_cause(&answer, "users_unavailable"),
                "{:?}",
                answer.slate.degraded
            );
        }
        pass(100).await;
    }
    assert_eq!(world.user_reads(), 3, "in three seconds");
    world.down(false);
    pass(31_000).await;
    assert_eq!(
        process.ask(by("u1"), &world).await.slate.rung,
        Rung::Personal
    );
}

#[tokio::test]
async fn a_hot_key_is_flagged_within_a_second_and_reaches_redis_ten_times_in_any_second_at_most() {
    const SECONDS: usize = 5;
    for at_once in [1, 64] {
        for (what, ask, down) in [
            ("a user", by("u1"), false),
            ("everybody", anyone(), false),
            ("somebody unknown", by("nobody"), false),
            ("a user who cannot be read", by("u2"), true),
        ] {
            let fleet = Fleet::new().await;
            let process = fleet.process().await;
            fleet.world.watched("u1", &[0, 3, 6]).await;
            fleet.world.watched("u2", &[1, 4]).await;
            fleet.world.down(down);
            let mut calls = vec![fleet.server.calls(&COMMANDS).await];
            for _ in 0..SECONDS {
                // A second of the clock that decides, whatever of it the asking takes.
                let end_ms = fleet.world.clock.now().wall_ms + 1_000;
                while fleet.world.clock.now().wall_ms < end_ms {
                    let crowd = (0..at_once).map(|_| process.ask(ask.clone(), &fleet.world));
                    join_all(crowd).await;
                    // A thousand asks a second, or as many as the machine can.
                    fleet.pass_ms(i64::from(at_once));
                }
                let hot = process.tiered.hot_keys();
                assert!(
                    hot.iter().any(|one| one.key == ask.key()),
                    "{what}: {hot:?}"
                );
                process.settle().await;
                calls.push(fleet.server.calls(&COMMANDS).await);
            }
            let each: Vec<u64> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
            println!("shown: {what}, {at_once} at once: Redis commands by the second {each:?}");
            assert!(
                each.iter().all(|calls| *calls <= 10),
                "{what}, {at_once} at once: {each:?}"
            );
        }
    }
}

/// Every request has 30 ms, and the load takes 50: those of the first 20 ms get a lower step.
#[tokio::test(start_paused = true)]
async fn of_12_000_requests_a_second_for_a_cold_key_one_loads_and_all_but_the_first_are_served() {
    for (what, ask) in [("a user", by("u1")), ("everybody", anyone())] {
        let world = World::new().await;
        let process = world.process_tuned(None, PATIENT).await;
        world.watched("u1", &[0, 3, 6]).await;
        match ask.user() {
            Some(_) => world.slow(50),
            None => process.source.delay_ms.store(50, Ordering::SeqCst),
        }
        let mut answers = Vec::new();
        for _ in 0..1_000 {
            for _ in 0..12 {
                let (tiered, ask) = (process.tiered.clone(), ask.clone());
                let deadline = world.deadline(30);
                let asking = async move { tiered.slate(ask, &deadline).await };
                answers.push(process.tasks.spawn(asking));
            }
            pass(1).await;
        }
        let mut served = 0;
        for answer in answers {
            let answer = answer.await.unwrap();
            served += usize::from(answer.outcome != TierOutcome::Fallback);
            assert!(!answer.slate.items.is_empty());
        }
        let loads = match ask.user() {
            Some(_) => world.user_reads(),
            None => process.runs(),
        };
        println!("shown: {what}, 12,000 a second on one cold key: {loads} loads, {served} served");
        assert!((1..=2).contains(&loads), "{what}: {loads}");
        assert!(served >= 11_400, "{what}: {served}");
    }
}

/// Budgets that no busy machine uses up: what is counted must not depend on them.
const PATIENT: &str = r#"{
    "engine": {"budgets": {"request_ms": 10000, "recall_ms": 10000}},
    "store": {"budgets": {"redis_ms": 1000, "load_ms": 10000}}
}"#;

/// Eight processes, each with connections of its own, whose slates take so long to make.
async fn eight(fleet: &Fleet, origin_ms: u64, budgets: &str) -> Vec<Process> {
    let mut processes = Vec::new();
    for _ in 0..8 {
        let shared = fleet.server.shared(&fleet.world.clock()).await;
        let process = fleet.world.process_tuned(Some(shared), budgets).await;
        process.source.delay_ms.store(origin_ms, Ordering::SeqCst);
        processes.push(process);
    }
    processes
}

async fn leases(fleet: &Fleet) -> usize {
    let keys = fleet.keys().await.into_iter();
    keys.filter(|key| key.contains(":l:") || key.contains(":l2:"))
        .count()
}

#[tokio::test]
async fn of_eight_processes_that_want_one_cold_slate_two_make_it_at_most() {
    const ORIGIN_MS: u64 = 50;
    for concurrency in [1, 64] {
        let fleet = Fleet::new().await;
        let processes = eight(&fleet, ORIGIN_MS, PATIENT).await;
        let patience = fleet.world.deadline(10_000);
        let asks = processes.iter().flat_map(|process| {
            (0..concurrency).map(|_| process.tiered.slate(anyone(), &patience))
        });
        let answers = join_all(asks).await;
        let runs: usize = processes.iter().map(Process::runs).sum();
        println!(
            "shown: 8 processes × {concurrency} on one cold key, {ORIGIN_MS} ms origin: made {runs} times"
        );
        assert!((1..=2).contains(&runs), "{runs} for {concurrency}");
        let whole =
            |answer: &Answer| answer.slate.degraded.is_empty() && !answer.slate.items.is_empty();
        assert!(answers.iter().all(whole));
        for process in &processes {
            process.settle().await;
        }
        assert_eq!(leases(&fleet).await, 0, "the lease is given back");
    }
}

/// The default budgets, and what they are held against, four times over: Redis is a real one, whose
/// clock cannot be paused, so that a busy machine may take its part of them.
const FOURFOLD: &str = r#"{
    "engine": {"budgets": {"request_ms": 800, "recall_ms": 320}},
    "store": {"budgets": {"redis_ms": 120, "load_ms": 2000}}
}"#;
const FOURFOLD_ORIGIN_MS: u64 = 4 * 50;
const FOURFOLD_REQUEST_MS: u64 = 4 * 200;

#[tokio::test]
async fn of_eight_processes_at_default_budgets_two_make_a_cold_slate_at_most() {
    let fleet = Fleet::new().await;
    let processes = eight(&fleet, FOURFOLD_ORIGIN_MS, FOURFOLD).await;
    let patience = fleet.world.deadline(FOURFOLD_REQUEST_MS);
    let asks = processes
        .iter()
        .map(|process| process.tiered.slate(anyone(), &patience));
    join_all(asks).await;
    for process in &processes {
        process.settle().await;
    }
    let made: usize = processes.iter().map(Process::runs).sum();
    println!(
        "shown: 8 processes on one cold key, default budgets and origin × 4: made {made} times"
    );
    assert!((1..=2).contains(&made), "{made}");
}

#[tokio::test]
async fn a_maker_that_takes_too_long_is_followed_by_one_other_and_not_by_all() {
    let fleet = Fleet::new().await;
    let processes = eight(&fleet, 0, PATIENT).await;
    // Somebody holds the lease and never comes back; who follows takes longer than is waited.
    let held = crate::redis::SharedKey::lease(anyone().key(), None, false);
    let shared = processes[0].tiered.shared().unwrap();
    let (life, patience) = (Duration::from_secs(60), fleet.world.deadline(10_000));
    assert_eq!(shared.lease(&held, life, &patience).await, Ok(true));
    for process in &processes {
        process.source.delay_ms.store(400, Ordering::SeqCst);
    }
    let asks = processes
        .iter()
        .map(|process| process.tiered.slate(anyone(), &patience));
    let answers = join_all(asks).await;
    let runs: usize = processes.iter().map(Process::runs).sum();
    println!("shown: 8 processes, the first maker gone, the second slow: made {runs} times");
    assert!((1..=2).contains(&runs), "{runs}");
    assert!(
        answers
            .iter()
            .all(|answer| answer.slate.degraded.is_empty())
    );
    for process in &processes {
        process.settle().await;
    }
    assert_eq!(
        leases(&fleet).await,
        1,
        "only the one that is never given back"
    );
}

#[tokio::test]
async fn a_hot_users_cold_slate_is_made_by_few_and_is_the_users_own() {
    let fleet = Fleet::new().await;
    let mut processes: Vec<Process> = Vec::new();
    for _ in 0..8 {
        processes.push(fleet.process().await);
    }
    fleet.world.watched("u1", &[0, 3, 6]).await;
    fleet.world.slow(5);
    let asks = processes
        .iter()
        .flat_map(|process| (0..128).map(|_| process.ask(by("u1"), &fleet.world)));
    let answers = join_all(asks).await;
    let reads = fleet.world.user_reads();
    println!("shown: 8 processes × 128 on one user's cold slate: read {reads} times");
    assert!(reads <= 2, "{reads}");
    let foreign =
        |answer: &&Answer| answer.slate.rung == Rung::Personal && answer.slate.user_version == 0;
    assert_eq!(answers.iter().filter(foreign).count(), 0);
}

#[tokio::test]
async fn a_load_that_panics_gives_its_lease_back() {
    let fleet = Fleet::new().await;
    let process = fleet.process().await;
    process.source.panics.store(true, Ordering::SeqCst);
    let answer = process.ask(anyone(), &fleet.world).await;
    assert!(has_cause(&answer, "load_failed"));
    process.settle().await;
    assert_eq!((process.runs(), leases(&fleet).await), (1, 0));
}

#[tokio::test]
async fn a_lease_holder_who_is_gone_costs_a_request_no_slate() {
    let fleet = Fleet::new().await;
    let shared = fleet.server.shared(&fleet.world.clock()).await;
    let process = fleet.world.process_tuned(Some(shared), FOURFOLD).await;
    let origin_ms = &process.source.delay_ms;
    origin_ms.store(FOURFOLD_ORIGIN_MS, Ordering::SeqCst);
    let lease = crate::redis::SharedKey::lease(anyone().key(), None, false);
    let shared = process.tiered.shared().unwrap();
    let (life, deadline) = (Duration::from_secs(60), fleet.world.deadline(2_000));
    assert_eq!(shared.lease(&lease, life, &deadline).await, Ok(true));
    let began = fleet.world.clock.now().mono;
    let request = fleet.world.deadline(FOURFOLD_REQUEST_MS);
    let answers = join_all((0..64).map(|_| process.tiered.slate(anyone(), &request))).await;
    let took = fleet.world.clock.now().mono - began;
    process.settle().await;
    println!("shown: the holder of a lease gone, 64 requests of 4 × 200 ms: slates after {took:?}");
    assert!(
        answers
            .iter()
            .all(|answer| answer.slate.degraded.is_empty())
    );
    let next = process.ask(anyone(), &fleet.world).await;
    assert_eq!((next.slate.rung, process.runs()), (Rung::Trending, 1));
}

#[tokio::test]
async fn a_lease_whose_holder_is_gone_is_waited_out() {
    let fleet = Fleet::new().await;
    let process = fleet.process().await;
    let lease = crate::redis::SharedKey::lease(anyone().key(), None, false);
    let shared = process.tiered.shared().unwrap();
    let (life, deadline) = (Duration::from_secs(60), fleet.world.deadline(2_000));
    assert_eq!(shared.lease(&lease, life, &deadline).await, Ok(true));
    let answer = process
        .tiered
        .slate(anyone(), &fleet.world.deadline(5_000))
        .await;
    assert_eq!(
        (answer.outcome, answer.slate.degraded.len()),
        (TierOutcome::Origin, 0)
    );
    assert_eq!(process.runs(), 1);
}

#[tokio::test]
async fn slates_for_many_go_stale_at_different_times_and_one_at_the_same_everywhere() {
    let fleet = Fleet::new().await;
    let (made, found) = (fleet.process().await, fleet.process().await);
    let filled = fleet.world.process(None).await;
    let mut lives = HashSet::new();
    for kind in [Kind::Trending, Kind::Latest, Kind::Popular] {
        let ask = Ask::new(Who::Anyone, kind);
        let key = ask.key();
        made.ask(ask.clone(), &fleet.world).await;
        made.settle().await;
        found.ask(ask.clone(), &fleet.world).await;
        let deadline = fleet.world.deadline(10_000);
        let ttl = Duration::from_secs(7_200);
        filled.tiered.fill(vec![ask], ttl, &deadline).await.unwrap();
        for process in [&made, &found, &filled] {
            let held = process.tiered.inner.local.get(key).unwrap();
            lives.insert(held.life.soft);
        }
    }
    assert_eq!(lives.len(), 3, "{lives:?}");
}
