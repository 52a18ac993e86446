//! What `served` events cost an answer: `/recommend` with an outbox that takes and sends them, against
//! one that has no room and so makes none.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use axum::Router;
use axum::body::Body;
use guard::{Clock, Deadline};
use http::Request;
use http_body_util::BodyExt as _;
use store::Outbox;
use store::outbox::{OUTBOX_EVENTS_MAX, ServedAnswer, ServedPage};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::events::PEAK_PER_S;
use crate::measure::compare::{Random, compare_quantile};
use crate::measure::{Plan, Report, cpu};
use crate::town::Town;
use crate::world;

const VIDEOS: usize = 5_000;
const USERS: usize = 2_000;
/// Users who ask. Each one's slate is made anew every two seconds, and the first request after it
/// renders a page: with so few that is one request in 2,000, far behind the 99th percentile, which is
/// that of pages at hand. With ten all of them fell due together, into slices of one side, and the
/// control was off by a third.
const ASKING: usize = 2;
/// Requests of one slice, a twentieth of a second at the peak: as often as the outbox is looked at.
const SLICE: usize = 100;
/// Slices of each side in one pair, in the order A B B A.
const SLICES: usize = 40;
/// Pairs, and as many of the control.
const PAIRS: usize = 120;
/// Between two requests: 20 events each make the original's peak of 42,000 events a second.
const EVERY: Duration = Duration::from_micros(20 * 1_000_000 / PEAK_PER_S);
/// How often the outbox is looked at, as in `reelway serve`.
const TICK: Duration = Duration::from_millis(50);

/// The last part of row 10's issue: p99 with events on against off.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let mut stand = Stand::new()?;
    cpu::pin(0);
    let plan = Plan {
        pairs: PAIRS,
        warm_up: 2,
    };
    let mut failed = None;
    let cell = std::cell::RefCell::new((&mut stand, &mut failed));
    let pair = |sides: [Side; 2]| {
        let (stand, failed) = &mut *cell.borrow_mut();
        stand.pair(sides).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            [Vec::new(), Vec::new()]
        })
    };
    let found = compare_quantile(
        0.99,
        plan,
        || pair([Side::Off, Side::On]),
        || pair([Side::Off, Side::Off]),
    );
    if let Some(error) = failed {
        return Err(error);
    }
    let counts = stand.outbox.counts();
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
        "{ASKING} users' slates from the tier in the process, {:.0} requests a second: with 20 events each that \
         is the original's peak of {PEAK_PER_S} events. A request costs the CPU time of the thread that \
         answers it, which waits for the moment of the next one without sleeping; another thread, on the \
         other core, sends the events, as in `reelway serve`. Without events: the outbox has no room, so \
         none are made, and what is left is the refusal.",
        1.0 / EVERY.as_secs_f64()
    ));
    report.note(format!(
        "A pair's p99s are of {} requests each, which lie in slices of {SLICE} between as many of the other \
         side (A B B A): what disturbs the machine for longer than a slice meets both. They come at random \
         moments, so that the processor's timer does too. Before the sides change the outbox is emptied, so \
         that neither pays for what the other left. The ratio is the median of {PAIRS} pairs'.",
        SLICE * SLICES
    ));
    report.note(
        "Wall times over a socket were tried: at the 99th percentile the same process differed from itself \
         by a factor of two and more here.",
    );
    Ok(())
}

/// Whether events are made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Off,
    On,
}

/// Two processes of one town, and the threads that answer and send.
struct Stand {
    answering: Runtime,
    sending: Runtime,
    on: Router,
    off: Router,
    /// Of the side that makes events.
    outbox: Arc<Outbox>,
    random: Random,
    town: Town,
}

impl Stand {
    fn new() -> anyhow::Result<Self> {
        let (answering, sending) = (beside()?, beside()?);
        let (on, off, town) = answering.block_on(async {
            let (bytes, diaries) = world::build("bench.1", VIDEOS, USERS)?;
            let town = Town::new(&diaries).await?;
            town.publish("bench.1", &bytes).await?;
            let on = town.process(None, 256).await?;
            let off = town.process(None, 256).await?;
            anyhow::Ok((on, off, town))
        })?;
        fill(&off.outbox());
        let outbox = on.outbox();
        sending.spawn(send(Arc::clone(&outbox), town.deadline(3_600_000)));
        Ok(Self {
            answering,
            sending,
            on: on.serve(Router::new()),
            off: off.serve(Router::new()),
            outbox,
            random: Random(1),
            town,
        })
    }

    /// What each request of either side cost, nanoseconds of CPU time.
    fn pair(&mut self, sides: [Side; 2]) -> anyhow::Result<[Vec<f64>; 2]> {
        let mut costs = [Vec::new(), Vec::new()];
        for turn in 0..SLICES {
            // A B, then B A.
            let order = if turn % 2 == 0 { [0, 1] } else { [1, 0] };
            for which in order {
                if let (Some(side), Some(costs)) = (sides.get(which), costs.get_mut(which)) {
                    self.slice(*side, costs)?;
                }
            }
        }
        Ok(costs)
    }

    fn slice(&mut self, side: Side, costs: &mut Vec<f64>) -> anyhow::Result<()> {
        let router = match side {
            Side::Off => &self.off,
            Side::On => &self.on,
        };
        self.answering
            .block_on(requests(router, &*self.town.clock, &mut self.random, costs))?;
        if side == Side::On {
            let (outbox, deadline) = (Arc::clone(&self.outbox), self.town.deadline(5_000));
            let emptied = self.sending.spawn(async move {
                while outbox.counts().waiting > 0 && !deadline.expired() {
                    if outbox.flush(&deadline).await == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            });
            self.answering.block_on(emptied)?;
        }
        Ok(())
    }
}

/// A runtime whose one thread is on the other core: what is not asked for by name runs there.
fn beside() -> anyhow::Result<Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let on_the_other_core = || {
        cpu::pin(1);
    };
    let runtime = runtime.worker_threads(1).on_thread_start(on_the_other_core);
    Ok(runtime.enable_all().build()?)
}

/// Asks as often as at the peak, and adds what each answer cost.
///
/// At random moments, as customers come: at even ones, the processor's timer falls into requests of one
/// side more often than of the other, and those are what a 99th percentile is made of.
async fn requests(
    router: &Router,
    clock: &dyn Clock,
    random: &mut Random,
    costs: &mut Vec<f64>,
) -> anyhow::Result<()> {
    let mut due = clock.now().mono;
    for number in 0..SLICE {
        while clock.now().mono < due {
            std::hint::spin_loop();
        }
        due += EVERY.mul_f64(2.0 * random.unit());
        let path = format!("/recommend?user_id=user-{}&limit=20", number % ASKING);
        let request = Request::get(path).body(Body::empty())?;
        let before = cpu::this_thread();
        let response = router.clone().oneshot(request).await?;
        let body = response.into_body().collect().await?;
        costs.push((cpu::this_thread() - before).as_nanos() as f64);
        ensure!(body.to_bytes().len() > 1_000, "an answer");
    }
    Ok(())
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
