//! Tables in an LSM store.

mod row;
mod sync;

use std::collections::HashSet;
use std::fmt;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use guard::Deadline;
use store::{Change, Error, ErrorKind, Expect, Read, Row, ScanPage, Table, Tables, Write, Written};

use crate::blocking::{Blocking, check};
use crate::durable::{create_dir, io_error};
use row::StoredRow;
use sync::GroupSync;

/// Longest row id.
pub const ID_BYTES_MAX: usize = 512;
/// Largest value.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;
/// Most ids or writes in one call.
pub const CALL_ROWS_MAX: usize = 10_000;
/// Up to this many rows are loaded on the caller's thread: they come from memory or the page
/// cache in microseconds, less than a change of thread costs.
pub const INLINE_ROWS_MAX: usize = 32;

const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// On the disk: survives a power cut. Concurrent calls share one sync.
    #[default]
    Synced,
    /// With the operating system: survives the death of the process only.
    Buffered,
}

/// [`Tables`] on one machine. Clones share the store.
#[derive(Clone)]
pub struct EmbeddedTables {
    shared: Arc<Shared>,
    blocking: Blocking,
}

struct Shared {
    database: Database,
    spaces: Spaces,
    sync: Option<GroupSync>,
}

struct Spaces {
    users: Space,
    videos: Space,
    counters: Space,
    control: Space,
}

/// One table. Conditions are checked and written under its lock, so no two writers agree on the
/// same version.
struct Space {
    keyspace: Keyspace,
    writing: Mutex<()>,
}

impl EmbeddedTables {
    /// Opens or creates the tables in a folder of their own; every write is synced.
    ///
    /// # Errors
    /// `Unavailable` when the folder cannot be used, `Corrupt` when what lies there cannot be read.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Self::open_with(dir, Durability::Synced)
    }

    /// Opens or creates the tables with a chosen durability.
    ///
    /// # Errors
    /// As [`EmbeddedTables::open`].
    pub fn open_with(dir: &Path, durability: Durability) -> Result<Self, Error> {
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            create_dir(parent).map_err(|source| io_error("open tables", source))?;
        }
        let database = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .open()
            .map_err(|source| failed("open tables", source))?;
        let space = |table: Table| -> Result<Space, Error> {
            let keyspace = database
                .keyspace(table.as_str(), KeyspaceCreateOptions::default)
                .map_err(|source| failed("open tables", source))?;
            Ok(Space {
                keyspace,
                writing: Mutex::new(()),
            })
        };
        let spaces = Spaces {
            users: space(Table::Users)?,
            videos: space(Table::Videos)?,
            counters: space(Table::Counters)?,
            control: space(Table::Control)?,
        };
        let sync = (durability == Durability::Synced).then(GroupSync::default);
        let shared = Arc::new(Shared {
            database,
            spaces,
            sync,
        });
        Ok(Self {
            shared,
            blocking: Blocking::new(),
        })
    }

    /// Removes rows of one table whose time has come; answers how many.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails, `Corrupt` on a row that cannot be read.
    pub async fn sweep(
        &self,
        table: Table,
        now_s: i64,
        deadline: &Deadline,
    ) -> Result<usize, Error> {
        let shared = Arc::clone(&self.shared);
        self.blocking
            .run("sweep table", deadline, move || shared.sweep(table, now_s))
            .await
    }
}

impl fmt::Debug for EmbeddedTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedTables").finish_non_exhaustive()
    }
}

#[async_trait]
impl Tables for EmbeddedTables {
    async fn load(
        &self,
        table: Table,
        ids: &[String],
        _read: Read,
        deadline: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error> {
        check("load rows", deadline).await?;
        check_count(ids.len())?;
        if ids.len() <= INLINE_ROWS_MAX {
            return self.shared.load(table, ids);
        }
        let (shared, ids) = (Arc::clone(&self.shared), ids.to_vec());
        self.blocking
            .run("load rows", deadline, move || shared.load(table, &ids))
            .await
    }

    async fn write(
        &self,
        table: Table,
        writes: Vec<Write>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        check_count(writes.len())?;
        let mut ids = HashSet::with_capacity(writes.len());
        if !writes.iter().all(|write| ids.insert(write.id.as_str())) {
            return Err(Error::new(ErrorKind::Invalid, "one id twice in one call"));
        }
        let shared = Arc::clone(&self.shared);
        self.blocking
            .run("write rows", deadline, move || shared.write(table, writes))
            .await
    }

    async fn scan(
        &self,
        table: Table,
        after: Option<String>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<ScanPage, Error> {
        let shared = Arc::clone(&self.shared);
        let limit = limit.clamp(1, CALL_ROWS_MAX);
        self.blocking
            .run("scan table", deadline, move || {
                shared.scan(table, after, limit)
            })
            .await
    }
}

impl Shared {
    fn space(&self, table: Table) -> &Space {
        match table {
            Table::Users => &self.spaces.users,
            Table::Videos => &self.spaces.videos,
            Table::Counters => &self.spaces.counters,
            Table::Control => &self.spaces.control,
        }
    }

    fn load(&self, table: Table, ids: &[String]) -> Result<Vec<Option<Row>>, Error> {
        let space = self.space(table);
        ids.iter()
            .map(|id| Ok(space.stored(id)?.map(|stored| stored.row)))
            .collect()
    }

    fn write(
        &self,
        table: Table,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        let space = self.space(table);
        let mut batch = self.database.batch();
        let mut answers = Vec::with_capacity(writes.len());
        let locked = space.lock();
        for write in writes {
            answers.push(space.prepare(&mut batch, write));
        }
        if batch.is_empty() {
            return Ok(answers);
        }
        batch
            .commit()
            .map_err(|source| failed("write rows", source))?;
        // The next writer need not wait for the disk: its journal entry lies behind ours.
        drop(locked);
        self.settle()?;
        Ok(answers)
    }

    /// Waits until everything committed before this call is as durable as promised.
    fn settle(&self) -> Result<(), Error> {
        match &self.sync {
            Some(sync) => sync
                .wait(|| self.database.persist(fjall::PersistMode::SyncData))
                .map_err(|source| failed("sync tables", source)),
            None => Ok(()),
        }
    }

    fn scan(&self, table: Table, after: Option<String>, limit: usize) -> Result<ScanPage, Error> {
        let rows = self.space(table).rows(after, limit)?;
        let next = if rows.len() < limit {
            None
        } else {
            rows.last().map(|(id, _)| id.clone())
        };
        let rows = rows
            .into_iter()
            .map(|(id, stored)| (id, stored.row))
            .collect();
        Ok(ScanPage { rows, next })
    }

    fn sweep(&self, table: Table, now_s: i64) -> Result<usize, Error> {
        let space = self.space(table);
        let (mut after, mut removed) = (None, 0);
        loop {
            let rows = space.rows(after, CALL_ROWS_MAX)?;
            after = rows.last().map(|(id, _)| id.clone());
            let locked = space.lock();
            let mut batch = self.database.batch();
            for (id, _) in rows.iter().filter(|(_, stored)| stored.expired(now_s)) {
                // Looked at again under the lock: it may have been written meanwhile.
                if space
                    .stored(id)?
                    .is_some_and(|stored| stored.expired(now_s))
                {
                    batch.remove(&space.keyspace, id.as_bytes());
                }
            }
            removed += batch.len();
            batch
                .commit()
                .map_err(|source| failed("sweep table", source))?;
            drop(locked);
            if rows.len() < CALL_ROWS_MAX {
                self.settle()?;
                return Ok(removed);
            }
        }
    }
}

impl Space {
    fn lock(&self) -> MutexGuard<'_, ()> {
        // The lock guards no value that a panic could have left half-changed.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self, id: &str) -> Result<Option<StoredRow>, Error> {
        let value = self
            .keyspace
            .get(id)
            .map_err(|source| failed("load rows", source))?;
        value.map(|value| StoredRow::decode(&value)).transpose()
    }

    /// Checks one write and adds it to the batch. Called under the table's lock.
    fn prepare(&self, batch: &mut fjall::OwnedWriteBatch, write: Write) -> Result<Written, Error> {
        check_id(&write.id)?;
        let current = self.stored(&write.id)?.map(|stored| stored.row.version);
        let met = match write.expect {
            Expect::Any => true,
            Expect::Absent => current.is_none(),
            Expect::Version(version) => current == Some(version),
        };
        if !met {
            return Ok(Written::Conflict);
        }
        match write.change {
            Change::Put {
                bytes,
                expires_at_s,
            } => {
                if bytes.len() > VALUE_BYTES_MAX {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        "a value larger than 256 KiB",
                    ));
                }
                let version = current.unwrap_or(0) + 1;
                let stored = StoredRow {
                    row: Row { bytes, version },
                    expires_at_s,
                };
                batch.insert(&self.keyspace, write.id.as_bytes(), stored.encode());
                Ok(Written::Done(version))
            }
            Change::Delete => {
                if current.is_some() {
                    batch.remove(&self.keyspace, write.id.as_bytes());
                }
                Ok(Written::Done(0))
            }
        }
    }

    fn rows(&self, after: Option<String>, limit: usize) -> Result<Vec<(String, StoredRow)>, Error> {
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.into_bytes()));
        let range = self.keyspace.range::<Vec<u8>, _>((from, Bound::Unbounded));
        let mut rows = Vec::new();
        for entry in range.take(limit) {
            let (id, value) = entry
                .into_inner()
                .map_err(|source| failed("scan table", source))?;
            let id = String::from_utf8(id.to_vec())
                .map_err(|source| Error::because(ErrorKind::Corrupt, "scan table", source))?;
            rows.push((id, StoredRow::decode(&value)?));
        }
        Ok(rows)
    }
}

fn check_id(id: &str) -> Result<(), Error> {
    if (1..=ID_BYTES_MAX).contains(&id.len()) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        "a row id has 1 to 512 bytes",
    ))
}

fn check_count(rows: usize) -> Result<(), Error> {
    if rows <= CALL_ROWS_MAX {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        "more than 10000 rows in one call",
    ))
}

fn failed(what: &'static str, source: fjall::Error) -> Error {
    let kind = match source {
        fjall::Error::Io(_) | fjall::Error::Poisoned | fjall::Error::Locked => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Corrupt,
    };
    Error::because(kind, what, source)
}

#[cfg(test)]
mod tests;
