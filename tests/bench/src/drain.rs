//! `clickstream` at the peak: 42,000 events/s for 60 s, against tables that answer after 4 ms.
//!
//! ```text
//! 6 shards, each: what arrived since ─► one batch ─► Clickstream ─► stub of DynamoDB: 4 ms a call,
//!                 (at least 1 s of it)                             as many at a time as the adapter
//! ```
//!
//! The stub stands at the port: it keeps rows and versions, counts calls and units as DynamoDB bills
//! them, and costs no HTTP. What the SDK adds is not in these figures.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use clickstream::{Clickstream, Parts};
use engine::Event;
use futures_util::future::join_all;
use guard::{Clock, Deadline, Tasks};
use ops::RealClock;
use serde::Serialize;
use store::publish::pack_events;
use store::{Consumer, DeadLetters, Position, StreamRecord, Users};

use crate::events::{BEACON, PEAK_PER_S, PEAK_S, beacons};
use crate::measure::{Report, cpu};

mod stub;

use stub::{Dynamo, Nowhere};

const SHARDS: usize = 6;
/// Traffic is made in pieces of so much time.
const PIECE: Duration = Duration::from_millis(100);
/// A batch takes at most this many pieces: 10,000 records are the most of one Lambda batch.
const PIECES_MAX: usize = 40;
/// The mapping's window: a batch waits for this much.
const WINDOW: Duration = Duration::from_secs(1);
/// us-east-1, on demand, dollars per million units.
/// <https://aws.amazon.com/dynamodb/pricing/on-demand/>
const DOLLARS_PER_M_WRITES: f64 = 0.625;
const DOLLARS_PER_M_READS: f64 = 0.125;

/// Runs it.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    // Made before the clock starts: what clients and the stream do costs the consumer nothing.
    let now_ms = clock.now().wall_ms;
    let traffic: Vec<Vec<Piece>> = (0..SHARDS).map(|shard| traffic(shard, now_ms)).collect();
    let cpu_before = cpu::this_process();
    let run = runtime.block_on(drain(clock, traffic));
    let cpu = (cpu::this_process() - cpu_before).as_secs_f64();
    let events = (PEAK_PER_S * PEAK_S) as f64;
    let (first, last) = (lag(&run.lags_ms, true), lag(&run.lags_ms, false));
    report.check(
        "clickstream drains 42,000 events/s for 60 s",
        format!(
            "{:.0} of {events:.0} events applied; the oldest of a batch is applied {first:.0} ms after \
             it arrived in the first 20 s (median), {last:.0} ms in the last 20 s, {:.0} ms at most",
            run.applied as f64,
            run.lags_ms.iter().map(|(_, lag)| *lag).fold(0.0, f64::max),
        ),
        "no growing lag",
        run.failed == 0 && run.applied == PEAK_PER_S * PEAK_S && last < first * 1.2 + 200.0,
    );
    let per_event = |n: u64| n as f64 / events;
    report.tell(
        "writes per event",
        format!(
            "{:.3} rows, {:.3} write units, {:.3} read units (consistent)",
            per_event(run.writes),
            per_event(run.write_units),
            per_event(run.read_units)
        ),
    );
    let dollars = per_event(run.write_units) * DOLLARS_PER_M_WRITES
        + per_event(run.read_units) * DOLLARS_PER_M_READS;
    report.tell(
        "DynamoDB per million events",
        format!("{dollars:.2} $ (on demand, us-east-1)"),
    );
    let own = run.stub_ns as f64 / 1e9;
    report.tell(
        "CPU per event: the consumer; beside it the stub",
        format!(
            "{:.2} µs; {:.2} µs: the peak takes {:.2} cores",
            (cpu - own) / events * 1e6,
            own / events * 1e6,
            (cpu - own) / PEAK_S as f64
        ),
    );
    report.keep("run", &run);
    report.note(format!(
        "Six shards, batches of at least {} s, {BEACON} events of one user at a time over 200,000 \
         users, videos as popular as 1/rank of 100,000. The stub stands at the port: the SDK's own \
         time is not in it.",
        WINDOW.as_secs()
    ));
    Ok(())
}

#[derive(Debug, Serialize)]
struct Run {
    applied: u64,
    failed: u64,
    /// When a batch was done, seconds from the start, and how old its oldest record was.
    lags_ms: Vec<(f64, f64)>,
    writes: u64,
    write_units: u64,
    read_units: u64,
    /// CPU time of the stub itself, nanoseconds.
    stub_ns: u64,
}

fn lag(lags: &[(f64, f64)], early: bool) -> f64 {
    let third = PEAK_S as f64 / 3.0;
    let chosen = lags.iter().filter(|(at, _)| {
        if early {
            *at < third
        } else {
            *at > 2.0 * third
        }
    });
    crate::events::middle(chosen.map(|(_, lag)| *lag).collect())
}

/// What arrived at a shard within a tenth of a second.
struct Piece {
    /// When its first record arrives, seconds from the start.
    due_s: f64,
    events: usize,
    /// Partition keys and data.
    records: Vec<(String, Bytes)>,
}

/// A shard's part of the peak, as clients make it and the stream keeps it.
fn traffic(shard: usize, now_ms: i64) -> Vec<Piece> {
    let per_s = PEAK_PER_S as f64 / SHARDS as f64 / BEACON as f64;
    let pieces = Duration::from_secs(PEAK_S).as_millis() / PIECE.as_millis();
    let mut made = 0;
    let piece = |number: u128| {
        let due_s = number as f64 * PIECE.as_secs_f64();
        let until = ((due_s + PIECE.as_secs_f64()) * per_s).round() as usize;
        let seed = (shard * 1_000_000 + made) as u64;
        let ts_ms = now_ms + (due_s * 1e3) as i64;
        let events: Vec<Event> = beacons(until - made, seed, ts_ms).concat();
        made = until;
        let records = events.chunks(2_000).flat_map(pack_events);
        let records = records.map(|packed| (packed.record.partition_key, packed.record.data));
        Piece {
            due_s,
            events: events.len(),
            records: records.collect(),
        }
    };
    (0..pieces).map(piece).collect()
}

async fn drain(clock: Arc<dyn Clock>, traffic: Vec<Vec<Piece>>) -> Run {
    let (tables, tasks) = (Arc::new(Dynamo::default()), Tasks::new());
    let start = clock.now();
    // One handler for each shard, as Lambda has it, each on any core.
    let shards = (0..).zip(traffic).map(|(number, traffic)| {
        let shard = Shard {
            number,
            consumer: Clickstream::new(Parts {
                users: Arc::new(Users::new(tables.clone())),
                counters: tables.clone(),
                dead: DeadLetters::new(Arc::new(Nowhere), Clickstream::NAME),
                shared: None,
                clock: Arc::clone(&clock),
            }),
            clock: Arc::clone(&clock),
            start: start.mono,
        };
        tasks.spawn(shard.drain(traffic))
    });
    let shards: Vec<_> = shards.collect();
    let (mut applied, mut failed, mut lags_ms) = (0, 0, Vec::new());
    for of_shard in join_all(shards).await {
        let (events, failures, lags) = of_shard.unwrap_or((0, 1, Vec::new()));
        applied += events;
        failed += failures;
        lags_ms.extend(lags);
    }
    Run {
        applied,
        failed,
        lags_ms,
        writes: tables.writes.load(Ordering::Relaxed),
        write_units: tables.write_units.load(Ordering::Relaxed),
        read_units: tables.read_units.load(Ordering::Relaxed),
        stub_ns: tables.own_ns.load(Ordering::Relaxed),
    }
}

/// One shard and its handler.
struct Shard {
    number: usize,
    consumer: Clickstream,
    clock: Arc<dyn Clock>,
    start: Duration,
}

impl Shard {
    /// Applies what arrives as it becomes due, batch after batch: events, failed batches, lags.
    async fn drain(self, traffic: Vec<Piece>) -> (u64, u64, Vec<(f64, f64)>) {
        let Self {
            number,
            consumer,
            clock,
            start,
        } = self;
        let now_s = || clock.now().mono.saturating_sub(start).as_secs_f64();
        let (mut applied, mut failed, mut lags, mut sequence) = (0, 0, Vec::new(), 0);
        let mut waiting = traffic.into_iter().peekable();
        while let Some(oldest_s) = waiting.peek().map(|piece| piece.due_s) {
            let wait_s = oldest_s + WINDOW.as_secs_f64() - now_s();
            if wait_s > 0.0 {
                tokio::time::sleep(Duration::from_secs_f64(wait_s)).await;
            }
            let (now, wall_ms) = (now_s(), clock.now().wall_ms);
            let mut batch = Vec::new();
            for _ in 0..PIECES_MAX {
                // A piece has arrived when its last record has.
                let arrived = |piece: &Piece| piece.due_s + PIECE.as_secs_f64() <= now + 1e-9;
                let Some(piece) = waiting.next_if(arrived) else {
                    break;
                };
                applied += piece.events as u64;
                let arrived_ms = wall_ms - ((now - piece.due_s) * 1e3) as i64;
                for (partition_key, data) in piece.records {
                    sequence += 1;
                    batch.push(StreamRecord {
                        position: Position {
                            shard: format!("shardId-{number:012}"),
                            sequence: format!(
                                "4959033827149025660855969253836157109592157598913{sequence:07}"
                            ),
                        },
                        partition_key,
                        data,
                        arrived_ms,
                    });
                }
            }
            let deadline = Deadline::after(Arc::clone(&clock), Duration::from_secs(60));
            let outcome = consumer.consume(batch, &deadline).await;
            failed += u64::from(outcome.failed_from.is_some());
            lags.push((now_s(), (now_s() - oldest_s) * 1e3));
        }
        (applied, failed, lags)
    }
}
