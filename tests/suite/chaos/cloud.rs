//! DynamoDB, Kinesis and S3 fail in every way, and everything at once.

use std::cell::Cell;
use std::time::Duration;

use tests::{Call, Fault, Load, Mode, Rule};

use super::row::{Matrix, Row};
use super::world::World;
use super::{Pace, events, gone, lambda, stalls};

/// Whose row is throttled when one row is; its user asks less than one may.
const HOT_USER: u64 = 77;
const HOT_PER_S: u32 = 15;
/// Everybody else, each asking once: nothing is kept for them.
const OTHERS: std::ops::Range<u64> = 100..500;
const OTHERS_PER_S: u32 = 20;
/// Each item of an answer is one `served` event.
const ITEMS_PER_ANSWER: u64 = 20;
/// A breaker that opened lets nothing through for half a minute; then everything is as before.
pub(super) const REOPENED: u64 = 35;

pub(super) async fn faults(pace: Pace, matrix: &mut Matrix) {
    let world = World::start(pace, true).await;
    one_throttled_row(&world, pace, matrix).await;
    gone::client(&world, matrix).await;
    world.warm().await;
    let none = world
        .under_redis("none (stub of AWS, Redis)", pace.span(20), Mode::Pass)
        .await;
    matrix.add(none);
    throttled(&world, pace, matrix).await;
    kinesis_down(&world, pace, matrix).await;
    events::partly_refused(&world, pace, matrix).await;
    stalls::everything(&world, pace, matrix).await;
    lambda::faults(&world, pace, matrix).await;
}

/// A row that is throttled alone costs its user the personal answer, and nobody else anything.
async fn one_throttled_row(world: &World, pace: Pace, matrix: &mut Matrix) {
    let (stub, _) = world.aws.as_ref().unwrap();
    // The preload filled Redis; this process has not answered anybody. Now no tier knows a slate.
    world.empty_redis().await;
    stub.plant(Rule::on(Call::GetItem, Fault::Throttle).for_key(format!("u{HOT_USER}")));
    stub.reset_counters();
    let span = pace.span(20);
    let ask = async |fault: &str, rate_per_s, user: fn(u64) -> u64| {
        let feed = world.feed.clone();
        let (load, nothing) = (Load { rate_per_s, span }, || async {});
        let ask = move |number| feed.ask_for(user(number));
        let during = (Duration::ZERO, span);
        world
            .watched(fault, load, during, ask, nothing, nothing)
            .await
    };
    let (mut hot, mut others) = tokio::join!(
        ask("one row is throttled: its user", HOT_PER_S, |_| HOT_USER),
        ask(
            "one row is throttled: everybody else",
            OTHERS_PER_S,
            |number| OTHERS.start + number
        )
    );
    let tries = stub.faults(Call::GetItem);
    stub.heal();
    assert!(u64::from(OTHERS_PER_S) * span.as_secs() <= OTHERS.end - OTHERS.start);
    let personal = |row: &Row| row.labelled(|label| label.starts_with("personal"));
    assert_eq!(personal(&hot), 0, "{:?}", hot.report.labels);
    let others_personal = personal(&others);
    assert!(
        60 * (others.report.valid - others_personal) <= 60.max(others.report.valid),
        "{:?}",
        others.report.labels
    );
    assert!(
        (1..=3).contains(&tries),
        "{tries} tries: then the user is left alone for 30 s"
    );
    hot.note = format!("{HOT_PER_S} requests/s; {tries} tries of the throttled row");
    others.note = format!(
        "{OTHERS_PER_S} requests/s beside them, each of another user: {others_personal} of {} personal",
        others.report.valid
    );
    matrix.add(hot);
    matrix.add(others);
}

async fn throttled(world: &World, pace: Pace, matrix: &mut Matrix) {
    let (stub, _) = world.aws.as_ref().unwrap();
    let reads = || stub.calls(Call::GetItem) + stub.calls(Call::BatchGetItem);
    let come = || async {
        for call in [Call::GetItem, Call::BatchGetItem] {
            stub.plant(Rule::on(call, Fault::Throttle));
        }
        // Else Redis would say that every slate still holds, and nobody would be read.
        world.empty_redis().await;
    };
    let before = reads();
    let row = world.under_until(
        "DynamoDB throttles every read, Redis empty",
        pace.span(60),
        pace.span(REOPENED),
        come,
        || async { stub.heal() },
    );
    let mut row = row.await;
    let reads = reads() - before;
    assert!(
        reads <= row.report.sent,
        "{reads} reads for {} requests",
        row.report.sent
    );
    assert_eq!(row.report.refused, 0, "no 5xx");
    row.note = format!("{reads} reads of rows in all");
    matrix.add(row);
}

/// `served` events are advisory: answers do not wait for them, and what is lost is counted.
async fn kinesis_down(world: &World, pace: Pace, matrix: &mut Matrix) {
    let (stub, _) = world.aws.as_ref().unwrap();
    let before = Served::settled(world).await;
    let come = || async { stub.plant(Rule::on(Call::PutRecords, Fault::ServerError)) };
    let waiting = Cell::new(0.0);
    let go = || async {
        waiting.set(Served::now(world).await.waiting);
        stub.heal();
    };
    let mut row = world.under("Kinesis down", pace.span(600), come, go).await;
    let after = Served::settled(world).await;
    let (sent, lost) = (after.sent - before.sent, after.lost - before.lost);
    let waiting = waiting.get();
    assert!(waiting <= 10_000.0, "{waiting} wait");
    let told = row.report.valid * ITEMS_PER_ANSWER;
    assert_eq!((sent + lost) as u64, told, "{before:?} {after:?}");
    row.note = format!(
        "{told} `served` events of these answers: {sent} sent, {lost} lost, all counted; {waiting} waited when it came back"
    );
    matrix.add(row);
}

/// What became of `served` events so far.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Served {
    sent: f64,
    lost: f64,
    waiting: f64,
}

impl Served {
    async fn now(world: &World) -> Self {
        let metrics = world.node.metrics().await.unwrap();
        let sum = |start: &str| {
            let ours = metrics.iter().filter(|(name, _)| name.starts_with(start));
            ours.map(|(_, value)| value).sum()
        };
        Self {
            sent: sum("reelway_served_sent_total"),
            lost: sum("reelway_served_lost_total"),
            waiting: sum("reelway_served_buffered"),
        }
    }

    /// Once nothing waits any more; the oldest waits for a second, and longer after a failure.
    async fn settled(world: &World) -> Self {
        let mut last = None;
        for _ in 0..60 {
            let now = Self::now(world).await;
            if last == Some(now) && now.waiting == 0.0 {
                return now;
            }
            last = Some(now);
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
        panic!("served events still wait: {last:?}");
    }
}
