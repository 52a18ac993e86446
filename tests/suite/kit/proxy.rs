//! The fault proxy in front of an echo server.

use std::future::Future;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use guard::{Clock, Tasks};
use ops::RealClock;
use tests::{Mode, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Long enough for loopback on a busy machine, short enough to wait for in vain.
const SOON: Duration = Duration::from_secs(5);
const IN_VAIN: Duration = Duration::from_millis(150);

/// Echoes every connection for as long as the test runs.
async fn echo(tasks: &Tasks) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let connections = tasks.clone();
    tasks.spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut reads, mut writes) = client.split();
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
            });
        }
    });
    addr
}

async fn start() -> Proxy {
    Proxy::start(echo(&Tasks::new()).await).unwrap()
}

async fn connect(proxy: &Proxy) -> TcpStream {
    soon(TcpStream::connect(proxy.addr())).await.unwrap()
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(SOON, work).await.expect("soon")
}

async fn ask(connection: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    connection.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    connection.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_passing_proxy_carries_and_counts() {
    let proxy = start().await;
    let mut first = connect(&proxy).await;
    for _ in 0..3 {
        assert_eq!(soon(ask(&mut first, b"hello")).await.unwrap(), b"hello");
    }
    let mut second = connect(&proxy).await;
    assert_eq!(soon(ask(&mut second, b"hi")).await.unwrap(), b"hi");
    drop(first);
    soon(async {
        while proxy.counters().open > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let counters = proxy.counters();
    assert_eq!((counters.connections, counters.open), (2, 1));
    assert_eq!(
        (counters.bytes_up, counters.bytes_down, counters.round_trips),
        (17, 17, 4)
    );
}

#[tokio::test]
async fn a_refusing_proxy_closes_what_was_open_and_is_refused_until_it_passes_again() {
    let proxy = start().await;
    let mut open = connect(&proxy).await;
    assert!(soon(ask(&mut open, b"hello")).await.is_ok());

    proxy.set(Mode::Refuse).await.unwrap();
    assert!(soon(ask(&mut open, b"hello")).await.is_err());
    for _ in 0..3 {
        let refused = soon(TcpStream::connect(proxy.addr())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }

    proxy.set(Mode::Pass).await.unwrap();
    assert!(
        soon(ask(&mut connect(&proxy).await, b"hello"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_resetting_proxy_resets_what_was_open_and_what_connects() {
    let proxy = start().await;
    let mut open = connect(&proxy).await;
    assert!(soon(ask(&mut open, b"hello")).await.is_ok());
    proxy.set(Mode::Reset).await.unwrap();
    let reset = soon(ask(&mut open, b"hello")).await.unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);

    // The reset is met while connecting or right after it, whichever the kernel reports first.
    let fresh = soon(async { ask(&mut TcpStream::connect(proxy.addr()).await?, b"hello").await });
    assert!(fresh.await.is_err());
    proxy.set(Mode::Pass).await.unwrap();
    assert!(
        soon(ask(&mut connect(&proxy).await, b"hello"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_stalling_proxy_holds_everything_and_releases_it_in_order() {
    let proxy = start().await;
    let mut open = connect(&proxy).await;
    proxy.set(Mode::Stall).await.unwrap();
    open.write_all(b"one").await.unwrap();
    let mut fresh = connect(&proxy).await;
    assert!(timeout(IN_VAIN, ask(&mut fresh, b"three")).await.is_err());
    open.write_all(b"two").await.unwrap();

    proxy.set(Mode::Pass).await.unwrap();
    let mut answer = [0; 6];
    soon(open.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"onetwo");
    let mut answer = [0; 5];
    soon(fresh.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"three");
}

#[tokio::test]
async fn latency_delays_each_reply_and_replies_do_not_wait_for_each_other() {
    let proxy = start().await;
    let each = Duration::from_millis(60);
    proxy
        .set(Mode::Latency {
            each,
            jitter: Duration::from_millis(10),
        })
        .await
        .unwrap();
    let clock = RealClock::new();
    let mut connection = connect(&proxy).await;

    let before = clock.now().mono;
    soon(ask(&mut connection, b"x")).await.unwrap();
    let took = clock.now().mono - before;
    assert!(took >= Duration::from_millis(49), "{took:?}");

    // Ten in a row in one direction: together they take about as long as one.
    let before = clock.now().mono;
    for _ in 0..10 {
        connection.write_all(b"y").await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answers = [0; 10];
    soon(connection.read_exact(&mut answers)).await.unwrap();
    let took = clock.now().mono - before;
    assert!(took < 5 * each, "{took:?}");
}

#[tokio::test]
async fn a_narrow_line_takes_its_time() {
    let proxy = start().await;
    let bytes_per_s = 100_000;
    proxy.set(Mode::Bandwidth { bytes_per_s }).await.unwrap();
    let mut connection = connect(&proxy).await;
    let (clock, text) = (RealClock::new(), vec![b'x'; 20_000]);
    let before = clock.now().mono;
    assert_eq!(soon(ask(&mut connection, &text)).await.unwrap(), text);
    let took = clock.now().mono - before;
    assert!(took >= Duration::from_millis(190), "{took:?}");
}

#[tokio::test]
async fn a_reply_in_slices_comes_in_parts_and_whole_in_the_end() {
    let proxy = start().await;
    let every = Duration::from_millis(20);
    proxy.set(Mode::Slice { bytes: 2, every }).await.unwrap();
    let mut connection = connect(&proxy).await;
    connection.write_all(b"hello").await.unwrap();
    let (mut buffer, mut got, mut parts) = ([0; 16], Vec::new(), 0);
    while got.len() < 5 {
        let read = soon(connection.read(&mut buffer)).await.unwrap();
        got.extend_from_slice(&buffer[..read]);
        parts += 1;
    }
    assert_eq!((got.as_slice(), parts > 1), (b"hello".as_slice(), true));
}

#[tokio::test]
async fn a_connection_is_closed_after_so_many_bytes_and_a_new_one_too() {
    let proxy = start().await;
    proxy.set(Mode::CloseAfter { bytes: 7 }).await.unwrap();
    for _ in 0..2 {
        let mut connection = connect(&proxy).await;
        assert_eq!(
            soon(ask(&mut connection, b"hello")).await.unwrap(),
            b"hello"
        );
        connection.write_all(b"again").await.unwrap();
        let mut rest = Vec::new();
        // Closed in order or reset, whichever the kernel makes of it.
        let _ = soon(connection.read_to_end(&mut rest)).await;
        assert!(rest.len() <= 2, "{rest:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_answers_itself_answers_every_command_and_carries_none() {
    let proxy = start().await;
    let answer = "-LOADING Redis is loading\r\n";
    proxy.set(Mode::Answer(answer)).await.unwrap();
    let mut connection = connect(&proxy).await;
    let commands = b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    connection.write_all(commands).await.unwrap();
    let mut said = vec![0; 2 * answer.len()];
    soon(connection.read_exact(&mut said)).await.unwrap();
    assert_eq!(said, answer.repeat(2).as_bytes());
    assert_eq!(proxy.counters().bytes_down, 0);
    proxy.set(Mode::Pass).await.unwrap();
    assert_eq!(soon(ask(&mut connection, b"echo")).await.unwrap(), b"echo");
}

#[tokio::test]
async fn a_swallowed_reply_never_comes_and_the_next_one_does() {
    let proxy = start().await;
    let mut connection = connect(&proxy).await;
    proxy.swallow(1);
    assert!(
        timeout(IN_VAIN, ask(&mut connection, b"lost"))
            .await
            .is_err()
    );
    assert_eq!(soon(ask(&mut connection, b"kept")).await.unwrap(), b"kept");
    assert_eq!(proxy.counters().swallowed, 1);
}

#[tokio::test]
async fn a_dropped_proxy_leaves_nothing_open() {
    let proxy = start().await;
    let addr = proxy.addr();
    let mut open = connect(&proxy).await;
    assert!(soon(ask(&mut open, b"hello")).await.is_ok());
    drop(proxy);
    assert!(soon(ask(&mut open, b"hello")).await.is_err());
    // The last listener may close a moment after its runtime was told to end.
    soon(async { while TcpStream::connect(addr).await.is_ok() {} }).await;
}
