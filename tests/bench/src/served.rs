//! What `served` events cost an answer: `/recommend` with an outbox that takes and sends them, against
//! one that has no room and so makes none.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Body;
use guard::{Clock, Deadline};
use http::Request;
use http_body_util::BodyExt as _;
use store::Outbox;
use store::outbox::{OUTBOX_EVENTS_MAX, ServedAnswer, ServedPage};
use tower::ServiceExt as _;

use crate::events::PEAK_PER_S;
use crate::measure::{Plan, Report, compare, cpu};
use crate::town::Town;
use crate::world;

const VIDEOS: usize = 5_000;
const USERS: usize = 2_000;
/// Requests of one block.
const BLOCK: usize = 2_000;
/// Between two requests: 20 events each make the original's peak of 42,000 events a second.
const EVERY: Duration = Duration::from_micros(20 * 1_000_000 / PEAK_PER_S);
/// How often the outbox is looked at, as in `reelway serve`.
const TICK: Duration = Duration::from_millis(50);

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
    let p99 = |router: &Router| {
        block(&runtime, router, &*town.clock).unwrap_or_else(|error| {
            failed.borrow_mut().get_or_insert(error);
            f64::NAN
        })
    };
    let found = compare(Plan::default(), || p99(&off), || p99(&on));
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
        "Users' slates from the tier in the process, {BLOCK} requests in a block, {:.0} a second: with 20 \
         events each that is the original's peak of {PEAK_PER_S} events. Each costs the CPU time of the \
         thread that answers; another thread, on the other core, sends the events, as in `reelway serve`. \
         Without events: the outbox has no room, so none are made. Wall times over a socket were tried: \
         at the 99th percentile the same process differed from itself by a factor of two and more here.",
        1.0 / EVERY.as_secs_f64()
    ));
    Ok(())
}

/// The p99 of one block, nanoseconds of CPU time.
fn block(
    runtime: &tokio::runtime::Runtime,
    router: &Router,
    clock: &dyn Clock,
) -> anyhow::Result<f64> {
    let mut costs = Vec::with_capacity(BLOCK);
    runtime.block_on(async {
        let mut due = clock.now().mono;
        for number in 0..BLOCK {
            while clock.now().mono < due {
                std::hint::spin_loop();
            }
            due += EVERY;
            let path = format!("/recommend?user_id=user-{}&limit=20", number % 50);
            let request = Request::get(path).body(Body::empty())?;
            let before = cpu::this_thread();
            let response = router.clone().oneshot(request).await?;
            let body = response.into_body().collect().await?;
            costs.push((cpu::this_thread() - before).as_nanos() as f64);
            ensure!(body.to_bytes().len() > 1_000, "an answer");
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
    let page = Arc::new(ServedPage {
        user_id: world::user(0),
        slate_id: "s".into(),
        scene: "home".into(),
        market: "".into(),
        arms: "".into(),
        generation: "2026-11-21.2".into(),
        items: (0..50).map(|at| (at, world::video_id(1), 1.0)).collect(),
    });
    for number in 0..OUTBOX_EVENTS_MAX / 50 {
        outbox.offer(ServedAnswer {
            number: number as u128,
            ts_ms: 0,
            page: Arc::clone(&page),
        });
    }
}
