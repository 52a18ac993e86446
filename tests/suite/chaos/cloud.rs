//! DynamoDB, Kinesis and S3 fail in every way, and everything at once.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tests::{Call, Client, Fault, Mode, Rule, StubRecord};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Pace;
use super::row::{Matrix, ms};
use super::world::World;

/// Whose row is throttled when one row is.
const HOT_USER: u64 = 77;
const EVENTS_PER_REQUEST: usize = 100;
/// Each item of an answer is one `served` event.
const ITEMS_PER_ANSWER: u64 = 20;
/// What a request may take, and what the promise adds for everything around it.
const DEADLINE: Duration = Duration::from_millis(200);
const STALLED: &str = "everything accepts and never answers";
/// Connections that pools may keep open besides.
const DESCRIPTORS_SLACK: usize = 16;
const SLACK: Duration = Duration::from_millis(20);
/// A breaker that opened lets nothing through for half a minute; then everything is as before.
const REOPENED: u64 = 35;

pub(super) async fn faults(pace: Pace, matrix: &mut Matrix) {
    let world = World::start(pace, true).await;
    one_throttled_row(&world, matrix).await;
    client_gone(&world, matrix).await;
    world.warm().await;
    let none = world
        .under_redis("none (stub of AWS, Redis)", pace.span(20), Mode::Pass)
        .await;
    matrix.add(none);
    throttled(&world, pace, matrix).await;
    kinesis_down(&world, pace, matrix).await;
    events_partly_refused(&world, matrix).await;
    everything_stalls(&world, pace, matrix).await;
}

/// A row that is throttled alone costs its user the personal answer, and nobody else anything.
async fn one_throttled_row(world: &World, matrix: &mut Matrix) {
    let (stub, _) = world.aws.as_ref().unwrap();
    // The preload filled Redis; this process has not answered anybody. Now no tier knows a slate.
    world.empty_redis().await;
    stub.plant(Rule::on(Call::GetItem, Fault::Throttle).for_key(format!("u{HOT_USER}")));
    stub.reset_counters();
    let (mut hot, mut others) = (Vec::new(), Vec::new());
    for user in 100..160 {
        hot.push(world.feed.ask_for(HOT_USER).await);
        others.push(world.feed.ask_for(user).await);
    }
    let said = |samples: &[tests::Sample], start: &str| {
        let valid = |sample: &&tests::Sample| matches!(sample, tests::Sample::Valid(label) if label.starts_with(start));
        samples.iter().filter(valid).count()
    };
    let tries = stub.faults(Call::GetItem);
    stub.heal();
    assert_eq!(said(&hot, "personal"), 0, "{hot:?}");
    assert!(
        said(&hot, "") + 20 >= hot.len(),
        "only its own limit refuses it: {hot:?}"
    );
    assert!(said(&others, "personal") + 1 >= others.len(), "{others:?}");
    assert!(
        tries <= 3,
        "{tries} tries: then the user is left alone for 30 s"
    );
    matrix.note(format!(
        "one throttled row, {} questions for it and {} for others in turn: {} of the others personal, {tries} tries of the throttled row",
        hot.len(), others.len(), said(&others, "personal")
    ));
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

/// 30 % of the records of every put are refused: every event arrives, only refused ones go again.
async fn events_partly_refused(world: &World, matrix: &mut Matrix) {
    let (stub, _) = world.aws.as_ref().unwrap();
    let client = Client::new(world.node.addr());
    tokio::time::sleep(Duration::from_secs(2)).await;
    stub.reset_counters();
    let held = stub.records().len();
    stub.plant(Rule::on(Call::PutRecords, Fault::Partial { percent: 30 }));
    let now_ms = guard::Clock::now(&ops::RealClock::new()).wall_ms;
    let event = |n: usize| {
        json!({
            "event_id": format!("chaos-{n}"), "kind": "click", "user_id": format!("u{}", 1 + n % 300),
            "video_id": format!("v{}", 1 + n % 100), "ts": now_ms,
        })
    };
    let mut acknowledged = 0;
    for batch in 0..5 {
        let events: Vec<_> = (0..EVENTS_PER_REQUEST)
            .map(|n| event(batch * EVENTS_PER_REQUEST + n))
            .collect();
        let body = json!({ "events": events }).to_string();
        let reply = client.send(
            "POST",
            "/events",
            "content-type: application/json\r\n",
            body.as_bytes(),
        );
        let reply = reply.await.unwrap();
        assert_eq!(
            reply.status,
            202,
            "{}",
            String::from_utf8_lossy(&reply.body)
        );
        let answer: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        acknowledged += answer["accepted"].as_u64().unwrap();
    }
    let (offered, refused) = (stub.records_offered(), stub.records_refused());
    let taken = stub.records().split_off(held);
    stub.heal();
    let sent = 5 * EVENTS_PER_REQUEST;
    assert_eq!(acknowledged, sent as u64);
    assert!(refused > 0, "some were refused");
    assert_eq!(
        offered - refused,
        taken.len() as u64,
        "only refused ones went again"
    );
    let events = events_in(&taken);
    let ours = events.iter().filter(|id| id.starts_with("chaos-"));
    let distinct: BTreeSet<&String> = ours.clone().collect();
    assert_eq!(distinct.len(), sent, "every event arrived");
    assert_eq!(ours.count(), sent, "none of them twice");
    matrix.note(format!(
        "30 % of records refused by Kinesis: {sent} events sent, {acknowledged} acknowledged, each taken once; {} records taken of {offered} offered, the {refused} refused ones went again",
        taken.len()
    ));
}

/// The id of every event in these records.
fn events_in(records: &[StubRecord]) -> Vec<String> {
    let payloads = records
        .iter()
        .flat_map(|record| store::aggregate::unpack(&record.data).unwrap());
    payloads
        .map(|(_, payload)| {
            store::events::decode(&payload)
                .unwrap()
                .event_id
                .to_string()
        })
        .collect()
}

/// A client that goes away takes what works for it along.
async fn client_gone(world: &World, matrix: &mut Matrix) {
    let (stub, proxy) = world.aws.as_ref().unwrap();
    world.redis_proxy.set(Mode::Pass).await.unwrap();
    // Nobody else asks for this row: what stalls is this client's call.
    stub.plant(Rule::on(Call::GetItem, Fault::Stall).for_key("u5"));
    let before = stub.faults(Call::GetItem);
    let asking = async || {
        let mut client = TcpStream::connect(world.node.addr()).await.unwrap();
        let ask = b"GET /users/u5/history HTTP/1.1\r\nhost: x\r\n\r\n";
        client.write_all(ask).await.unwrap();
        let asked = tokio::time::timeout(Duration::from_secs(1), async {
            while stub.faults(Call::GetItem) == before {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        });
        asked.await.is_ok().then_some(client)
    };
    let mut client = asking().await;
    // On a busy machine the table may be left alone for half a minute.
    for _ in 0..40 {
        if client.is_none() {
            client = asking().await;
        }
    }
    let client = client.expect("the table is asked");
    let open = proxy.counters().open;
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(client);
    let clock = ops::RealClock::new();
    let gone = guard::Clock::now(&clock).mono;
    // The call is in the air until its connection is closed, well before its own deadline.
    let aborted = tokio::time::timeout(Duration::from_secs(10), async {
        while proxy.counters().open >= open {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    });
    let aborted = aborted.await.is_ok();
    let took = guard::Clock::now(&clock).mono - gone;
    stub.heal();
    assert!(aborted, "the call to the table is aborted");
    matrix.note(format!(
        "client gone after 20 ms: its call to the table was aborted {:.1} ms later",
        ms(took)
    ));
}

/// All dependencies accept and never answer.
async fn everything_stalls(world: &World, pace: Pace, matrix: &mut Matrix) {
    let (stub, proxy) = world.aws.as_ref().unwrap();
    let at_rest = world.baseline().await;
    let span = pace.span(30);
    let come = || async {
        stub.plant(Rule::on_everything(Fault::Stall));
        world.redis_proxy.set(Mode::Stall).await.unwrap();
        proxy.set(Mode::Stall).await.unwrap();
    };
    let go = || async {
        stub.heal();
        world.redis_proxy.set(Mode::Pass).await.unwrap();
        proxy.set(Mode::Pass).await.unwrap();
    };
    let stalled = world.under_until(STALLED, span, Duration::ZERO, come, go);
    let (mut row, timer) = tokio::join!(stalled, bare_timer(span));
    // Everything was healed a moment ago.
    let after = world.baseline().await;
    assert!(after.tasks <= at_rest.tasks + 1.0, "{after:?} {at_rest:?}");
    assert_eq!(after.flights, 0.0);
    assert!(
        after.descriptors <= at_rest.descriptors + DESCRIPTORS_SLACK,
        "{after:?} {at_rest:?}"
    );
    let (p99, bound) = (row.report.latency(99.0), DEADLINE + timer);
    row.note = format!(
        "p99 {:.1} ms against {:.1} ms, the deadline of 200 ms and a bare timer's own p99 beside it ({}); {} answers later than 220 ms; within a second of healing tasks {} (before {}), loads {}, descriptors {} (before {})",
        ms(p99),
        ms(bound),
        if p99 <= bound { "met" } else { "missed" },
        row.report.later_than(DEADLINE + SLACK),
        after.tasks,
        at_rest.tasks,
        after.flights,
        after.descriptors,
        at_rest.descriptors
    );
    matrix.add(row);
    let nothing = || async {};
    let healed = world.under_until(
        "none, after that",
        Duration::ZERO,
        pace.span(REOPENED),
        nothing,
        nothing,
    );
    matrix.add(healed.await);
}

/// How late a wait of 200 ms ends where nothing else is done, at the 99th percentile.
async fn bare_timer(span: Duration) -> Duration {
    let load = tests::Load {
        rate_per_s: 50,
        span,
    };
    let report = load.run(|_| async {
        tokio::time::sleep(DEADLINE).await;
        tests::Sample::Valid(String::new())
    });
    report.await.unwrap().latency(99.0).saturating_sub(DEADLINE)
}
