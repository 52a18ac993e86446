//! The shared tier against a real Redis; `outages` against one that fails.

use futures_util::future::join_all;
use ops::RealClock;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use redis::AsyncCommands;
use tokio::net::TcpListener;

use super::server::{RedisServer, connect};
use super::*;
use crate::ask::SlateKey;
use crate::envelope::{ENVELOPE_BYTES_MAX, Payload, VERSION};

mod cluster;
mod outages;
#[cfg(feature = "tls")]
mod tls;

const LIFE: Life = Life {
    soft: Duration::from_secs(10),
    hard: Duration::from_secs(60),
};

fn clock() -> Arc<dyn Clock> {
    Arc::new(RealClock::new())
}

fn soon(clock: &Arc<dyn Clock>) -> Deadline {
    Deadline::after(Arc::clone(clock), Duration::from_secs(2))
}

fn user() -> UserId {
    UserId::parse("u1").unwrap()
}

fn value(slate: u128, version: u64, text: &'static str, clock: &Arc<dyn Clock>) -> Stored {
    let envelope = Envelope {
        stored_at_ms: clock.now().wall_ms,
        life: LIFE,
        rank: Rank::new(version, "2026-01-01.1"),
        payload: Bytes::from_static(text.as_bytes()),
    };
    Stored {
        key: SharedKey::slate(SlateKey(slate), Some(&user())),
        envelope,
    }
}

async fn read(shared: &Shared, slate: u128, deadline: &Deadline) -> Result<Option<Bytes>, Lapse> {
    let keys = [SharedKey::slate(SlateKey(slate), Some(&user()))];
    let found = shared.mget(&keys, deadline).await?;
    Ok(found
        .into_iter()
        .next()
        .flatten()
        .map(|envelope| envelope.payload))
}

#[tokio::test]
async fn calls_that_overlap_have_a_second_connection_and_others_need_none() {
    let (server, clock) = (RedisServer::start(&[]).await, clock());
    let (shared, deadline) = (server.shared(&clock).await, soon(&clock));
    for _ in 0..20 {
        read(&shared, 1, &deadline).await.unwrap();
    }
    assert_eq!(shared.supervisor.links(), 1);
    // The second is dialled beside the calls, which do not wait for it.
    while shared.supervisor.links() < 2 {
        let reads = join_all((0..64).map(|_| read(&shared, 1, &deadline))).await;
        assert!(reads.iter().all(Result::is_ok), "{reads:?}");
    }
    let (_, link) = shared
        .supervisor
        .call("", &redis::cmd("PING"), &deadline)
        .await
        .unwrap();
    shared.supervisor.distrust(&link, "a test");
    assert_eq!(shared.supervisor.links(), 1);
    read(&shared, 1, &deadline).await.unwrap();
    assert_eq!(shared.supervisor.links(), 1, "the other one is at hand");
}

#[tokio::test]
async fn a_newer_value_is_never_overwritten_by_an_older_one() {
    let (server, clock) = (RedisServer::start(&[]).await, clock());
    let (shared, deadline) = (server.shared(&clock).await, soon(&clock));
    let mut first = value(1, 5, "first", &clock);
    let store = |value: Stored| {
        let (shared, deadline) = (shared.clone(), deadline.clone());
        async move {
            shared
                .set_together(&[value], &deadline)
                .await
                .unwrap()
                .stored
        }
    };
    assert_eq!(store(first.clone()).await, 1);
    assert_eq!(store(value(1, 4, "older user", &clock)).await, 0);
    first.envelope.rank = Rank::new(5, "2025-12-31.9");
    assert_eq!(store(first.clone()).await, 0, "an older generation");
    assert_eq!(read(&shared, 1, &deadline).await, Ok(Some("first".into())));
    // 0x0100 is more than 0x00ff, whatever the server's locale makes of the bytes.
    for (version, text) in [
        (5, "same"),
        (0xff, "next"),
        (0x100, "carry"),
        (u64::MAX, "last"),
    ] {
        assert_eq!(store(value(1, version, text, &clock)).await, 1, "{text}");
        assert_eq!(read(&shared, 1, &deadline).await, Ok(Some(text.into())));
    }
    let mut client = server.client().await;
    let key = SharedKey::slate(SlateKey(1), Some(&user()));
    let _: () = client.set(key.as_str(), "not an envelope").await.unwrap();
    assert_eq!(store(value(1, 1, "rubbish gives way", &clock)).await, 1);
}

#[tokio::test]
async fn a_users_version_only_rises_and_every_key_has_an_end() {
    let (server, clock) = (RedisServer::start(&[]).await, clock());
    let (shared, deadline) = (server.shared(&clock).await, soon(&clock));
    let raises = (1..=100_u64).map(|step| {
        let (shared, deadline) = (shared.clone(), deadline.clone());
        async move {
            shared
                .raise_user_version(&user(), step * 7 % 101, &deadline)
                .await
        }
    });
    for raised in futures_util::future::join_all(raises).await {
        raised.unwrap();
    }
    let found = shared
        .mget(&[SharedKey::user_version(&user())], &deadline)
        .await
        .unwrap();
    assert_eq!(found[0].as_ref().unwrap().rank.user_version, 100);

    let groups = (0..50)
        .map(|slate| vec![value(slate, 1, "x", &clock)])
        .collect();
    let counts = shared.set_many(groups, &deadline).await;
    assert_eq!(
        counts,
        StoreCounts {
            stored: 50,
            superseded: 0,
            failed: 0
        }
    );
    let mut client = server.client().await;
    let keys: Vec<String> = client.keys("*").await.unwrap();
    assert_eq!(keys.len(), 51);
    let mut ends = std::collections::HashSet::new();
    for key in keys {
        assert!(!key.contains("u1"), "{key} names the user");
        let ttl_ms: i64 = client.pttl(&key).await.unwrap();
        let life_ms = if key.ends_with(":v") {
            86_400_000.0
        } else {
            60_000.0
        };
        let share = ttl_ms as f64 / life_ms;
        assert!((0.85..=1.1).contains(&share), "{key} lives for {ttl_ms} ms");
        ends.insert(ttl_ms / 100);
    }
    assert!(ends.len() > 25, "lives are not spread: {ends:?}");
}

#[tokio::test]
async fn a_thousand_mutated_values_are_misses_and_none_is_another_ones() {
    let (server, clock) = (RedisServer::start(&[]).await, clock());
    let (shared, deadline) = (server.shared(&clock).await, soon(&clock));
    let (mine, other) = (value(1, 1, "mine", &clock), value(2, 1, "other", &clock));
    let key = mine.key.clone();
    let good = mine
        .envelope
        .seal(Payload::Slate, key.hash())
        .unwrap()
        .to_vec();
    let mut client = server.client().await;
    let mut runner = TestRunner::deterministic();
    let mutations = (
        0u8..4,
        0usize..good.len(),
        0u8..8,
        proptest::collection::vec(0u8.., 0..64),
    );
    for round in 0..1_000 {
        let (kind, at, bit, noise) = mutations.new_tree(&mut runner).unwrap().current();
        let mut bytes = good.clone();
        match kind {
            0 => bytes[at] ^= 1 << bit,
            1 => bytes.truncate(at),
            2 => bytes[3] = VERSION + 1 + bit,
            _ => bytes = noise,
        }
        let _: () = client.set(key.as_str(), bytes).await.unwrap();
        let deadline = soon(&clock);
        assert_eq!(
            read(&shared, 1, &deadline).await,
            Ok(None),
            "round {round}, kind {kind}"
        );
    }
    for huge in [ENVELOPE_BYTES_MAX + 1, 10 << 20] {
        let _: () = client.set(key.as_str(), vec![b'R'; huge]).await.unwrap();
        assert_eq!(
            read(&shared, 1, &soon(&clock)).await,
            Ok(None),
            "{huge} bytes"
        );
    }
    let foreign = other
        .envelope
        .seal(Payload::Slate, other.key.hash())
        .unwrap()
        .to_vec();
    let _: () = client.set(key.as_str(), foreign).await.unwrap();
    assert_eq!(
        read(&shared, 1, &soon(&clock)).await,
        Err(Lapse::Corrupt),
        "foreign"
    );
    // The connection is given up; the next call brings a new one.
    let _: () = client.set(key.as_str(), good).await.unwrap();
    assert_eq!(read(&shared, 1, &deadline).await, Ok(Some("mine".into())));
}

#[tokio::test]
async fn an_address_that_never_answers_holds_nobody_up_and_tls_can_be_prepared() {
    let clock = clock();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = RedisSettings::new(&format!("redis://{}", silent.local_addr().unwrap()));
    let deadline = Deadline::after(Arc::clone(&clock), Duration::from_millis(50));
    let shared = Shared::connect(&settings, Arc::clone(&clock), Tasks::new(), &deadline)
        .await
        .unwrap();
    let deadline = Deadline::after(Arc::clone(&clock), Duration::from_millis(30));
    assert_eq!(read(&shared, 1, &deadline).await, Err(Lapse::Timeout));
    for url in [
        "rediss://cache.example:6379",
        "rediss://cache.example:6379?cluster=true",
    ] {
        let prepared = Dialer::new(&RedisSettings::new(url));
        assert_eq!(prepared.is_ok(), cfg!(feature = "tls"), "{url}");
    }
}
