//! The ports: what every adapter must do, and what it may assume.

use std::cmp::Ordering;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use guard::Deadline;

use crate::Error;

/// The tables there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// One row per user.
    Users,
    /// One row per video.
    Videos,
    /// One row per (what is counted, shard).
    Counters,
    /// Leases, checkpoints, pointers.
    Control,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 4] = [Self::Users, Self::Videos, Self::Counters, Self::Control];

    /// The last part of its name in DynamoDB and on disk.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Videos => "videos",
            Self::Counters => "counters",
            Self::Control => "control",
        }
    }
}

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The value.
    pub bytes: Bytes,
    /// Raised by every write of this id, starting at 1.
    pub version: u64,
}

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// May lag behind writes by a moment; costs half.
    Eventual,
    /// Sees every write that was acknowledged before.
    Consistent,
}

/// What must be true for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// There is no such row.
    Absent,
    /// The row is at this version.
    Version(u64),
}

/// What a write does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Stores the value; it may be removed from `expires_at_s` (Unix seconds) on.
    Put {
        /// The value, at most 256 KiB.
        bytes: Bytes,
        /// When it may be removed. Readers of expiring rows check the time themselves.
        expires_at_s: Option<i64>,
    },
    /// Removes the row.
    Delete,
}

/// One conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Of which row; 1 to 512 bytes.
    pub id: String,
    /// What must be true.
    pub expect: Expect,
    /// What to do.
    pub change: Change,
}

/// How one write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Done; the row's new version (0 after a delete).
    Done(u64),
    /// What was expected is not so; nothing changed.
    Conflict,
}

/// A part of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanPage {
    /// Ids and rows, in no order that callers may rely on.
    pub rows: Vec<(String, Row)>,
    /// Pass it to go on; `None` at the end.
    pub next: Option<String>,
}

/// Rows by id, with conditional writes.
#[async_trait]
pub trait Tables: Send + Sync {
    /// Loads rows, in the order of `ids`; `None` where there is no such row.
    async fn load(
        &self,
        table: Table,
        ids: &[String],
        read: Read,
        deadline: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error>;

    /// Applies each write on its own, in any order; answers in the order of `writes`.
    /// Ids within one call are distinct.
    async fn write(
        &self,
        table: Table,
        writes: Vec<Write>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Written, Error>>, Error>;

    /// Walks a table, at most `limit` rows a page. Never used while answering a request.
    async fn scan(
        &self,
        table: Table,
        after: Option<String>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<ScanPage, Error>;
}

/// What is appended: at most 1 MiB, partition key included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Records with one key stay in order on one shard; 1 to 256 characters.
    pub partition_key: String,
    /// The payload.
    pub data: Bytes,
}

/// Where a record lies. Positions of one shard are ordered; of different shards they are not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The shard.
    pub shard: String,
    /// A decimal number without leading zeros, compared by length, then text.
    pub sequence: String,
}

impl Position {
    /// Compares two sequences of one shard.
    #[must_use]
    pub fn compare_sequences(a: &str, b: &str) -> Ordering {
        a.len().cmp(&b.len()).then_with(|| a.cmp(b))
    }
}

/// What a consumer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// Where it lies.
    pub position: Position,
    /// The producer's key.
    pub partition_key: String,
    /// The payload.
    pub data: Bytes,
    /// When the stream took it, Unix time in milliseconds.
    pub arrived_ms: i64,
}

/// An ordered, sharded, durable log.
#[async_trait]
pub trait Stream: Send + Sync {
    /// Appends records; answers one by one, in their order. `Ok` for a record means durable.
    /// Records with one partition key keep their order unless one of them fails.
    async fn append(
        &self,
        records: Vec<Record>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Position, Error>>, Error>;

    /// Names the shards.
    async fn shards(&self, deadline: &Deadline) -> Result<Vec<String>, Error>;

    /// Reads one shard in order, from its oldest record or right behind `after`.
    /// Fewer than `limit` records, even none, does not mean the end.
    async fn read(
        &self,
        shard: &str,
        after: Option<&str>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Vec<StreamRecord>, Error>;
}

/// A stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its key, `/`-separated.
    pub key: String,
    /// Its size.
    pub bytes: u64,
}

/// Whole objects by key. Keys are relative, `/`-separated, of id characters, `.` and `=`.
#[async_trait]
pub trait Objects: Send + Sync {
    /// Stores an object; readers see the old one or the new one, whole.
    async fn put(&self, key: &str, bytes: Bytes, deadline: &Deadline) -> Result<(), Error>;

    /// Stores a file as an object, streaming.
    async fn put_file(&self, key: &str, file: &Path, deadline: &Deadline) -> Result<(), Error>;

    /// Reads an object of at most `bytes_max`.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when it is larger.
    async fn get(&self, key: &str, bytes_max: u64, deadline: &Deadline) -> Result<Bytes, Error>;

    /// Streams an object into a new file.
    async fn fetch(&self, key: &str, file: &Path, deadline: &Deadline) -> Result<(), Error>;

    /// Lists every object whose key starts with `prefix`, ordered by key.
    async fn list(&self, prefix: &str, deadline: &Deadline) -> Result<Vec<ObjectMeta>, Error>;

    /// Removes objects; what is not there is no error.
    async fn delete(&self, keys: &[String], deadline: &Deadline) -> Result<(), Error>;
}
