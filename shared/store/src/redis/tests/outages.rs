//! Redis killed, frozen, demoted, locked and out of step.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Longest recovery allowed.
const RECOVERY_MAX: Duration = Duration::from_secs(2);

/// Calls until it works; returns how long that took and the ways in which it did not.
async fn recovery(shared: &Shared, clock: &Arc<dyn Clock>) -> (Duration, Vec<Lapse>) {
    #[expect(clippy::disallowed_methods, reason = "measures, decides nothing")]
    let start = Instant::now();
    let mut lapses = Vec::new();
    while start.elapsed() < RECOVERY_MAX * 2 {
        let deadline = Deadline::after(Arc::clone(clock), Duration::from_millis(30));
        match shared
            .set_together(&[value(99, 1, "x", clock)], &deadline)
            .await
        {
            Ok(_) => return (start.elapsed(), lapses),
            Err(lapse) => lapses.push(lapse),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no recovery: {lapses:?}");
}

#[tokio::test]
async fn a_killed_server_is_a_quick_lapse_and_is_used_again_when_it_is_back() {
    let (mut server, clock) = (RedisServer::start(&[]).await, clock());
    let shared = server.shared(&clock).await;
    recovery(&shared, &clock).await;
    server.kill();
    #[expect(clippy::disallowed_methods, reason = "measures, decides nothing")]
    let start = Instant::now();
    for _ in 0..200 {
        let deadline = Deadline::after(Arc::clone(&clock), Duration::from_millis(30));
        let lapse = read(&shared, 1, &deadline).await.unwrap_err();
        assert!(
            matches!(lapse, Lapse::Unavailable | Lapse::Open),
            "{lapse:?}"
        );
    }
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?} for 200 calls",
        start.elapsed()
    );
    server.restart().await;
    let (took, lapses) = recovery(&shared, &clock).await;
    assert!(took <= RECOVERY_MAX, "{took:?}: {lapses:?}");
}

#[tokio::test]
async fn a_frozen_server_costs_its_deadline_and_three_timeouts_cost_the_connection() {
    let (server, clock) = (RedisServer::start(&[]).await, clock());
    let shared = server.shared(&clock).await;
    recovery(&shared, &clock).await;
    server.signal("STOP");
    for _ in 0..3 {
        #[expect(clippy::disallowed_methods, reason = "measures, decides nothing")]
        let start = Instant::now();
        let deadline = Deadline::after(Arc::clone(&clock), Duration::from_millis(30));
        assert_eq!(read(&shared, 1, &deadline).await, Err(Lapse::Timeout));
        assert!(
            start.elapsed() < Duration::from_millis(200),
            "{:?}",
            start.elapsed()
        );
    }
    assert!(
        !shared.supervisor.is_linked(),
        "a silent connection was kept"
    );
    server.signal("CONT");
    let (took, lapses) = recovery(&shared, &clock).await;
    assert!(took <= RECOVERY_MAX, "{took:?}: {lapses:?}");
}

#[tokio::test]
async fn a_demoted_server_costs_the_connection_and_a_promoted_one_is_used_again() {
    let (server, clock) = (RedisServer::start(&[]).await, clock());
    let (shared, deadline) = (server.shared(&clock).await, soon(&clock));
    let mut client = server.client().await;
    // A replica of nobody: reads work, writes are READONLY.
    let _: () = redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(1)
        .query_async(&mut client)
        .await
        .unwrap();
    let refused = shared
        .set_together(&[value(1, 1, "x", &clock)], &deadline)
        .await;
    assert_eq!(refused, Err(Lapse::Unavailable));
    assert!(
        !shared.supervisor.is_linked(),
        "a connection to a replica was kept"
    );
    let _: () = redis::cmd("REPLICAOF")
        .arg("NO")
        .arg("ONE")
        .query_async(&mut client)
        .await
        .unwrap();
    let (took, lapses) = recovery(&shared, &clock).await;
    assert!(took <= RECOVERY_MAX, "{took:?}: {lapses:?}");
}

#[tokio::test]
async fn a_wrong_password_is_not_fatal_and_the_right_one_recovers() {
    let (server, clock) = (
        RedisServer::start(&["--requirepass", "right"]).await,
        clock(),
    );
    let with = |password: &str| RedisSettings {
        password: Some(ops::Secret::new(password)),
        ..RedisSettings::new(&server.url())
    };
    let wrong = connect(&with("wrong"), &clock).await;
    assert_eq!(
        read(&wrong, 1, &soon(&clock)).await,
        Err(Lapse::Unavailable)
    );
    let right = connect(&with("right"), &clock).await;
    right
        .set_together(&[value(1, 1, "x", &clock)], &soon(&clock))
        .await
        .unwrap();

    let url = format!("redis://:right@{}", server.addr());
    let mut client = redis::Client::open(url)
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let set = |password| {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg("requirepass")
            .arg(password)
            .to_owned()
    };
    let _: () = set("wrong").query_async(&mut client).await.unwrap();
    let (took, lapses) = recovery(&wrong, &clock).await;
    assert!(took <= RECOVERY_MAX, "{took:?}: {lapses:?}");
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
    proxy.swallow.store(true, Ordering::SeqCst);
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

/// A proxy that loses one reply when told to.
struct Swallower {
    addr: std::net::SocketAddr,
    swallow: Arc<AtomicBool>,
    dialled: Arc<AtomicUsize>,
    _tasks: Tasks,
}

impl Swallower {
    async fn start(upstream: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (swallow, dialled) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let tasks = Tasks::new();
        let (lose, count, spawner) = (Arc::clone(&swallow), Arc::clone(&dialled), tasks.clone());
        tasks.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(upstream).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                spawner
                    .spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let lose = Arc::clone(&lose);
                spawner.spawn(async move {
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                        let lost = lose.swap(false, Ordering::SeqCst);
                        if !lost && to_client.write_all(&buffer[..read]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            addr,
            swallow,
            dialled,
            _tasks: tasks,
        }
    }
}
