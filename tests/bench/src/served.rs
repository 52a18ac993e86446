//! What `served` events cost whoever asks: `/recommend` over a socket, from a process whose outbox takes
//! and sends them, against one whose outbox has no room and so makes none.
//!
//! ```text
//! generator ─► front thread: both processes ─► answers
//!                      └─ outbox ─► work thread: every 200 ms into the embedded log, synced
//! ```
//!
//! The threads are those of `reelway serve`, one of each kind.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::Router;
use embedded::EmbeddedStream;
use guard::{Clock, Deadline};
use ops::RealClock;
use store::Outbox;
use store::outbox::{OUTBOX_EVENTS_MAX, ServedAnswer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use crate::hits::{exchange, request};
use crate::measure::{Plan, Report, compare, cpu};
use crate::town::Town;
use crate::world;

const VIDEOS: usize = 5_000;
const USERS: usize = 2_000;
/// Who asks, in turn.
const ASKING: usize = 50;
/// Requests of one block, one a millisecond.
const BLOCK: usize = 1_000;
const EVERY: Duration = Duration::from_millis(1);
/// How often the outbox is looked at, as in `reelway serve`.
const TICK: Duration = Duration::from_millis(200);

/// What is asked: the process that sends events, the one that makes none, and the first one's outbox.
struct Served {
    on: SocketAddr,
    off: SocketAddr,
    outbox: Arc<Outbox>,
}

/// The last part of row 10's issue: p99 with events on against off.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let Served { on, off, outbox } = serve()?;
    tend(Arc::clone(&outbox))?;
    cpu::pin(1);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let failed = RefCell::new(None);
    let p99 = |addr| {
        block(&runtime, addr).unwrap_or_else(|error| {
            failed.borrow_mut().get_or_insert(error);
            f64::NAN
        })
    };
    let found = compare(Plan::default(), || p99(off), || p99(on));
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    let counts = outbox.counts();
    ensure!(counts.sent > 0 && counts.refused == 0, "{counts:?}");
    report.compared(
        "`/recommend` p99, events on over off",
        &found,
        "≤ 1.05",
        |ratio| {
            let shown = format!("{:.3} [{:.3}, {:.3}]", ratio.median, ratio.low, ratio.high);
            (shown, ratio.median <= 1.05)
        },
    );
    report.tell("p99 with events", format!("{:.1} µs", found.b.median / 1e3));
    report.tell("p99 without", format!("{:.1} µs", found.a.median / 1e3));
    report.tell("events sent meanwhile", counts.sent.to_string());
    report.note(format!(
        "Slates of {ASKING} users from the tier in the process, over one connection, a request each \
         millisecond, {BLOCK} in a block, 20 events each; times are the client's, wall clock, from when a \
         request was due if the one before was late. One thread answers for both processes; another sends \
         the events into a log on this disk, synced, every {} ms, on the core of the generator. Without \
         events: the outbox has no room, so none are made.",
        TICK.as_millis()
    ));
    Ok(())
}

/// Starts both processes on a thread of their own.
fn serve() -> anyhow::Result<Served> {
    let (sender, receiver) = mpsc::channel();
    #[expect(
        clippy::disallowed_methods,
        reason = "the servers have a core of their own"
    )]
    std::thread::spawn(move || {
        cpu::pin(0);
        let runtime = Builder::new_current_thread().enable_all().build();
        let served = runtime.context("a runtime").and_then(|runtime| {
            runtime.block_on(async {
                let (bytes, diaries) = world::build("bench.1", VIDEOS, USERS)?;
                let folder = tempfile::tempdir_in(crate::measure::report::root().join("target"))?;
                let log = EmbeddedStream::open(folder.path(), 1);
                let mut town = Town::new(&diaries).await?;
                town.stream = Arc::new(log.map_err(|e| anyhow::anyhow!("{e}"))?);
                town.publish("bench.1", &bytes).await?;
                let (on, off) = (
                    town.process(None, 256).await?,
                    town.process(None, 256).await?,
                );
                fill(&off.outbox());
                let (here, there) = (listener().await?, listener().await?);
                sender.send(Ok(Served {
                    on: here.local_addr()?,
                    off: there.local_addr()?,
                    outbox: on.outbox(),
                }))?;
                tokio::try_join!(
                    axum::serve(here, on.serve(Router::new())).into_future(),
                    axum::serve(there, off.serve(Router::new())).into_future(),
                )?;
                anyhow::Ok(())
            })
        });
        if let Err(error) = served {
            // The other side may be gone already.
            let _ = sender.send(Err(error));
        }
    });
    receiver.recv().context("the servers' addresses")?
}

async fn listener() -> std::io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
}

/// Sends what was served, as the process that serves does, on a thread of its own.
fn tend(outbox: Arc<Outbox>) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "what computes has a thread of its own"
    )]
    std::thread::spawn(move || {
        cpu::pin(1);
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        runtime.block_on(async {
            let mut every = tokio::time::interval(TICK);
            loop {
                every.tick().await;
                let deadline = Deadline::after(Arc::clone(&clock), Duration::from_secs(5));
                outbox.tend(&deadline).await;
            }
        })
    });
    Ok(())
}

/// The p99 of one block, nanoseconds of wall time.
fn block(runtime: &Runtime, addr: SocketAddr) -> anyhow::Result<f64> {
    let clock = RealClock::new();
    let now = || clock.now().mono;
    let mut costs = Vec::with_capacity(BLOCK);
    runtime.block_on(async {
        let mut stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let asks: Vec<Vec<u8>> = (0..ASKING)
            .map(|user| request(&format!("/recommend?user_id=user-{user}&limit=20")))
            .collect();
        let mut answer = Vec::with_capacity(16 << 10);
        let (mut due, mut ended) = (now(), Duration::ZERO);
        for ask in asks.iter().cycle().take(BLOCK) {
            tokio::time::sleep(due.saturating_sub(now())).await;
            let begun = if ended > due { due } else { now() };
            exchange(&mut stream, ask, &mut answer).await?;
            ended = now();
            ensure!(answer.len() > 1_000, "an answer");
            costs.push((ended - begun).as_nanos() as f64);
            due += EVERY;
        }
        anyhow::Ok(())
    })?;
    costs.sort_by(f64::total_cmp);
    costs.get(BLOCK * 99 / 100).copied().context("a block")
}

fn fill(outbox: &Outbox) {
    let answer = |number: usize| ServedAnswer {
        number: number as u128,
        user_id: world::user(number),
        slate_id: "s".into(),
        scene: "home".into(),
        market: "".into(),
        arms: "".into(),
        generation: "2026-11-21.2".into(),
        ts_ms: 0,
        items: (0..50).map(|at| (at, world::video_id(1), 1.0)).collect(),
    };
    for number in 0..OUTBOX_EVENTS_MAX / 50 {
        outbox.offer(50, || answer(number));
    }
}
