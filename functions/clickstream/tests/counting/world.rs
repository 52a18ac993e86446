//! Tables that die in the middle of a write, and a stream that delivers in any cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use clickstream::{Clickstream, Parts};
use embedded::{EmbeddedObjects, EmbeddedTables};
use engine::{Event, EventKind, UserId, UserState, VideoId};
use guard::{Clock, Deadline, ManualClock};
use store::counters::{HotVideos, VideoCounts};
use store::{
    DeadLetters, Error, ErrorKind, Objects, Position, Read, Row, ScanPage, StreamRecord, Table,
    Tables, Users, Write, Written, aggregate, apply_event, events,
};

pub const NOW_MS: i64 = 1_700_000_000_000;
pub const HOUR_MS: i64 = 3_600_000;

/// Tables whose owner is killed at a chosen write; what was written by then stays.
pub struct Mortal {
    inner: EmbeddedTables,
    lives: AtomicI64,
    /// Rows of the write it died in.
    last_words: Mutex<Vec<String>>,
}

impl Mortal {
    /// Dies at the `n`th write from now.
    pub fn dies_at(&self, n: i64) {
        self.lives.store(n, Ordering::SeqCst);
    }

    pub fn lives_on(&self) {
        self.lives.store(i64::MAX, Ordering::SeqCst);
    }

    pub fn is_dead(&self) -> bool {
        self.lives.load(Ordering::SeqCst) <= 0
    }

    /// Whether it died telling what is hot in a shard, which nobody waits for.
    pub fn died_telling(&self, shard: &str) -> bool {
        *self.last_words.lock().unwrap() == [HotVideos::row_id(shard)]
    }
}

#[async_trait]
impl Tables for Mortal {
    async fn load(
        &self,
        table: Table,
        ids: &[String],
        read: Read,
        deadline: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error> {
        if self.is_dead() {
            return Err(Error::new(ErrorKind::Unavailable, "killed"));
        }
        self.inner.load(table, ids, read, deadline).await
    }

    async fn write(
        &self,
        table: Table,
        mut writes: Vec<Write>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        let wanted = writes.len() as i64;
        let left = self.lives.fetch_sub(wanted, Ordering::SeqCst);
        if left > wanted {
            return self.inner.write(table, writes, deadline).await;
        }
        if left > 0 {
            *self.last_words.lock().unwrap() =
                writes.iter().map(|write| write.id.clone()).collect();
        }
        writes.truncate(left.max(0) as usize);
        if !writes.is_empty() {
            self.inner.write(table, writes, deadline).await?;
        }
        Err(Error::new(ErrorKind::Unavailable, "killed"))
    }

    async fn scan(
        &self,
        table: Table,
        after: Option<String>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<ScanPage, Error> {
        self.inner.scan(table, after, limit, deadline).await
    }
}

/// A store, a consumer over it, and what it should have counted.
pub struct World {
    pub tables: Arc<Mortal>,
    pub objects: Arc<EmbeddedObjects>,
    pub consumer: Clickstream,
    pub deadline: Deadline,
    seen: Mutex<Vec<Event>>,
    _dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(NOW_MS));
        let inner = EmbeddedTables::open(&dir.path().join("tables")).unwrap();
        let tables = Arc::new(Mortal {
            inner,
            lives: AtomicI64::new(i64::MAX),
            last_words: Mutex::default(),
        });
        let objects = Arc::new(EmbeddedObjects::open(&dir.path().join("objects")).unwrap());
        let deadline = Deadline::after(Arc::clone(&clock), Duration::from_secs(600));
        let kept: Arc<dyn Objects> = objects.clone();
        let consumer = Clickstream::new(Parts {
            users: Arc::new(Users::new(tables.clone())),
            counters: tables.clone(),
            dead: DeadLetters::new(kept, Clickstream::NAME),
            shared: None,
            clock,
        });
        let seen = Mutex::default();
        Self {
            tables,
            objects,
            consumer,
            deadline,
            seen,
            _dir: dir,
        }
    }

    /// A record of one shard holding these events; they count from now on.
    pub fn record(&self, shard: &str, sequence: u64, batch: &[Event]) -> StreamRecord {
        self.seen.lock().unwrap().extend_from_slice(batch);
        let items = batch
            .iter()
            .map(|event| ("key".to_owned(), events::encode(event)));
        let mut packed = aggregate::pack(items.collect());
        assert_eq!(packed.len(), 1);
        record(shard, sequence, packed.remove(0).data)
    }

    /// Holds what is stored against what was sent, each id once.
    pub async fn check(&self, shards: &[String]) {
        let sent: BTreeMap<String, Event> = {
            let seen = self.seen.lock().unwrap();
            seen.iter()
                .rev()
                .map(|event| (event.event_id.to_string(), event.clone()))
                .collect()
        };
        let mut totals = BTreeMap::<(VideoId, EventKind), u64>::new();
        let mut popular = BTreeSet::new();
        for event in sent.values() {
            *totals
                .entry((event.video_id.clone(), event.kind))
                .or_default() += 1;
            let hour = event.ts_ms.div_euclid(HOUR_MS);
            popular.insert((
                event.video_id.clone(),
                hour,
                event.kind,
                event.user_id.clone(),
            ));
        }
        let videos: Vec<VideoId> = totals
            .keys()
            .map(|(video, _)| video.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let counts = VideoCounts::load(&*self.tables, &videos, shards, &self.deadline)
            .await
            .unwrap();
        let (mut counted, mut hours) = (BTreeMap::new(), 0);
        for (video, counts) in videos.iter().zip(counts) {
            counted.extend(
                counts
                    .totals
                    .iter()
                    .map(|(kind, n)| ((video.clone(), *kind), *n)),
            );
            hours += counts
                .hours
                .values()
                .flat_map(BTreeMap::values)
                .sum::<u64>();
        }
        assert_eq!(counted, totals);
        assert_eq!(
            hours,
            popular.len() as u64,
            "one user counts once per video, kind and hour"
        );
        self.check_users(&sent).await;
    }

    async fn check_users(&self, sent: &BTreeMap<String, Event>) {
        let mut states = BTreeMap::<UserId, UserState>::new();
        for event in sent.values() {
            apply_event(states.entry(event.user_id.clone()).or_default(), event);
        }
        let ids: Vec<UserId> = states.keys().cloned().collect();
        let users = Users::new(self.tables.clone());
        let stored = users
            .load(&ids, Read::Consistent, &self.deadline)
            .await
            .unwrap();
        for (id, stored) in ids.iter().zip(stored) {
            let stored = stored.unwrap();
            assert_eq!(
                UserState {
                    version: 0,
                    ..stored
                },
                states[id],
                "{id}"
            );
        }
    }
}

pub fn record(shard: &str, sequence: u64, data: bytes::Bytes) -> StreamRecord {
    StreamRecord {
        position: Position {
            shard: shard.to_owned(),
            sequence: sequence.to_string(),
        },
        partition_key: "key".to_owned(),
        data,
        arrived_ms: NOW_MS,
    }
}

pub fn event(id: usize, user: u64, video: u64, kind: EventKind, ts_ms: i64) -> Event {
    Event {
        event_id: format!("e{id}").into(),
        kind,
        user_id: UserId::parse(&format!("u{user}")).unwrap(),
        video_id: VideoId::parse(&format!("v{video}")).unwrap(),
        ts_ms,
        watch_ms: Some(9_000),
        duration_ms: Some(18_000),
        scene: "home".into(),
        market: "".into(),
        creator_id: None,
        undo: false,
        recommendation_id: "".into(),
        slate_position: None,
        arms: "".into(),
        made: None,
    }
}
