//! 30 % of the records of every put are refused: every event arrives, only refused ones go again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Call, Client, Fault, Load, Rule, Sample, StubRecord};

use super::Pace;
use super::row::{ACCEPTED, Matrix};
use super::world::World;

const EVENTS_PER_REQUEST: u64 = 100;
const REQUESTS_PER_S: u32 = 5;

pub(super) async fn partly_refused(world: &World, pace: Pace, matrix: &mut Matrix) {
    let (stub, _) = world.aws.as_ref().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    stub.reset_counters();
    let held = stub.records().len();
    stub.plant(Rule::on(Call::PutRecords, Fault::Partial { percent: 30 }));
    let span = pace.span(20);
    let load = Load {
        rate_per_s: REQUESTS_PER_S,
        span,
    };
    let client = Arc::new(Client::new(world.node.addr()));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&acknowledged);
    let send = move |batch| send(Arc::clone(&client), batch, Arc::clone(&counted));
    let (fault, nothing) = ("Kinesis refuses 30 % of records", || async {});
    let during = (Duration::ZERO, span);
    let row = world.watched(fault, load, during, send, nothing, nothing);
    let mut row = row.await;
    let (offered, refused) = (stub.records_offered(), stub.records_refused());
    let taken = stub.records().split_off(held);
    stub.heal();
    let sent = row.report.sent * EVENTS_PER_REQUEST;
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    assert_eq!(acknowledged, sent, "{:?}", row.report.complaints);
    assert!(refused > 0, "some were refused");
    assert_eq!(
        offered - refused,
        taken.len() as u64,
        "only refused ones went again"
    );
    let events = events_in(&taken);
    let ours = events.iter().filter(|id| id.starts_with("chaos-"));
    let distinct: BTreeSet<&String> = ours.clone().collect();
    assert_eq!(distinct.len() as u64, sent, "every event arrived");
    assert_eq!(ours.count() as u64, sent, "none of them twice");
    row.note = format!(
        "{REQUESTS_PER_S} requests/s of {EVENTS_PER_REQUEST} events: {sent} events sent, {acknowledged} acknowledged, each taken once; {} records taken of {offered} offered, the {refused} refused ones went again",
        taken.len()
    );
    matrix.add(row);
}

/// Sends the batch of this number.
async fn send(client: Arc<Client>, batch: u64, acknowledged: Arc<AtomicU64>) -> Sample {
    let now_ms = guard::Clock::now(&ops::RealClock::new()).wall_ms;
    let event = |n: u64| {
        json!({
            "event_id": format!("chaos-{n}"), "kind": "click", "user_id": format!("u{}", 1 + n % 300),
            "video_id": format!("v{}", 1 + n % 100), "ts": now_ms,
        })
    };
    let first = batch * EVENTS_PER_REQUEST;
    let events: Vec<_> = (first..first + EVENTS_PER_REQUEST).map(event).collect();
    let body = json!({ "events": events }).to_string();
    let json = "content-type: application/json\r\n";
    let reply = match client.send("POST", "/events", json, body.as_bytes()).await {
        Ok(reply) => reply,
        Err(error) => return Sample::Error(error.to_string()),
    };
    let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    match (reply.status, answer["accepted"].as_u64()) {
        (202, Some(accepted)) => {
            acknowledged.fetch_add(accepted, Ordering::Relaxed);
            Sample::Valid(ACCEPTED.to_owned())
        }
        (status, _) => Sample::Error(format!("{status} {answer}")),
    }
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
