//! What stands at the ports: tables that answer after a while and count what DynamoDB would bill, and
//! objects that nobody asks for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use guard::Deadline;
use store::{
    Change, Error, ErrorKind, Expect, ObjectMeta, Objects, Read, Row, ScanPage, Table, Tables,
    Write, Written,
};

use crate::measure::cpu;

/// One call of DynamoDB.
const CALL: Duration = Duration::from_millis(4);
/// As `aws::DynamoTables` does it.
const WRITES_IN_FLIGHT: usize = 64;
const READS_IN_FLIGHT: usize = 8;
const READ_BATCH: usize = 100;

/// Tables that answer after [`CALL`] and count what DynamoDB would bill.
#[derive(Default)]
pub struct Dynamo {
    rows: Mutex<HashMap<(Table, String), Row>>,
    /// Rows written.
    pub writes: AtomicU64,
    /// Kilobytes written, each write rounded up.
    pub write_units: AtomicU64,
    /// Four kilobytes read consistently, each row rounded up.
    pub read_units: AtomicU64,
    /// CPU time of the stub itself, nanoseconds.
    pub own_ns: AtomicU64,
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
        let _own = Own::begin(&self.own_ns);
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
        let _own = Own::begin(&self.own_ns);
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

/// Adds what a piece of the stub's own work cost, when it ends; nothing waits meanwhile.
struct Own<'a> {
    sum_ns: &'a AtomicU64,
    before: Duration,
}

impl<'a> Own<'a> {
    fn begin(sum_ns: &'a AtomicU64) -> Self {
        Self {
            sum_ns,
            before: cpu::this_thread(),
        }
    }
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        let spent = cpu::this_thread().saturating_sub(self.before);
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(0);
        self.sum_ns.fetch_add(spent, Ordering::Relaxed);
    }
}

/// Where poison would go; there is none.
pub struct Nowhere;

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
