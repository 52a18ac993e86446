//! Ports in memory that break when told to, for this crate's own tests.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use engine::{CreatorId, Event, EventKind, Made, UserId, VideoId};
use guard::{Deadline, ManualClock};
use proptest::prelude::*;

use crate::ports::*;
use crate::{Error, ErrorKind};

pub const NOW_MS: i64 = 1_760_000_000_000;

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(NOW_MS))
}

pub fn deadline(clock: &Arc<ManualClock>) -> Deadline {
    Deadline::after(clock.clone(), Duration::from_secs(10))
}

pub fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub fn video(name: &str) -> VideoId {
    VideoId::parse(name).unwrap()
}

pub fn event(kind: EventKind, user_id: &str, video_id: &str, ts_ms: i64) -> Event {
    Event {
        event_id: format!("{user_id}-{video_id}-{ts_ms}").into(),
        kind,
        user_id: user(user_id),
        video_id: video(video_id),
        ts_ms,
        watch_ms: None,
        duration_ms: None,
        scene: "".into(),
        market: "".into(),
        creator_id: None,
        undo: false,
        recommendation_id: "".into(),
        slate_position: None,
        arms: "".into(),
        made: None,
    }
}

/// Any event that `ingest` would let in.
pub fn any_event() -> impl Strategy<Value = Event> {
    const ID: &str = "[A-Za-z0-9_-]{1,64}";
    let who = (
        ID,
        prop::sample::select(&EventKind::ALL[..]),
        ID,
        ID,
        0..i64::MAX,
    );
    let how = (
        any::<Option<u32>>(),
        any::<Option<u32>>(),
        "[a-z_]{0,64}",
        "[A-Z]{0,2}",
    );
    let why = (
        prop::option::of(ID),
        any::<bool>(),
        "[a-z0-9-]{0,64}",
        any::<Option<u16>>(),
        "[a-z_=;]{0,80}",
        prop::option::of(("[a-z0-9.-]{1,64}", 1..=Made::CERTAIN_PPB)),
    );
    (who, how, why).prop_map(|(who, how, why)| Event {
        event_id: who.0.into(),
        kind: who.1,
        user_id: user(&who.2),
        video_id: video(&who.3),
        ts_ms: who.4,
        watch_ms: how.0,
        duration_ms: how.1,
        scene: how.2.into(),
        market: how.3.into(),
        creator_id: why.0.map(|id| CreatorId::parse(&id).unwrap()),
        undo: why.1,
        recommendation_id: why.2.into(),
        slate_position: why.3,
        arms: why.4.into(),
        made: why
            .5
            .and_then(|(generation, chance)| Made::new(&generation, chance)),
    })
}

/// Tables in memory.
#[derive(Default)]
pub struct MemoryTables {
    rows: Mutex<BTreeMap<(Table, String), Row>>,
    /// So many writes find that another was first.
    pub conflicts: AtomicU32,
    /// Every call fails.
    pub down: AtomicBool,
    pub loads: AtomicUsize,
    pub writes: AtomicUsize,
}

impl MemoryTables {
    pub fn insert(&self, table: Table, id: &str, bytes: Bytes) {
        let mut rows = self.rows.lock().unwrap();
        let version = rows
            .get(&(table, id.to_owned()))
            .map_or(1, |row| row.version + 1);
        rows.insert((table, id.to_owned()), Row { bytes, version });
    }

    pub fn row(&self, table: Table, id: &str) -> Option<Row> {
        self.rows
            .lock()
            .unwrap()
            .get(&(table, id.to_owned()))
            .cloned()
    }

    fn check(&self, calls: &AtomicUsize) -> Result<(), Error> {
        calls.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "reach the tables"));
        }
        Ok(())
    }

    fn apply(&self, table: Table, write: Write) -> Written {
        let mut rows = self.rows.lock().unwrap();
        let key = (table, write.id);
        let now = rows.get(&key).map(|row| row.version);
        let holds = match write.expect {
            Expect::Any => true,
            Expect::Absent => now.is_none(),
            Expect::Version(version) => now == Some(version),
        };
        if !holds {
            return Written::Conflict;
        }
        let version = now.unwrap_or(0) + 1;
        match write.change {
            Change::Put { bytes, .. } => {
                rows.insert(key, Row { bytes, version });
                Written::Done(version)
            }
            Change::Delete => {
                rows.remove(&key);
                Written::Done(0)
            }
        }
    }
}

#[async_trait]
impl Tables for MemoryTables {
    async fn load(
        &self,
        table: Table,
        ids: &[String],
        _: Read,
        _: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error> {
        self.check(&self.loads)?;
        Ok(ids.iter().map(|id| self.row(table, id)).collect())
    }

    async fn write(
        &self,
        table: Table,
        writes: Vec<Write>,
        _: &Deadline,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        self.check(&self.writes)?;
        let beaten = |n: u32| n.checked_sub(1);
        let answers = writes.into_iter().map(|write| {
            match self
                .conflicts
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, beaten)
            {
                Ok(_) => Ok(Written::Conflict),
                Err(_) => Ok(self.apply(table, write)),
            }
        });
        Ok(answers.collect())
    }

    async fn scan(
        &self,
        table: Table,
        after: Option<String>,
        limit: usize,
        _: &Deadline,
    ) -> Result<ScanPage, Error> {
        let after = after.unwrap_or_default();
        let rows = self.rows.lock().unwrap();
        let all = rows
            .iter()
            .filter(|((t, id), _)| *t == table && *id > after);
        let rows: Vec<(String, Row)> = all
            .take(limit)
            .map(|((_, id), row)| (id.clone(), row.clone()))
            .collect();
        let next = (rows.len() == limit).then(|| rows[limit - 1].0.clone());
        Ok(ScanPage { rows, next })
    }
}

/// How one call of [`MemoryStream`] goes.
pub enum Step {
    /// The whole call fails.
    Fail(ErrorKind),
    /// Every record whose place in the call is named fails.
    FailRecords(Vec<usize>, ErrorKind),
    /// It never answers.
    Hang,
}

/// A stream in memory that follows a script, then works.
#[derive(Default)]
pub struct MemoryStream {
    pub script: Mutex<VecDeque<Step>>,
    pub kept: Mutex<Vec<Record>>,
    /// Number of records in each call.
    pub calls: Mutex<Vec<usize>>,
}

#[async_trait]
impl Stream for MemoryStream {
    async fn append(
        &self,
        records: Vec<Record>,
        _: &Deadline,
    ) -> Result<Vec<Result<Position, Error>>, Error> {
        self.calls.lock().unwrap().push(records.len());
        let step = self.script.lock().unwrap().pop_front();
        let failing = match step {
            Some(Step::Fail(kind)) => return Err(Error::new(kind, "append")),
            Some(Step::Hang) => std::future::pending().await,
            Some(Step::FailRecords(places, kind)) => Some((places, kind)),
            None => None,
        };
        let answers = records.into_iter().enumerate().map(|(at, record)| {
            if let Some((places, kind)) = &failing
                && places.contains(&at)
            {
                return Err(Error::new(*kind, "append"));
            }
            let mut kept = self.kept.lock().unwrap();
            kept.push(record);
            Ok(Position {
                shard: "0".to_owned(),
                sequence: kept.len().to_string(),
            })
        });
        Ok(answers.collect())
    }

    async fn shards(&self, _: &Deadline) -> Result<Vec<String>, Error> {
        Ok(vec!["0".to_owned()])
    }

    async fn read(
        &self,
        _: &str,
        _: Option<&str>,
        _: usize,
        _: &Deadline,
    ) -> Result<Vec<StreamRecord>, Error> {
        Ok(Vec::new())
    }
}

impl MemoryStream {
    pub fn following(script: impl IntoIterator<Item = Step>) -> Arc<Self> {
        let script = Mutex::new(script.into_iter().collect());
        Arc::new(Self {
            script,
            ..Self::default()
        })
    }

    /// Every event that arrived, in order.
    pub fn events(&self) -> Vec<Event> {
        let kept = self.kept.lock().unwrap();
        let items = kept
            .iter()
            .flat_map(|record| crate::aggregate::unpack(&record.data).unwrap());
        items
            .map(|(_, data)| crate::events::decode(&data).unwrap())
            .collect()
    }
}

/// Objects in memory.
#[derive(Default)]
pub struct MemoryObjects {
    pub kept: Mutex<HashMap<String, Bytes>>,
    /// Every call fails.
    pub down: AtomicBool,
    /// Nothing that is asked for ever arrives.
    pub stalled: AtomicBool,
    /// Keys that were written, in order.
    pub written: Mutex<Vec<String>>,
    /// Puts wait for each other.
    pub together: Mutex<Option<Arc<tokio::sync::Barrier>>>,
    pub fetches: AtomicUsize,
}

impl MemoryObjects {
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.kept.lock().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    }

    fn check(&self) -> Result<(), Error> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "reach the objects"));
        }
        Ok(())
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn put(&self, key: &str, bytes: Bytes, _: &Deadline) -> Result<(), Error> {
        self.check()?;
        let together = self.together.lock().unwrap().clone();
        if let Some(others) = together {
            others.wait().await;
        }
        self.kept.lock().unwrap().insert(key.to_owned(), bytes);
        self.written.lock().unwrap().push(key.to_owned());
        Ok(())
    }

    async fn put_file(&self, key: &str, file: &Path, deadline: &Deadline) -> Result<(), Error> {
        self.put(key, std::fs::read(file).unwrap().into(), deadline)
            .await
    }

    async fn get(&self, key: &str, bytes_max: u64, _: &Deadline) -> Result<Bytes, Error> {
        self.check()?;
        if self.stalled.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let bytes = self.kept.lock().unwrap().get(key).cloned();
        let bytes = bytes.ok_or_else(|| Error::new(ErrorKind::NotFound, "get"))?;
        if bytes.len() as u64 > bytes_max {
            return Err(Error::new(ErrorKind::Invalid, "get"));
        }
        Ok(bytes)
    }

    async fn fetch(&self, key: &str, file: &Path, deadline: &Deadline) -> Result<(), Error> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let bytes = self.get(key, u64::MAX, deadline).await?;
        assert!(!file.exists(), "fetch into a file that is there");
        std::fs::write(file, bytes).unwrap();
        Ok(())
    }

    async fn list(&self, prefix: &str, _: &Deadline) -> Result<Vec<ObjectMeta>, Error> {
        self.check()?;
        let kept = self.kept.lock().unwrap();
        let found = kept.iter().filter(|(key, _)| key.starts_with(prefix));
        let mut found: Vec<ObjectMeta> = found
            .map(|(key, bytes)| ObjectMeta {
                key: key.clone(),
                bytes: bytes.len() as u64,
            })
            .collect();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn delete(&self, keys: &[String], _: &Deadline) -> Result<(), Error> {
        self.check()?;
        let mut kept = self.kept.lock().unwrap();
        for key in keys {
            kept.remove(key);
        }
        Ok(())
    }
}
