//! Row 10: events into aggregates, through the embedded log, and towards Kinesis.
//!
//! ```text
//! encode ── one thread, CPU time ──── beside MD5 over the same bytes, which is the ceiling
//! log ───── 42,000 events/s, open model, 60 s ──► EmbeddedStream on this disk, synced
//! kinesis ─ 42,000 events/s, open model, 60 s ──► a stub that answers after 15 ms and adds up what
//!                                                 each shard would have to take
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use embedded::EmbeddedStream;
use engine::{Event, EventKind};
use guard::{Clock, Deadline, Tasks};
use hdrhistogram::Histogram;
use md5::{Digest, Md5};
use ops::RealClock;
use serde::Serialize;
use smol_str::{SmolStr, format_smolstr};
use store::publish::pack_events;
use store::{Error, ErrorKind, Position, Record, Stream, StreamRecord, publish_events};

use crate::measure::compare::{Random, median};
use crate::measure::{Plan, Report, compare, cpu};
use crate::world;

/// The original's peak.
pub const PEAK_PER_S: u64 = 42_000;
/// How long the peak lasts here.
pub const PEAK_S: u64 = 60;
/// Events of one client's beacon: a page of cards and what was done with them.
pub const BEACON: usize = 20;
/// What one Kinesis shard takes: bytes and records a second.
/// <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
pub const SHARD_BYTES: u64 = 1_048_576;
const SHARD_RECORDS: u64 = 1_000;

/// Longest latency that is told from a longer one, in microseconds: the publishers' patience.
const LONGEST_US: u64 = 60_000_000;

const NOW_MS: i64 = 1_760_000_000_000;
const USERS: usize = 200_000;
const BLOCK: usize = 100_000;

/// Runs all three.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    encode(report);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let folder = tempfile::tempdir_in(crate::measure::report::root().join("target"))?;
    let log = EmbeddedStream::open(folder.path(), 2).map_err(|e| anyhow::anyhow!("{e}"))?;
    let run = runtime.block_on(peak(Arc::new(log)))?;
    let written = folder_bytes(folder.path())?;
    report.check(
        "embedded log, synced: 42,000 events/s for 60 s",
        format!(
            "{:.0} events/s, all acknowledged {:.3} s after the last was due; ack p50 {:.1} ms, p99 \
             {:.1} ms; {:.0} MB on disk, {:.1} bytes an event",
            run.per_s,
            run.tail_s,
            run.p50_ms,
            run.p99_ms,
            written as f64 / 1e6,
            written as f64 / run.events as f64,
        ),
        "no growing backlog",
        run.sustained(),
    );
    report.keep("embedded log", &run);

    let kinesis = Arc::new(Kinesis::default());
    let run = runtime.block_on(peak(kinesis.clone()))?;
    let load = kinesis.load(PEAK_S);
    report.check(
        "encoder + stubbed Kinesis: 42,000 events/s for 60 s",
        format!(
            "{:.0} events/s; {:.2} MB/s and {:.0} records/s, {:.0} bytes a record; the busiest of 6 \
             shards takes {:.2} MB/s and {:.0} records/s",
            run.per_s,
            load.bytes_per_s / 1e6,
            load.records_per_s,
            load.bytes_per_s / load.records_per_s,
            load.busiest_bytes_per_s / 1e6,
            load.busiest_records_per_s,
        ),
        "≤ 6 shards",
        run.sustained() && load.shards <= 6,
    );
    report.tell(
        "shards that this needs",
        format!("{}, by bytes and records of the busiest", load.shards),
    );
    report.keep("stubbed Kinesis", (&run, &load));
    report.note(format!(
        "Events are {:.0} bytes encoded; clients send {BEACON} of one user at a time, as a page of \
         cards does. The log lies on this machine's disk and is synced before it acknowledges.",
        mean_bytes()
    ));
    Ok(())
}

/// One thread's CPU time per event, from events to finished aggregates.
fn encode(report: &mut Report) {
    let events = beacons(BLOCK / BEACON, 3, NOW_MS).concat();
    let batches: Vec<&[Event]> = events.chunks(2_000).collect();
    let bytes: Vec<Vec<u8>> = batches
        .iter()
        .map(|batch| {
            let packed = pack_events(batch);
            packed
                .iter()
                .flat_map(|one| one.record.data.to_vec())
                .collect()
        })
        .collect();
    let spent = |work: &mut dyn FnMut()| {
        let before = cpu::this_thread();
        work();
        (cpu::this_thread() - before).as_secs_f64() / events.len() as f64 * 1e9
    };
    let found = compare(
        Plan::default(),
        || {
            spent(&mut || {
                for bytes in &bytes {
                    std::hint::black_box(Md5::digest(bytes));
                }
            })
        },
        || {
            spent(&mut || {
                for batch in &batches {
                    std::hint::black_box(pack_events(batch));
                }
            })
        },
    );
    report.compared(
        "encoding an event over MD5 of its bytes alone",
        &found,
        "",
        |ratio| {
            (
                format!("{:.2} [{:.2}, {:.2}]", ratio.median, ratio.low, ratio.high),
                true,
            )
        },
    );
    let per_s = 1e9 / found.b.median;
    let total: usize = bytes.iter().map(Vec::len).sum();
    report.check(
        "encoding into KPL aggregates, one core",
        format!(
            "{:.2} M events/s ({:.0} ns each, {:.0} bytes each in aggregates); MD5 alone {:.2} M",
            per_s / 1e6,
            found.b.median,
            total as f64 / events.len() as f64,
            1e3 / found.a.median,
        ),
        "≥ 2 M events/s",
        per_s >= 2e6,
    );
}

/// How a minute of the peak went.
#[derive(Debug, Serialize)]
struct Run {
    events: u64,
    per_s: f64,
    /// From when the last was due to when the last was acknowledged.
    tail_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    failed: u64,
}

impl Run {
    /// Nothing failed, and the last second's acknowledgements came within one more.
    fn sustained(&self) -> bool {
        self.failed == 0 && self.tail_s < 1.0
    }
}

/// Offers the peak on schedule, whatever the stream does; latency counts from the intended time.
async fn peak(stream: Arc<dyn Stream>) -> anyhow::Result<Run> {
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let tasks = Tasks::new();
    let per_s = PEAK_PER_S / BEACON as u64;
    let total = per_s * PEAK_S;
    let beacons = Arc::new(beacons(20_000, 7, NOW_MS));
    // With bounds: one that grows by itself does not when it may saturate.
    let latency = Histogram::<u64>::new_with_bounds(1, LONGEST_US, 3).context("a histogram")?;
    let latency = Arc::new(Mutex::new(latency));
    let failed = Arc::new(AtomicU64::new(0));
    let start = clock.now().mono;
    let mut sent = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while sent < total {
        tick.tick().await;
        let due = (clock.now().mono - start).as_secs_f64() * per_s as f64;
        while sent < total && (sent as f64) < due {
            let intended = start + Duration::from_secs_f64(sent as f64 / per_s as f64);
            let (beacons, stream, clock) = (beacons.clone(), stream.clone(), clock.clone());
            let (latency, failed) = (latency.clone(), failed.clone());
            let number = sent as usize;
            tasks.spawn(async move {
                let deadline = Deadline::after(Arc::clone(&clock), Duration::from_secs(30));
                let Some(events) = beacons.get(number % beacons.len()) else {
                    return;
                };
                let answers = publish_events(&*stream, events, &deadline).await;
                let lost = answers.iter().filter(|answer| answer.is_err()).count();
                failed.fetch_add(lost as u64, Ordering::Relaxed);
                let took = (clock.now().mono - intended).as_micros() as u64;
                let mut latency = latency.lock().unwrap_or_else(PoisonError::into_inner);
                latency.saturating_record(took);
            });
            sent += 1;
        }
    }
    tasks.drain(Duration::from_secs(60)).await;
    let ended = clock.now().mono - start;
    let latency = latency.lock().unwrap_or_else(PoisonError::into_inner);
    let events = total * BEACON as u64;
    Ok(Run {
        events,
        per_s: events as f64 / ended.as_secs_f64(),
        tail_s: (ended.as_secs_f64() - PEAK_S as f64).max(0.0),
        p50_ms: latency.value_at_quantile(0.5) as f64 / 1e3,
        p99_ms: latency.value_at_quantile(0.99) as f64 / 1e3,
        failed: failed.load(Ordering::Relaxed),
    })
}

/// Answers after a while and adds up what came, by the hash that chooses a shard.
#[derive(Default)]
struct Kinesis {
    /// Bytes and records by the first byte of the key's MD5.
    took: Mutex<Vec<(u64, u64)>>,
}

#[derive(Debug, Serialize)]
struct Load {
    bytes_per_s: f64,
    records_per_s: f64,
    busiest_bytes_per_s: f64,
    busiest_records_per_s: f64,
    shards: u64,
}

impl Kinesis {
    fn load(&self, seconds: u64) -> Load {
        let took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        let busiest = |shards: u64| {
            let mut sums = vec![(0, 0); shards as usize];
            for (first, (bytes, records)) in (0_u64..).zip(took.iter()) {
                if let Some(sum) = sums.get_mut((first * shards / 256) as usize) {
                    *sum = (sum.0 + bytes, sum.1 + records);
                }
            }
            let of =
                |pick: fn(&(u64, u64)) -> u64| sums.iter().map(pick).max().unwrap_or(0) / seconds;
            (of(|sum| sum.0), of(|sum| sum.1))
        };
        let fits = |shards: &u64| {
            let (bytes, records) = busiest(*shards);
            bytes <= SHARD_BYTES && records <= SHARD_RECORDS
        };
        let (bytes, records) = busiest(1);
        let (busiest_bytes, busiest_records) = busiest(6);
        Load {
            bytes_per_s: bytes as f64,
            records_per_s: records as f64,
            busiest_bytes_per_s: busiest_bytes as f64,
            busiest_records_per_s: busiest_records as f64,
            shards: (1..=256).find(fits).unwrap_or(u64::MAX),
        }
    }
}

#[async_trait]
impl Stream for Kinesis {
    async fn append(
        &self,
        records: Vec<Record>,
        _deadline: &Deadline,
    ) -> Result<Vec<Result<Position, Error>>, Error> {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        took.resize(256, (0, 0));
        let answers = records.iter().map(|record| {
            let digest = Md5::digest(record.partition_key.as_bytes());
            let first = digest.first().copied().unwrap_or_default();
            if let Some(sum) = took.get_mut(usize::from(first)) {
                sum.0 += (record.data.len() + record.partition_key.len()) as u64;
                sum.1 += 1;
            }
            Ok(Position {
                shard: "shardId-000000000000".to_owned(),
                sequence: "1".to_owned(),
            })
        });
        Ok(answers.collect())
    }

    async fn shards(&self, _deadline: &Deadline) -> Result<Vec<String>, Error> {
        Err(Error::new(ErrorKind::Invalid, "only written to"))
    }

    async fn read(
        &self,
        _shard: &str,
        _after: Option<&str>,
        _limit: usize,
        _deadline: &Deadline,
    ) -> Result<Vec<StreamRecord>, Error> {
        Err(Error::new(ErrorKind::Invalid, "only written to"))
    }
}

/// What clients send: each a list of one user's events, videos as popular as 1/rank.
pub fn beacons(count: usize, seed: u64, ts_ms: i64) -> Vec<Vec<Event>> {
    let mut random = Random(seed);
    (0..count)
        .map(|number| {
            let user_id = world::user(random.below(USERS));
            let events = (0..BEACON).map(|at| {
                // Zipf with exponent 1 over 100,000 videos, by inversion.
                let rank = (100_000_f64.powf(random.unit()) as usize).saturating_sub(1);
                let kind = match at % 10 {
                    0..=6 => EventKind::Impression,
                    7 => EventKind::Click,
                    8 => EventKind::Watch,
                    _ => EventKind::Like,
                };
                Event {
                    event_id: format_smolstr!("{:016x}{number:06x}{at:02x}", random.next()),
                    kind,
                    user_id: user_id.clone(),
                    video_id: world::video_id(rank),
                    ts_ms,
                    watch_ms: (kind == EventKind::Watch).then_some(19_000),
                    duration_ms: (kind == EventKind::Watch).then_some(30_000),
                    scene: SmolStr::new_static("home"),
                    market: SmolStr::new_static("DE"),
                    creator_id: None,
                    undo: false,
                    recommendation_id: SmolStr::new_static("0123456789abcdef"),
                    slate_position: u16::try_from(at).ok(),
                    arms: SmolStr::new_static("home_rank=b;home_mix=control"),
                    made: None,
                }
            });
            events.collect()
        })
        .collect()
}

fn mean_bytes() -> f64 {
    let events = beacons(500, 3, NOW_MS).concat();
    let total: usize = events.iter().map(store::events::encoded_len).sum();
    total as f64 / events.len() as f64
}

fn folder_bytes(folder: &std::path::Path) -> std::io::Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        total += if meta.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(total)
}

/// The median of these.
pub fn middle(values: Vec<f64>) -> f64 {
    median(values)
}
