//! The archive over objects in a folder.

use std::sync::Arc;
use std::time::Duration;

use archive::{Archive, Parts};
use bytes::Bytes;
use embedded::EmbeddedObjects;
use engine::{Event, EventKind, UserId, VideoId};
use guard::{Clock, Deadline, ManualClock};
use lake::{Lake, LakeRow};
use store::{
    BatchOutcome, Consumer, DeadLetters, Objects, Position, StreamRecord, aggregate, events,
};

/// 2026-11-20T23:00Z.
pub const HOUR_MS: i64 = 1_795_215_600_000;

pub struct World {
    pub archive: Archive,
    pub lake: Arc<Lake>,
    objects: Arc<dyn Objects>,
    pub deadline: Deadline,
    _dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(HOUR_MS));
        let objects: Arc<dyn Objects> = Arc::new(EmbeddedObjects::open(dir.path()).unwrap());
        let lake = Arc::new(Lake::new(objects.clone()));
        let dead = DeadLetters::new(objects.clone(), Archive::NAME);
        let deadline = Deadline::after(clock.clone(), Duration::from_secs(60));
        let archive = Archive::new(Parts {
            lake: lake.clone(),
            dead,
            clock,
        });
        Self {
            archive,
            lake,
            objects,
            deadline,
            _dir: dir,
        }
    }

    pub async fn consume(&self, batch: &[StreamRecord]) {
        let outcome = self.archive.consume(batch.to_vec(), &self.deadline).await;
        assert_eq!(outcome, BatchOutcome::done());
    }

    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = self.objects.list(prefix, &self.deadline).await.unwrap();
        listed.into_iter().map(|meta| meta.key).collect()
    }

    pub async fn rows(&self) -> Vec<LakeRow> {
        let mut rows = Vec::new();
        for key in self.keys("lake/").await {
            for batch in self.lake.open(&key, &self.deadline).await.unwrap() {
                rows.extend(batch.unwrap());
            }
        }
        rows
    }
}

pub fn event(id: u32, ts_ms: i64) -> Event {
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
        arms: "".into(),
        made: None,
    }
}

pub fn record(sequence: u64, events: &[Bytes]) -> StreamRecord {
    let items = events.iter().map(|event| ("k".to_owned(), event.clone()));
    StreamRecord {
        position: Position {
            shard: "shard-000".to_owned(),
            sequence: sequence.to_string(),
        },
        partition_key: "k".to_owned(),
        data: aggregate::pack(items.collect()).remove(0).data,
        arrived_ms: HOUR_MS,
    }
}

pub fn records(range: std::ops::Range<u64>) -> Vec<StreamRecord> {
    let of = |n: u64| {
        let ids = [n as u32 * 2, n as u32 * 2 + 1];
        record(
            n,
            &ids.map(|id| events::encode(&event(id, HOUR_MS + i64::from(id) * 600_000))),
        )
    };
    range.map(of).collect()
}
