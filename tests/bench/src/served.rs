//! What `served` events cost an answer: `/recommend` with an outbox that takes and sends them, against
//! one that has no room and so makes none.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Body;
use guard::Deadline;
use http::Request;
use http_body_util::BodyExt as _;
use store::Outbox;
use store::outbox::{OUTBOX_EVENTS_MAX, ServedAnswer};
use tower::ServiceExt as _;

use crate::measure::{Plan, Report, compare, cpu};
use crate::town::Town;
use crate::world;

const VIDEOS: usize = 5_000;
const USERS: usize = 2_000;
/// Requests of one block.
const BLOCK: usize = 2_000;
/// Events that may wait; another answer's still fit.
const ROOM: u64 = OUTBOX_EVENTS_MAX as u64 - 100;
const TICK: Duration = Duration::from_millis(1);

/// The last part of row 10's issue: p99 with events on against off.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let (on, off, town) = runtime.block_on(async {
        let (bytes, diaries) = world::build("bench.1", VIDEOS, USERS)?;
        let town = Town::new(&diaries).await?;
        town.publish("bench.1", &bytes).await?;
        let (on, off) = (
            town.process(None, 256).await?,
            town.process(None, 256).await?,
        );
        fill(&off.outbox());
        let sent = on.outbox();
        let routers = (on.serve(Router::new()), off.serve(Router::new()));
        anyhow::Ok(((routers.0, sent), routers.1, town))
    })?;
    let (on, outbox) = on;
    let work = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .on_thread_start(|| {
            cpu::pin(1);
        })
        .enable_all()
        .build()?;
    work.spawn(send(Arc::clone(&outbox), town.deadline(600_000)));
    cpu::pin(0);
    let failed = RefCell::new(None);
    let p99 = |router: &Router, sends: Option<&Outbox>| {
        block(&runtime, router, sends).unwrap_or_else(|error| {
            failed.borrow_mut().get_or_insert(error);
            f64::NAN
        })
    };
    let found = compare(
        Plan::default(),
        || p99(&off, None),
        || p99(&on, Some(&outbox)),
    );
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
        "Users' slates from the tier in the process, {BLOCK} requests in a block, each costs the CPU \
         time of the thread that answers; another thread, on the other core, sends the events as they \
         come, as in `reelway serve`. Without events: the outbox has no room, so none are made. Wall \
         times over a socket were tried: at the 99th percentile the same process differed from itself \
         by a factor of two and more here."
    ));
    Ok(())
}

/// The p99 of one block, nanoseconds of CPU time.
fn block(
    runtime: &tokio::runtime::Runtime,
    router: &Router,
    sends: Option<&Outbox>,
) -> anyhow::Result<f64> {
    let mut costs = Vec::with_capacity(BLOCK);
    runtime.block_on(async {
        for number in 0..BLOCK {
            let path = format!("/recommend?user_id=user-{}&limit=20", number % 50);
            let request = Request::get(path).body(Body::empty())?;
            let before = cpu::this_thread();
            let response = router.clone().oneshot(request).await?;
            let body = response.into_body().collect().await?;
            costs.push((cpu::this_thread() - before).as_nanos() as f64);
            ensure!(body.to_bytes().len() > 1_000, "an answer");
            // Many times what a machine is asked: the other thread is waited for, not counted.
            while sends.is_some_and(|outbox| outbox.counts().waiting > ROOM) {
                tokio::time::sleep(TICK).await;
            }
        }
        anyhow::Ok(())
    })?;
    costs.sort_by(f64::total_cmp);
    costs.get(BLOCK * 99 / 100).copied().context("a block")
}

/// Sends events as they come, like the task of a process that serves.
async fn send(outbox: Arc<Outbox>, deadline: Deadline) {
    let mut every = tokio::time::interval(TICK);
    while !deadline.expired() {
        every.tick().await;
        outbox.tend(&deadline).await;
    }
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
