//! `clickstream` at the peak: 42,000 events/s for 60 s, against tables that answer after 4 ms.
//!
//! ```text
//! 6 shards, each: what arrived since ─► one batch ─► Clickstream ─► stub of DynamoDB: 4 ms a call,
//!                 (at least 1 s of it)                             as many at a time as the adapter
//! ```
//!
//! The stub stands at the port: it keeps rows and versions, counts calls and units as DynamoDB bills
//! them, and costs no HTTP. What the SDK adds is not in these figures.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use clickstream::{Clickstream, Parts};
use engine::Event;
use futures_util::future::join_all;
use guard::{Clock, Deadline};
use ops::RealClock;
use serde::Serialize;
use store::publish::pack_events;
use store::{
    Change, Consumer, DeadLetters, Error, ErrorKind, Expect, ObjectMeta, Objects, Position, Read,
    Row, ScanPage, StreamRecord, Table, Tables, Users, Write, Written,
};

use crate::events::{BEACON, PEAK_PER_S, PEAK_S, beacons};
use crate::measure::{Report, cpu};

const SHARDS: usize = 6;
/// One call of DynamoDB.
const CALL: Duration = Duration::from_millis(4);
/// As `aws::DynamoTables` does it.
const WRITES_IN_FLIGHT: usize = 64;
const READS_IN_FLIGHT: usize = 8;
const READ_BATCH: usize = 100;
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
    let cpu_before = cpu::this_process();
    let run = runtime.block_on(drain());
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
    report.tell(
        "CPU per event, generating the traffic included",
        format!("{:.1} µs", cpu / events * 1e6),
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

async fn drain() -> Run {
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let tables = Arc::new(Dynamo::default());
    let consumer = Clickstream::new(Parts {
        users: Arc::new(Users::new(tables.clone())),
        counters: tables.clone(),
        dead: DeadLetters::new(Arc::new(Nowhere), Clickstream::NAME),
        shared: None,
        clock: Arc::clone(&clock),
    });
    let start = clock.now().mono;
    let shards = (0..SHARDS).map(|shard| drain_shard(shard, &consumer, &clock, start));
    let (mut applied, mut failed, mut lags_ms) = (0, 0, Vec::new());
    for (of_shard, failures, lags) in join_all(shards).await {
        applied += of_shard;
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
    }
}

/// Applies a shard's part of the peak as it becomes due, batch after batch.
async fn drain_shard(
    shard: usize,
    consumer: &Clickstream,
    clock: &Arc<dyn Clock>,
    start: Duration,
) -> (u64, u64, Vec<(f64, f64)>) {
    let per_s = PEAK_PER_S as f64 / SHARDS as f64 / BEACON as f64;
    let total = (per_s * PEAK_S as f64).round() as usize;
    let now = || (clock.now().mono - start).as_secs_f64();
    let (mut done, mut failed, mut lags, mut sequence) = (0, 0, Vec::new(), 0);
    while done < total {
        let oldest_s = done as f64 / per_s;
        let wait = oldest_s + WINDOW.as_secs_f64() - now();
        if wait > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        }
        let due = ((now() * per_s) as usize).min(total);
        // A Lambda batch is at most 6 MB and 10,000 records.
        let take = (due - done).min(2_000);
        let arrived_ms = clock.now().wall_ms;
        let seed = (shard * 1_000_000 + done) as u64;
        let events: Vec<Event> = beacons(take, seed, arrived_ms).concat();
        let records = events.chunks(2_000).flat_map(pack_events).map(|packed| {
            sequence += 1;
            StreamRecord {
                position: Position {
                    shard: format!("shardId-{shard:012}"),
                    sequence: format!(
                        "4959033827149025660855969253836157109592157598913{sequence:07}"
                    ),
                },
                partition_key: packed.record.partition_key,
                data: packed.record.data,
                arrived_ms,
            }
        });
        let records: Vec<StreamRecord> = records.collect();
        let deadline = Deadline::after(Arc::clone(clock), Duration::from_secs(60));
        let outcome = consumer.consume(records, &deadline).await;
        failed += u64::from(outcome.failed_from.is_some());
        done += take;
        lags.push((now(), (now() - oldest_s) * 1e3));
    }
    ((done * BEACON) as u64, failed, lags)
}

/// Tables that answer after [`CALL`] and count what DynamoDB would bill.
#[derive(Default)]
struct Dynamo {
    rows: Mutex<HashMap<(Table, String), Row>>,
    writes: AtomicU64,
    write_units: AtomicU64,
    read_units: AtomicU64,
}

#[async_trait]
impl Tables for Dynamo {
    async fn load(
        &self,
        table: Table,
        ids: &[String],
        read: Read,
        _deadline: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error> {
        let rounds = ids.len().div_ceil(READ_BATCH).div_ceil(READS_IN_FLIGHT);
        tokio::time::sleep(CALL * u32::try_from(rounds).unwrap_or(u32::MAX)).await;
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let found: Vec<Option<Row>> = ids
            .iter()
            .map(|id| rows.get(&(table, id.clone())).cloned())
            .collect();
        drop(rows);
        // A missing item costs as one of nothing; half where lagging is fine.
        let units = found.iter().map(|row| {
            let bytes = row.as_ref().map_or(0, |row| row.bytes.len() + 100);
            (bytes.div_ceil(4_096).max(1)) as u64
        });
        let units: u64 = units.sum();
        let units = if read == Read::Consistent {
            units
        } else {
            units.div_ceil(2)
        };
        self.read_units.fetch_add(units, Ordering::Relaxed);
        Ok(found)
    }

    async fn write(
        &self,
        table: Table,
        writes: Vec<Write>,
        _deadline: &Deadline,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        let rounds = writes.len().div_ceil(WRITES_IN_FLIGHT);
        tokio::time::sleep(CALL * u32::try_from(rounds).unwrap_or(u32::MAX)).await;
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = Vec::with_capacity(writes.len());
        for Write { id, expect, change } in writes {
            let key = (table, id);
            let version = rows.get(&key).map(|row| row.version);
            let fits = match expect {
                Expect::Any => true,
                Expect::Absent => version.is_none(),
                Expect::Version(wanted) => version == Some(wanted),
            };
            if !fits {
                answers.push(Ok(Written::Conflict));
                continue;
            }
            let Change::Put { bytes, .. } = change else {
                rows.remove(&key);
                answers.push(Ok(Written::Done(0)));
                continue;
            };
            self.writes.fetch_add(1, Ordering::Relaxed);
            let units = (bytes.len() + key.1.len() + 40).div_ceil(1_024).max(1);
            self.write_units.fetch_add(units as u64, Ordering::Relaxed);
            let version = version.unwrap_or(0) + 1;
            rows.insert(key, Row { bytes, version });
            answers.push(Ok(Written::Done(version)));
        }
        Ok(answers)
    }

    async fn scan(
        &self,
        _table: Table,
        _after: Option<String>,
        _limit: usize,
        _deadline: &Deadline,
    ) -> Result<ScanPage, Error> {
        Err(Error::new(ErrorKind::Invalid, "nobody scans here"))
    }
}

/// Where poison would go; there is none.
struct Nowhere;

#[async_trait]
impl Objects for Nowhere {
    async fn put(&self, _key: &str, _bytes: Bytes, _deadline: &Deadline) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Invalid, "there is no poison"))
    }

    async fn put_file(
        &self,
        _key: &str,
        _file: &std::path::Path,
        _deadline: &Deadline,
    ) -> Result<(), Error> {
        Err(Error::new(ErrorKind::Invalid, "there is no poison"))
    }

    async fn get(&self, _key: &str, _max: u64, _deadline: &Deadline) -> Result<Bytes, Error> {
        Err(Error::new(ErrorKind::NotFound, "there is no poison"))
    }

    async fn fetch(
        &self,
        _key: &str,
        _file: &std::path::Path,
        _deadline: &Deadline,
    ) -> Result<(), Error> {
        Err(Error::new(ErrorKind::NotFound, "there is no poison"))
    }

    async fn list(&self, _prefix: &str, _deadline: &Deadline) -> Result<Vec<ObjectMeta>, Error> {
        Ok(Vec::new())
    }

    async fn delete(&self, _keys: &[String], _deadline: &Deadline) -> Result<(), Error> {
        Ok(())
    }
}
