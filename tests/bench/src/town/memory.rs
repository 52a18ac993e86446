//! Tables and a stream in memory, counted.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockWriteGuard};

use async_trait::async_trait;
use guard::Deadline;
use store::{
    Change, Error, Expect, Position, Read, Record, Row, ScanPage, Stream, StreamRecord, Table,
    Tables, Write, Written,
};

/// Rows in memory, counted.
#[derive(Default)]
pub struct Rows {
    pub(super) rows: RwLock<HashMap<(Table, String), Row>>,
    /// Calls of `load`.
    pub loads: AtomicU64,
    /// The largest row that was read, in bytes.
    pub bytes_max: AtomicU64,
    newcomers: RwLock<Newcomers>,
}

/// Users who exist without a row of their own: each has one of these.
#[derive(Default)]
pub(super) struct Newcomers {
    pub numbers: Range<usize>,
    pub rows: Vec<Row>,
}

/// A stream that takes everything.
#[derive(Default)]
pub(super) struct Sink {
    taken: Mutex<u64>,
}

impl Rows {
    /// To change who there is.
    pub(super) fn newcomers(&self) -> RwLockWriteGuard<'_, Newcomers> {
        let newcomers = &self.newcomers;
        newcomers.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn newcomer(&self, id: &str) -> Option<Row> {
        let newcomers = &self.newcomers;
        let newcomers = newcomers.read().unwrap_or_else(PoisonError::into_inner);
        let number = id.strip_prefix("user-")?.parse().ok()?;
        let known = newcomers.numbers.contains(&number);
        let rows = known.then_some(&newcomers.rows)?;
        rows.get(number % rows.len().max(1)).cloned()
    }

    fn apply(&self, table: Table, write: Write) -> Written {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
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
impl Tables for Rows {
    async fn load(
        &self,
        table: Table,
        ids: &[String],
        _: Read,
        _: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Option<Row>> = ids
            .iter()
            .map(|id| rows.get(&(table, id.clone())).cloned())
            .collect();
        if table == Table::Users {
            for (row, id) in found.iter_mut().zip(ids) {
                *row = row.take().or_else(|| self.newcomer(id));
            }
            self.loads.fetch_add(1, Ordering::Relaxed);
            let largest = found
                .iter()
                .flatten()
                .map(|row| row.bytes.len() as u64)
                .max();
            self.bytes_max
                .fetch_max(largest.unwrap_or(0), Ordering::Relaxed);
        }
        Ok(found)
    }

    async fn write(
        &self,
        table: Table,
        writes: Vec<Write>,
        _: &Deadline,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        Ok(writes
            .into_iter()
            .map(|write| Ok(self.apply(table, write)))
            .collect())
    }

    async fn scan(
        &self,
        table: Table,
        after: Option<String>,
        limit: usize,
        _: &Deadline,
    ) -> Result<ScanPage, Error> {
        let after = after.unwrap_or_default();
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let behind: BTreeMap<&String, &Row> = rows
            .iter()
            .filter(|((of, id), _)| *of == table && *id > after)
            .map(|((_, id), row)| (id, row))
            .collect();
        let page = behind.into_iter().take(limit);
        let rows: Vec<(String, Row)> = page.map(|(id, row)| (id.clone(), row.clone())).collect();
        let next = rows
            .last()
            .filter(|_| rows.len() == limit)
            .map(|(id, _)| id.clone());
        Ok(ScanPage { rows, next })
    }
}

#[async_trait]
impl Stream for Sink {
    async fn append(
        &self,
        records: Vec<Record>,
        _: &Deadline,
    ) -> Result<Vec<Result<Position, Error>>, Error> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let positions = records.iter().map(|_| {
            *taken += 1;
            Ok(Position {
                shard: "0".to_owned(),
                sequence: taken.to_string(),
            })
        });
        Ok(positions.collect())
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
