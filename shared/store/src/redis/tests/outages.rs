//! Redis killed, frozen, demoted, locked and out of step.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Most tries until it works again: two seconds of them, 20 ms apart.
const TRIES_MAX: usize = 100;
/// Calls at once: what breaks one must not be mended only because nobody else is under way.
const AT_ONCE: [usize; 2] = [1, 64];

/// Calls, so many at once, until all of them work; prints how long that took.
async fn recovery(shared: &Shared, clock: &Arc<dyn Clock>, at_once: usize, what: &str) {
    #[expect(clippy::disallowed_methods, reason = "measures, decides nothing")]
    let start = Instant::now();
    let mut lapses = Vec::new();
    for tries in 0..=TRIES_MAX {
        lapses = write_all(shared, clock, at_once, 30).await;
        if lapses.is_empty() {
            let ms = start.elapsed().as_millis();
            println!(
                "shown: redis {what}, {at_once} at once: used again after {tries} tries, {ms} ms"
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no recovery of {at_once}: {lapses:?}");
}

/// Writes so many values at once; what failed.
async fn write_all(shared: &Shared, clock: &Arc<dyn Clock>, at_once: usize, ms: u64) -> Vec<Lapse> {
    let writes = (0..at_once as u128).map(|number| async move {
        let deadline = Deadline::after(Arc::clone(clock), Duration::from_millis(ms));
        let value = value(90 + number, 1, "x", clock);
        shared.set_together(&[value], &deadline).await.err()
    });
    join_all(writes).await.into_iter().flatten().collect()
}

/// The connections that a server has besides this one, as it numbers them.
async fn others(client: &mut redis::aio::MultiplexedConnection) -> Vec<u64> {
    let own: u64 = redis::cmd("CLIENT")
        .arg("ID")
        .query_async(client)
        .await
        .unwrap();
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query_async(client)
        .await
        .unwrap();
    let id = |line: &str| {
        line.split(' ')
            .find_map(|field| field.strip_prefix("id=")?.parse().ok())
    };
    list.lines()
        .filter_map(id)
        .filter(|id| *id != own)
        .collect()
}

/// Reads one value so often at once; all must fail.
async fn lapses(shared: &Shared, clock: &Arc<dyn Clock>, at_once: usize, ms: u64) -> Vec<Lapse> {
    let reads = (0..at_once).map(|_| async move {
        let deadline = Deadline::after(Arc::clone(clock), Duration::from_millis(ms));
        read(shared, 1, &deadline).await.unwrap_err()
    });
    join_all(reads).await
}

#[tokio::test]
async fn a_killed_server_is_a_quick_lapse_and_is_used_again_when_it_is_back() {
    for at_once in AT_ONCE {
        let (mut server, clock) = (RedisServer::start(&[]).await, clock());
        let shared = server.shared(&clock).await;
        recovery(&shared, &clock, at_once, "at the start").await;
        server.kill();
        #[expect(clippy::disallowed_methods, reason = "measures, decides nothing")]
        let start = Instant::now();
        for _ in 0..200_usize.div_ceil(at_once) {
            for lapse in lapses(&shared, &clock, at_once, 30).await {
                assert!(
                    matches!(lapse, Lapse::Unavailable | Lapse::Open),
                    "{lapse:?}"
                );
            }
        }
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?} for 200 calls",
            start.elapsed()
        );
        server.restart().await;
        recovery(&shared, &clock, at_once, "killed").await;
    }
}

#[tokio::test]
async fn a_frozen_server_costs_its_deadline_and_three_timeouts_cost_the_connection() {
    for at_once in AT_ONCE {
        let (server, clock) = (RedisServer::start(&[]).await, clock());
        let shared = server.shared(&clock).await;
        recovery(&shared, &clock, at_once, "at the start").await;
        server.signal("STOP");
        for round in 0..3 {
            #[expect(clippy::disallowed_methods, reason = "measures, decides nothing")]
            let start = Instant::now();
            for lapse in lapses(&shared, &clock, at_once, 30).await {
                // Of many, those after the third find the connection given up, or the breaker open.
                let many = at_once > 1 && matches!(lapse, Lapse::Unavailable | Lapse::Open);
                assert!(many || lapse == Lapse::Timeout, "{lapse:?}, round {round}");
            }
            assert!(
                start.elapsed() < Duration::from_millis(200),
                "{:?}",
                start.elapsed()
            );
        }
        assert!(
            shared.supervisor.links() == 0,
            "a silent connection was kept"
        );
        server.signal("CONT");
        recovery(&shared, &clock, at_once, "frozen").await;
    }
}

#[tokio::test]
async fn a_demoted_server_costs_the_connection_and_a_promoted_one_is_used_again() {
    for at_once in AT_ONCE {
        let (server, clock) = (RedisServer::start(&[]).await, clock());
        let shared = server.shared(&clock).await;
        let mut client = server.client().await;
        let before = others(&mut client).await;
        // A replica of nobody: reads work, writes are READONLY.
        let _: () = redis::cmd("REPLICAOF")
            .arg("127.0.0.1")
            .arg(1)
            .query_async(&mut client)
            .await
            .unwrap();
        let refused = write_all(&shared, &clock, at_once, 2_000).await;
        assert_eq!(refused.len(), at_once, "something was written");
        assert!(refused.contains(&Lapse::Unavailable), "{refused:?}");
        assert!(
            refused
                .iter()
                .all(|lapse| matches!(lapse, Lapse::Unavailable | Lapse::Open)),
            "{refused:?}"
        );
        // Whoever still wants to write may have dialed again meanwhile.
        let mut kept = others(&mut client).await;
        for _ in 0..TRIES_MAX {
            kept.retain(|id| before.contains(id));
            if kept.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            kept = others(&mut client).await;
        }
        assert_eq!(
            kept,
            Vec::<u64>::new(),
            "a connection to a replica was kept"
        );
        let _: () = redis::cmd("REPLICAOF")
            .arg("NO")
            .arg("ONE")
            .query_async(&mut client)
            .await
            .unwrap();
        recovery(&shared, &clock, at_once, "READONLY").await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_not_fatal_and_the_right_one_recovers() {
    for at_once in AT_ONCE {
        let (server, clock) = (
            RedisServer::start(&["--requirepass", "right"]).await,
            clock(),
        );
        let with = |password: &str| RedisSettings {
            password: Some(ops::Secret::new(password)),
            ..RedisSettings::new(&server.url())
        };
        let wrong = connect(&with("wrong"), &clock).await;
        for lapse in lapses(&wrong, &clock, at_once, 2_000).await {
            assert!(
                matches!(lapse, Lapse::Unavailable | Lapse::Open),
                "{lapse:?}"
            );
        }
        let right = connect(&with("right"), &clock).await;
        let lapsed = write_all(&right, &clock, at_once, 2_000).await;
        assert_eq!(lapsed, Vec::new());

        let url = format!("redis://:right@{}", server.addr());
        let mut client = redis::Client::open(url)
            .unwrap()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let _: () = redis::cmd("CONFIG")
            .arg(&["SET", "requirepass", "wrong"])
            .query_async(&mut client)
            .await
            .unwrap();
        recovery(&wrong, &clock, at_once, "WRONGPASS").await;
    }
}

#[tokio::test]
async fn nobody_gets_anothers_value_after_a_lost_reply() {
    let (server, clock) = (RedisServer::start(&[]).await, clock());
    let proxy = Swallower::start(server.addr()).await;
    let shared = connect(
        &RedisSettings::new(&format!("redis://{}", proxy.addr)),
        &clock,
    )
    .await;
    let texts: Vec<&'static str> = (0..100).map(|i| &*format!("value {i}").leak()).collect();
    for (slate, text) in (0..).zip(&texts) {
        shared
            .set_together(&[value(slate, 1, text, &clock)], &soon(&clock))
            .await
            .unwrap();
    }
    let dialled = proxy.dialled.load(Ordering::SeqCst);
    proxy.fault.store(LOSE_ONE, Ordering::SeqCst);
    let lost = Deadline::after(Arc::clone(&clock), Duration::from_millis(50));
    assert_eq!(
        read(&shared, 0, &lost).await,
        Err(Lapse::Timeout),
        "nothing was swallowed"
    );
    let mut right = 0;
    for (slate, text) in (0..).zip(&texts) {
        match read(&shared, slate, &soon(&clock)).await {
            Ok(Some(found)) if found == text.as_bytes() => right += 1,
            Ok(Some(found)) => panic!("{found:?} instead of {text}"),
            Ok(None) | Err(_) => {}
        }
    }
    assert!(right >= 95, "only {right} of 100 were read afterwards");
    assert!(
        proxy.dialled.load(Ordering::SeqCst) > dialled,
        "the connection was kept"
    );
}

/// A hundred values that tell each other apart.
async fn hundred(shared: &Shared, clock: &Arc<dyn Clock>) -> Vec<&'static str> {
    let texts: Vec<&'static str> = (0..100).map(|i| &*format!("value {i}").leak()).collect();
    for (slate, text) in (1_000..).zip(&texts) {
        let stored = [value(slate, 1, text, clock)];
        shared.set_together(&stored, &soon(clock)).await.unwrap();
    }
    texts
}

/// Reads them all at once; how many came, and none may be another one's.
async fn read_all(shared: &Shared, texts: &[&str], ms: u64, clock: &Arc<dyn Clock>) -> usize {
    let reads = (1_000..).zip(texts).map(|(slate, text)| async move {
        let deadline = Deadline::after(Arc::clone(clock), Duration::from_millis(ms));
        match read(shared, slate, &deadline).await {
            Ok(Some(found)) => {
                assert_eq!(found, text.as_bytes(), "a foreign value");
                1
            }
            Ok(None) | Err(_) => 0,
        }
    });
    join_all(reads).await.into_iter().sum()
}

#[tokio::test]
async fn a_reset_or_silent_peer_is_given_up_and_no_foreign_value_is_handed_out() {
    for (what, fault) in [
        ("reset", RESET),
        ("silent peer", SILENT),
        ("replies lost", LOSE_ONE),
    ] {
        let (server, clock) = (RedisServer::start(&[]).await, clock());
        let proxy = Swallower::start(server.addr()).await;
        let settings = RedisSettings::new(&format!("redis://{}", proxy.addr));
        let shared = connect(&settings, &clock).await;
        let texts = hundred(&shared, &clock).await;
        assert_eq!(
            read_all(&shared, &texts, 2_000, &clock).await,
            100,
            "{what}"
        );
        let dialled = proxy.dialled.load(Ordering::SeqCst);
        proxy.fault.store(fault, Ordering::SeqCst);
        for _ in 0..5 {
            read_all(&shared, &texts, 30, &clock).await;
        }
        proxy.fault.store(PASS, Ordering::SeqCst);
        recovery(&shared, &clock, 1, what).await;
        let mut came = 0;
        for _ in 0..TRIES_MAX {
            came = read_all(&shared, &texts, 2_000, &clock).await;
            if came == 100 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(came, 100, "{what}");
        assert!(
            proxy.dialled.load(Ordering::SeqCst) > dialled,
            "{what}: the connection was kept"
        );
    }
}

const PASS: u8 = 0;
const LOSE_ONE: u8 = 1;
const SILENT: u8 = 2;
const RESET: u8 = 3;

/// A proxy that loses one reply, or says nothing, or resets, when told to.
struct Swallower {
    addr: std::net::SocketAddr,
    fault: Arc<AtomicU8>,
    dialled: Arc<AtomicUsize>,
    _tasks: Tasks,
}

impl Swallower {
    async fn start(upstream: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (fault, dialled) = (Arc::new(AtomicU8::new(PASS)), Arc::new(AtomicUsize::new(0)));
        let tasks = Tasks::new();
        let (met, count, spawner) = (Arc::clone(&fault), Arc::clone(&dialled), tasks.clone());
        tasks.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(upstream).await.unwrap();
                spawner.spawn(carry(client, server, Arc::clone(&met)));
            }
        });
        Self {
            addr,
            fault,
            dialled,
            _tasks: tasks,
        }
    }
}

async fn carry(client: TcpStream, server: TcpStream, fault: Arc<AtomicU8>) {
    // Closing with a lingering time of zero is a reset.
    client.set_zero_linger().unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::io::copy(&mut from_client, &mut to_server);
    let down = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            match fault.load(Ordering::SeqCst) {
                RESET => return,
                SILENT => continue,
                LOSE_ONE => {
                    fault.store(PASS, Ordering::SeqCst);
                    continue;
                }
                _ => {}
            }
            if to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = up => {}
        () = down => {}
    }
}
