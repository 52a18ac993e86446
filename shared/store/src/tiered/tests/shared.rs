//! Several processes over one real Redis, which also dies, freezes and lies.

use redis::AsyncCommands;

use super::world::Process;
use super::*;
use crate::redis::SharedKey;
use crate::redis::server::RedisServer;

pub struct Fleet {
    pub world: World,
    pub server: RedisServer,
}

impl Fleet {
    pub async fn new() -> Self {
        Self {
            world: World::new().await,
            server: RedisServer::start(&[]).await,
        }
    }

    pub async fn process(&self) -> Process {
        let shared = self.server.shared(&self.world.clock()).await;
        self.world.process(Some(shared)).await
    }

    /// Asks and waits for what the answer set off.
    pub async fn ask(&self, process: &Process, ask: Ask) -> Answer {
        let answer = process.ask(ask, &self.world).await;
        process.settle().await;
        answer
    }

    async fn raise(&self, process: &Process, version: u64) {
        let shared = process.tiered.shared().unwrap();
        let deadline = self.world.deadline(2_000);
        shared
            .raise_user_version(&user("u1"), version, &deadline)
            .await
            .unwrap();
    }

    pub async fn keys(&self) -> Vec<String> {
        self.server.client().await.keys("*").await.unwrap()
    }

    pub fn pass_ms(&self, ms: i64) {
        self.world.clock.step_wall_ms(ms);
    }
}

fn seen(answer: &Answer) -> (Rung, TierOutcome) {
    (answer.slate.rung, answer.outcome)
}

#[tokio::test]
async fn what_one_process_made_others_are_served_without_a_read() {
    let fleet = Fleet::new().await;
    let (a, b) = (fleet.process().await, fleet.process().await);
    fleet.world.watched("u1", &[0, 3, 6]).await;
    for ask in [by("u1"), anyone()] {
        let made = fleet.ask(&a, ask.clone()).await;
        assert_eq!(made.outcome, TierOutcome::Origin);
        let found = fleet.ask(&b, ask).await;
        assert_eq!(found.outcome, TierOutcome::SharedHit);
        assert_eq!(found.slate, made.slate);
    }
    assert_eq!((fleet.world.user_reads(), b.runs()), (1, 0));
}

#[tokio::test]
async fn a_users_version_decides_whether_a_slate_still_holds() {
    let fleet = Fleet::new().await;
    let (a, b) = (fleet.process().await, fleet.process().await);
    fleet.world.watched("u1", &[0, 3, 6]).await;
    let first = fleet.ask(&a, by("u1")).await;
    fleet.ask(&b, by("u1")).await;
    fleet.pass_ms(2_000);
    for process in [&a, &b] {
        let confirmed = fleet.ask(process, by("u1")).await;
        assert_eq!(
            seen(&confirmed),
            (Rung::Personal, TierOutcome::LocalConfirmed)
        );
        assert_eq!(
            fleet.ask(process, by("u1")).await.outcome,
            TierOutcome::LocalHit
        );
    }
    assert_eq!(fleet.world.user_reads(), 1, "a comparison is no read");

    let version = fleet.world.watched("u1", &[9]).await;
    fleet.raise(&a, version).await;
    assert_eq!(
        fleet.ask(&a, by("u1")).await.outcome,
        TierOutcome::LocalHit,
        "within 2 s"
    );
    fleet.pass_ms(2_000);
    let anew = fleet.ask(&a, by("u1")).await;
    assert_eq!(
        (anew.outcome, anew.slate.user_version),
        (TierOutcome::Origin, version)
    );
    assert_ne!(anew.slate.slate_id, first.slate.slate_id);
    // A third process never had the old one: it takes what the first one made.
    let c = fleet.process().await;
    assert_eq!(fleet.ask(&c, by("u1")).await.slate, anew.slate);
    // The second one, while users cannot be read, stands on its old slate, and says so.
    fleet.world.down(true);
    assert_eq!(
        seen(&fleet.ask(&b, by("u1")).await),
        (Rung::Stale, TierOutcome::Fallback)
    );
}

#[tokio::test]
async fn a_slate_whose_users_version_is_not_known_is_not_believed() {
    let fleet = Fleet::new().await;
    let (a, b) = (fleet.process().await, fleet.process().await);
    fleet.world.watched("u1", &[0, 3, 6]).await;
    let first = fleet.ask(&a, by("u1")).await;
    let version_key = SharedKey::user_version(&user("u1"));
    let _: () = fleet
        .server
        .client()
        .await
        .del(version_key.as_str())
        .await
        .unwrap();
    let anew = fleet.ask(&b, by("u1")).await;
    assert_eq!(anew.outcome, TierOutcome::Origin);
    // But when the user cannot be read, it is better than nothing, and costs one try a second.
    let _: () = fleet
        .server
        .client()
        .await
        .del(version_key.as_str())
        .await
        .unwrap();
    fleet.world.down(true);
    let c = fleet.process().await;
    let reads = fleet.world.user_reads();
    for _ in 0..10 {
        let stale = fleet.ask(&c, by("u1")).await;
        assert_eq!(seen(&stale), (Rung::Stale, TierOutcome::Fallback));
        assert!(stale.slate.items == first.slate.items || stale.slate.items == anew.slate.items);
    }
    assert_eq!(fleet.world.user_reads(), reads + 1);
}

#[tokio::test]
async fn who_was_absent_is_known_within_two_seconds_and_until_then_costs_no_read() {
    let fleet = Fleet::new().await;
    let a = fleet.process().await;
    let rung = async || fleet.ask(&a, by("u1")).await.slate.rung;
    assert_eq!(rung().await, Rung::Trending);
    fleet.pass_ms(1_500);
    assert_eq!(rung().await, Rung::Trending);
    assert_eq!(fleet.world.user_reads(), 1, "a comparison is no read");
    let version = fleet.world.watched("u1", &[0, 3, 6]).await;
    fleet.raise(&a, version).await;
    assert_eq!(rung().await, Rung::Trending, "within 2 s");
    fleet.pass_ms(1_500);
    assert_eq!(rung().await, Rung::Personal);
}

#[tokio::test]
async fn that_somebody_is_absent_is_believed_for_five_seconds_whatever_redis_forgot() {
    let fleet = Fleet::new().await;
    let a = fleet.process().await;
    for _ in 0..4 {
        fleet.ask(&a, by("u1")).await;
        fleet.pass_ms(1_500);
    }
    fleet.ask(&a, by("u1")).await;
    assert_eq!(fleet.world.user_reads(), 2);
    fleet.world.watched("u1", &[0, 3, 6]).await;
    fleet.pass_ms(5_000);
    let answer = fleet.ask(&a, by("u1")).await;
    assert_eq!(answer.slate.rung, Rung::Personal);
}

#[tokio::test]
async fn a_read_that_lags_behind_the_known_version_is_repeated() {
    let fleet = Fleet::new().await;
    let a = fleet.process().await;
    let version = fleet.world.watched("u1", &[0, 3, 6]).await;
    fleet.raise(&a, version).await;
    fleet.ask(&a, by("u1")).await;
    assert_eq!(fleet.world.user_reads(), 1);
    fleet.raise(&a, version + 1).await;
    fleet.pass_ms(2_000);
    fleet.ask(&a, by("u1")).await;
    assert_eq!(
        fleet.world.user_reads(),
        3,
        "an eventual read, then a consistent one"
    );
}

#[tokio::test]
async fn a_stale_slate_for_many_is_served_from_the_shared_tier_and_refreshed_once() {
    let fleet = Fleet::new().await;
    let (a, b) = (fleet.process().await, fleet.process().await);
    let first = fleet.ask(&a, anyone()).await;
    fleet.pass_ms(60_000);
    let stale = fleet.ask(&b, anyone()).await;
    assert_eq!(
        (stale.outcome, &stale.slate),
        (TierOutcome::SharedStale, &first.slate)
    );
    assert_eq!(b.runs(), 1);
    let fresh = fleet.ask(&b, anyone()).await;
    assert_eq!(fresh.outcome, TierOutcome::LocalHit);
    assert_ne!(fresh.slate.slate_id, first.slate.slate_id);
    // The first process finds it stale too, and its refresh finds the new one in the shared tier.
    assert_eq!(
        fleet.ask(&a, anyone()).await.outcome,
        TierOutcome::LocalStale
    );
    assert_eq!(fleet.ask(&a, anyone()).await.slate, fresh.slate);
    assert_eq!(a.runs(), 1);
}

#[tokio::test]
async fn another_keys_value_is_never_served() {
    let fleet = Fleet::new().await;
    let (a, b) = (fleet.process().await, fleet.process().await);
    fleet.world.watched("u1", &[0, 3, 6]).await;
    fleet.world.watched("u2", &[1, 4, 7]).await;
    let (mine, foreign) = (fleet.ask(&a, by("u1")).await, fleet.ask(&a, by("u2")).await);
    assert_ne!(ids(&mine), ids(&foreign));
    let key = |name: &str| SharedKey::slate(by(name).key(), Some(&user(name)));
    let mut client = fleet.server.client().await;
    let _: () = redis::cmd("COPY")
        .arg(key("u2").as_str())
        .arg(key("u1").as_str())
        .arg("REPLACE")
        .query_async(&mut client)
        .await
        .unwrap();
    let answer = fleet.ask(&b, by("u1")).await;
    assert_eq!(seen(&answer), (Rung::Personal, TierOutcome::Origin));
    assert!(
        has_cause(&answer, "redis_corrupt"),
        "{:?}",
        answer.slate.degraded
    );
    assert_eq!(ids(&answer), ids(&mine));
    let again = fleet.ask(&b, by("u1")).await;
    assert!(
        again.slate.degraded.is_empty(),
        "the cause is not kept with the slate"
    );
}

#[tokio::test]
async fn sessions_absent_users_and_answers_with_holes_stay_in_the_process() {
    let fleet = Fleet::new().await;
    let a = fleet.process().await;
    let session = Ask {
        session: vec![v(0), v(3)],
        ..anyone()
    };
    fleet.ask(&a, session).await;
    assert_eq!(fleet.keys().await, Vec::<String>::new());
    fleet.ask(&a, by("nobody")).await;
    let everybody = SharedKey::slate(anyone().key(), None);
    assert_eq!(
        fleet.keys().await,
        [everybody.as_str()],
        "only everybody's slate"
    );

    let empty = Fleet {
        world: World::without_index(),
        server: RedisServer::start(&[]).await,
    };
    let b = empty.process().await;
    assert_eq!(empty.ask(&b, anyone()).await.slate.rung, Rung::Builtin);
    assert_eq!(empty.keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_killed_redis_costs_no_answer_and_is_used_again_when_it_is_back() {
    let mut fleet = Fleet::new().await;
    let a = fleet.process().await;
    for number in 0..20 {
        fleet
            .world
            .watched(&format!("u{number}"), &[number, number + 3])
            .await;
    }
    fleet.server.kill();
    for number in 0..20 {
        let answer = fleet.ask(&a, by(&format!("u{number}"))).await;
        assert_eq!(seen(&answer), (Rung::Personal, TierOutcome::Origin));
        let causes = ["redis_open", "redis_unavailable"];
        assert!(
            causes.iter().any(|cause| has_cause(&answer, cause)),
            "{:?}",
            answer.slate.degraded
        );
    }
    fleet.server.restart().await;
    let mut tries = 0;
    while fleet.keys().await.is_empty() {
        tries += 1;
        assert!(tries < 100, "not used within two seconds");
        fleet.world.watched(&format!("again{tries}"), &[0, 3]).await;
        assert_eq!(
            fleet.ask(&a, by(&format!("again{tries}"))).await.slate.rung,
            Rung::Personal
        );
        pass(20).await;
    }
    assert!(tries > 0);
}

#[tokio::test]
async fn a_frozen_redis_costs_its_budget_and_the_answer_stays_personal() {
    let fleet = Fleet::new().await;
    let a = fleet.process().await;
    for number in 0..10 {
        fleet
            .world
            .watched(&format!("u{number}"), &[number, number + 3])
            .await;
    }
    fleet.server.signal("STOP");
    // From here on time only passes while it is waited for.
    tokio::time::pause();
    let mut longest = Duration::ZERO;
    for number in 0..10 {
        let began = fleet.world.clock.now().mono;
        let answer = a.ask(by(&format!("u{number}")), &fleet.world).await;
        longest = longest.max(fleet.world.clock.now().mono - began);
        assert_eq!(answer.slate.rung, Rung::Personal);
        let causes = ["redis_timeout", "redis_open", "redis_unavailable"];
        let named = causes.iter().any(|cause| has_cause(&answer, cause));
        assert!(named, "{:?}", answer.slate.degraded);
    }
    fleet.server.signal("CONT");
    println!("shown: Redis frozen, 10 users: {longest:?} lost at most");
    // Its budget, and a few ticks of timers.
    assert!(longest <= Duration::from_millis(35), "{longest:?}");
    assert!(longest >= Duration::from_millis(30), "nothing was frozen");
}

#[tokio::test]
async fn what_was_filled_in_is_served_everywhere() {
    let fleet = Fleet::new().await;
    let (job, a) = (fleet.process().await, fleet.process().await);
    let mut asks = vec![anyone(), anyone().for_whom(Who::Cohort(Cohort::new(0)))];
    for number in 0..150 {
        fleet
            .world
            .watched(&format!("u{number}"), &[number % VIDEOS])
            .await;
        asks.push(by(&format!("u{number}")));
    }
    let ttl = Duration::from_secs(7_200);
    let filled = job
        .tiered
        .fill(asks.clone(), ttl, &fleet.world.deadline(30_000))
        .await
        .unwrap();
    assert_eq!(
        filled,
        FillReport {
            stored: 152,
            ..FillReport::default()
        }
    );
    let reads = fleet.world.user_reads();
    for ask in asks {
        assert_eq!(
            a.ask(ask, &fleet.world).await.outcome,
            TierOutcome::SharedHit
        );
    }
    assert_eq!((a.runs(), fleet.world.user_reads()), (0, reads));
    let mut client = fleet.server.client().await;
    for key in fleet.keys().await {
        let ttl_ms: i64 = client.pttl(&key).await.unwrap();
        assert!(ttl_ms > 6_000_000, "{key} lives for {ttl_ms} ms");
    }
}
