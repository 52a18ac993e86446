//! What the archive writes, and that retries write nothing else.

use std::sync::Arc;
use std::time::Duration;

use archive::{Archive, Parts};
use bytes::Bytes;
use embedded::EmbeddedObjects;
use engine::{Event, EventKind, UserId, VideoId};
use guard::{Clock, Deadline, ManualClock};
use lake::{Dedupe, Lake, LakeRow};
use store::{
    BatchOutcome, Consumer, DeadLetters, Objects, Position, StreamRecord, aggregate, events,
};

/// 2026-11-20T23:00Z.
const HOUR_MS: i64 = 1_795_215_600_000;

struct World {
    archive: Archive,
    lake: Arc<Lake>,
    objects: Arc<dyn Objects>,
    deadline: Deadline,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(HOUR_MS));
        let objects: Arc<dyn Objects> = Arc::new(EmbeddedObjects::open(dir.path()).unwrap());
        let lake = Arc::new(Lake::new(objects.clone()));
        let dead = DeadLetters::new(objects.clone(), Archive::NAME);
        let deadline = Deadline::after(clock.clone(), Duration::from_secs(60));
        let archive = Archive::new(Parts { lake: lake.clone(), dead, clock });
        Self { archive, lake, objects, deadline, _dir: dir }
    }

    async fn consume(&self, batch: &[StreamRecord]) {
        let outcome = self.archive.consume(batch.to_vec(), &self.deadline).await;
        assert_eq!(outcome, BatchOutcome::done());
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = self.objects.list(prefix, &self.deadline).await.unwrap();
        listed.into_iter().map(|meta| meta.key).collect()
    }

    async fn rows(&self) -> Vec<LakeRow> {
        let mut rows = Vec::new();
        for key in self.keys("lake/").await {
            for batch in self.lake.open(&key, &self.deadline).await.unwrap() {
                rows.extend(batch.unwrap());
            }
        }
        rows
    }
}

fn event(id: u32, ts_ms: i64) -> Event {
    Event {
        event_id: format!("e{id}").into(),
        kind: EventKind::Served,
        user_id: UserId::parse("u1").unwrap(),
        video_id: VideoId::parse("v1").unwrap(),
        ts_ms,
        watch_ms: None,
        duration_ms: None,
        scene: "home".into(),
        market: "DE".into(),
        creator_id: None,
        undo: false,
        recommendation_id: "r1".into(),
        slate_position: Some(3),
    }
}

fn record(sequence: u64, events: &[Bytes]) -> StreamRecord {
    let items = events.iter().map(|event| ("k".to_owned(), event.clone()));
    StreamRecord {
        position: Position { shard: "shard-000".to_owned(), sequence: sequence.to_string() },
        partition_key: "k".to_owned(),
        data: aggregate::pack(items.collect()).remove(0).data,
        arrived_ms: HOUR_MS,
    }
}

fn records(range: std::ops::Range<u64>) -> Vec<StreamRecord> {
    let of = |n: u64| {
        let ids = [n as u32 * 2, n as u32 * 2 + 1];
        record(n, &ids.map(|id| events::encode(&event(id, HOUR_MS + i64::from(id) * 600_000))))
    };
    range.map(of).collect()
}

#[tokio::test]
async fn a_batch_becomes_one_object_per_hour_and_again_the_same() {
    let world = World::new();
    let batch = records(8..12);
    world.consume(&batch).await;
    let (keys, rows) = (world.keys("lake/").await, world.rows().await);
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(keys.iter().all(|key| key.ends_with("/shard-000_8_11.parquet")), "{keys:?}");
    let mut ids: Vec<(String, u32, Event)> =
        rows.iter().map(|row| (row.sequence.to_string(), row.index, row.event.clone())).collect();
    ids.sort_by_key(|(_, _, event)| event.ts_ms);
    let expected = (16..24_u32).map(|id| {
        let sent = event(id, HOUR_MS + i64::from(id) * 600_000);
        ((id / 2).to_string(), id % 2, sent)
    });
    assert_eq!(ids, expected.collect::<Vec<_>>());
    world.consume(&batch).await;
    assert_eq!((world.keys("lake/").await, world.rows().await), (keys, rows));
}

#[tokio::test]
async fn batches_cut_anew_add_nothing_that_deduplication_lets_through() {
    let world = World::new();
    for range in [0..4, 0..6, 4..7, 3..12] {
        world.consume(&records(range)).await;
    }
    let rows = world.rows().await;
    let mut once = Dedupe::new();
    assert_eq!(rows.iter().filter(|row| once.admit(row)).count(), 24);
    assert!(rows.len() > 24);
}

#[tokio::test]
async fn poison_and_events_out_of_time_are_kept_aside() {
    let world = World::new();
    let poison = Bytes::from_static(b"\x01nonsense");
    let out_of_time = events::encode(&event(2, -1));
    let good = events::encode(&event(1, HOUR_MS));
    world.consume(&[record(5, &[poison, out_of_time, good])]).await;
    assert_eq!(world.rows().await.len(), 1);
    let dead = world.keys("dead/").await;
    assert_eq!(dead, ["dead/archive/shard-000/5.0.json", "dead/archive/shard-000/5.1.json"]);
}

#[tokio::test]
async fn a_store_that_fails_fails_the_batch_from_its_first_record() {
    let world = World::new();
    let batch = records(8..12);
    world.deadline.cancel();
    let outcome = world.archive.consume(batch.clone(), &world.deadline).await;
    assert_eq!(outcome.failed_from.as_ref(), Some(&batch[0].position));
}
