//! `/recommend` from the tier in the process, against a route that returns the same bytes and headers.

use std::net::SocketAddr;
use std::sync::mpsc;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use crate::measure::{Plan, Report, compare, cpu, nanos};
use crate::town::Town;
use crate::world;

/// Connections, each with one request under way.
const CONNECTIONS: usize = 16;
/// Requests of one block.
const BLOCK: usize = 4_000;
const VIDEOS: usize = 5_000;
const USERS: usize = 2_000;

/// Row 1.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let (addr, server) = serve()?;
    let core = cpu::pin(1);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    for (what, path) in [
        ("a slate for many", "/recommend?cohort=c1&limit=20"),
        ("a user's slate", "/recommend?user_id=user-7&limit=20"),
    ] {
        let connections = runtime.block_on(Connections::open(addr))?;
        side_by_side(report, &runtime, connections, what, path)?;
    }
    report.note(format!(
        "Server and generator are one thread each, on cores {} and {}, over loopback TCP: {CONNECTIONS} \
         connections, one request under way on each, {BLOCK} requests in a block. Costs are CPU time of the \
         server's thread, system calls included. The generator polls and never sleeps: waking it would be \
         billed to the server, and only to the slower of both routes.",
        server.map_or_else(|| "?".into(), |core| core.to_string()),
        core.map_or_else(|| "?".into(), |core| core.to_string()),
    ));
    report.note("The other route hands out a copy of the very answer, headers included, through the same middleware, router and server, which is that of `reelway serve`.");
    report.note("A user's answer also makes one `served` event per item; with a full outbox they are counted as lost, as in production.");
    Ok(())
}

fn side_by_side(
    report: &mut Report,
    runtime: &Runtime,
    mut connections: Connections,
    what: &str,
    path: &str,
) -> anyhow::Result<()> {
    let ours = connections.prepare(runtime, path)?;
    let same = "/same";
    let mut walls = [Vec::new(), Vec::new()];
    let mut failed = None;
    let cell = std::cell::RefCell::new((&mut connections, &mut walls, &mut failed));
    let block = |path: &str, which: usize| {
        let (connections, walls, failed) = &mut *cell.borrow_mut();
        match connections.block(runtime, path) {
            Ok((cpu_ns, wall_ns)) => {
                if let Some(wall) = walls.get_mut(which) {
                    wall.push(wall_ns);
                }
                cpu_ns
            }
            Err(error) => {
                failed.get_or_insert(error);
                f64::NAN
            }
        }
    };
    let found = compare(Plan::default(), || block(same, 0), || block(path, 1));
    if let Some(error) = failed {
        return Err(error);
    }
    report.compared(
        &format!("{what}: throughput per server-CPU-second, over the same bytes"),
        &found,
        "≥ 0.85 ×",
        |ratio| {
            let (value, low, high) = (1.0 / ratio.median, 1.0 / ratio.high, 1.0 / ratio.low);
            (format!("{value:.3} × [{low:.3}, {high:.3}]"), value >= 0.85)
        },
    );
    let per_second = 1e9 / found.b.median;
    report.check(
        &format!("{what}: requests per server-CPU-second"),
        format!("{per_second:.0} ({:.2} µs each)", found.b.median / 1e3),
        "≥ 60,000",
        per_second >= 60_000.0,
    );
    let [same_wall, our_wall] = walls.map(crate::measure::compare::median);
    report.tell(
        &format!("{what}: wall throughput, the same bytes beside it"),
        format!("{:.0}/s, {:.0}/s", 1e9 / our_wall, 1e9 / same_wall),
    );
    report.tell(&format!("{what}: bytes of the body"), ours.to_string());
    Ok(())
}

/// What the other route hands out: headers and body, set once per comparison.
#[derive(Default)]
struct Slot(std::sync::RwLock<(HeaderMap, Bytes)>);

type Kept = std::sync::Arc<Slot>;

/// Starts the server on its own thread; where it listens, and its core.
fn serve() -> anyhow::Result<(SocketAddr, Option<usize>)> {
    let (sender, receiver) = mpsc::channel();
    #[expect(
        clippy::disallowed_methods,
        reason = "the server has a core of its own"
    )]
    std::thread::spawn(move || {
        let core = cpu::pin(0);
        let runtime = Builder::new_current_thread().enable_all().build();
        let served = runtime.context("a runtime").and_then(|runtime| {
            runtime.block_on(async {
                let (bytes, diaries) = world::build("bench.1", VIDEOS, USERS)?;
                let town = Town::new(&diaries).await?;
                town.publish("bench.1", &bytes).await?;
                let process = town.process(None, 256).await?;
                let kept = Kept::default();
                let more = Router::new()
                    .route("/same", get(same).with_state(kept.clone()))
                    .route("/keep", axum::routing::post(keep).with_state(kept))
                    .route(
                        "/cpu",
                        get(|| async { cpu::this_thread().as_nanos().to_string() }),
                    );
                let router = process.serve(more);
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                sender.send(Ok((listener.local_addr()?, core)))?;
                web::listen(listener, router, None, std::future::pending()).await?;
                anyhow::Ok(())
            })
        });
        if let Err(error) = served {
            // The other side may be gone already.
            let _ = sender.send(Err(error));
        }
    });
    receiver.recv().context("the server's address")?
}

async fn same(State(kept): State<Kept>) -> Response {
    let kept = kept
        .0
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut response = Response::new(Body::from(kept.1.clone()));
    *response.headers_mut() = kept.0.clone();
    response
}

/// Takes the answer that [`same`] hands out from now on.
async fn keep(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) {
    let named = |name: &HeaderName| name.as_str().starts_with("kept-");
    let mut answer = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| named(name)) {
        let name = name.as_str().trim_start_matches("kept-");
        if let Ok(name) = HeaderName::try_from(name) {
            answer.insert(name, value.clone());
        }
    }
    *kept
        .0
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = (answer, body);
}

/// Keep-alive connections to the server.
struct Connections {
    streams: Vec<TcpStream>,
}

impl Connections {
    async fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        let mut streams = Vec::new();
        for _ in 0..=CONNECTIONS {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        Ok(Self { streams })
    }

    /// Warms the answer up and hands it to the other route; how long its body is.
    fn prepare(&mut self, runtime: &Runtime, path: &str) -> anyhow::Result<usize> {
        runtime.block_on(async {
            let stream = self.streams.last_mut().context("a connection")?;
            let mut buffer = Vec::new();
            for _ in 0..10 {
                exchange(stream, &request(path), &mut buffer).await?;
            }
            let text = std::str::from_utf8(&buffer)?;
            let (head, body) = text.split_once("\r\n\r\n").context("an answer")?;
            ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
            let own = [
                "content-length",
                "date",
                "x-request-id",
                "x-content-type-options",
            ];
            let mut post = format!(
                "POST /keep HTTP/1.1\r\nhost: b\r\ncontent-length: {}\r\n",
                body.len()
            );
            for line in head.lines().skip(1) {
                let name = line.split(':').next().unwrap_or_default();
                if !own.contains(&name) {
                    post.push_str(&format!("kept-{line}\r\n"));
                }
            }
            post.push_str("\r\n");
            post.push_str(body);
            let length = body.len();
            let mut answer = Vec::new();
            exchange(stream, post.as_bytes(), &mut answer).await?;
            exchange(stream, &request("/same"), &mut answer).await?;
            ensure!(
                buffer
                    .len()
                    .checked_sub(length)
                    .and_then(|from| buffer.get(from..))
                    .is_some_and(|body| answer.ends_with(body)),
                "the same bytes"
            );
            Ok(length)
        })
    }

    /// Runs one block; CPU time of the server and wall time, in nanoseconds per request.
    fn block(&mut self, runtime: &Runtime, path: &str) -> anyhow::Result<(f64, f64)> {
        runtime.block_on(async {
            let (control, workers) = self.streams.split_last_mut().context("connections")?;
            let clock = ops::RealClock::new();
            let before = server_cpu_ns(control).await?;
            let started = guard::Clock::now(&clock).mono;
            let request = request(path);
            let each = BLOCK / workers.len().max(1);
            let work = workers.iter_mut().map(|stream| {
                let request = &request;
                async move {
                    let mut buffer = Vec::with_capacity(16 << 10);
                    for _ in 0..each {
                        exchange(stream, request, &mut buffer).await?;
                        ensure!(buffer.starts_with(b"HTTP/1.1 200"), "refused");
                    }
                    anyhow::Ok(())
                }
            });
            let awake = stay_awake();
            let worked = try_join_all(work).await;
            awake.abort();
            worked?;
            let wall = guard::Clock::now(&clock).mono.saturating_sub(started);
            let spent = server_cpu_ns(control).await? - before;
            Ok((spent / BLOCK as f64, nanos(wall) / BLOCK as f64))
        })
    }
}

/// Keeps the generator's thread from sleeping until it is aborted. Waking a sleeper is billed to who
/// wakes it, which is the server, and only as long as it is slower than the generator.
#[expect(clippy::disallowed_methods, reason = "ends with its block")]
fn stay_awake() -> tokio::task::JoinHandle<()> {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    })
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: b\r\n\r\n").into_bytes()
}

async fn server_cpu_ns(stream: &mut TcpStream) -> anyhow::Result<f64> {
    let mut buffer = Vec::new();
    exchange(stream, &request("/cpu"), &mut buffer).await?;
    let text = String::from_utf8_lossy(&buffer);
    let body = text.split("\r\n\r\n").nth(1).context("a body")?;
    Ok(body.trim().parse()?)
}

/// Sends one request and reads its answer, whole, into `buffer`.
async fn exchange(
    stream: &mut TcpStream,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> anyhow::Result<()> {
    stream.write_all(request).await?;
    buffer.clear();
    loop {
        ensure!(stream.read_buf(buffer).await? > 0, "the server hung up");
        if let Some(whole) = length_of(buffer)
            && buffer.len() >= whole
        {
            return Ok(());
        }
    }
}

/// How long the answer is that begins here, once its head is there.
fn length_of(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = std::str::from_utf8(buffer.get(..head)?).ok()?;
    let body = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    Some(head + 4 + body.map_or(0, |length| length.parse().unwrap_or(0)))
}
