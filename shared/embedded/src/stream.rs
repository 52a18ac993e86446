//! An ordered, sharded, durable log in a folder.
//!
//! ```text
//! shards                       how many there are, fixed when the log is made
//! shard-000/00…001.log         a segment, named by its first sequence
//!           00…513.log         the one written to
//! ```
//!
//! A record's shard is a hash of its partition key. Sequences of a shard count from 1; what a broken
//! disk took is a gap that says so, and no sequence is given twice. Appends that wait at the same
//! time share one sync; readers see what is durable only.

mod frame;
mod segment;
mod shard;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use guard::Deadline;
use store::{Error, ErrorKind, Position, Record, Stream, StreamRecord};

use crate::Durability;
use crate::blocking::{Blocking, check};
use crate::durable::{create_dir, io_error, sync_dir};
use shard::Shard;

/// Most shards of one log.
pub const SHARDS_MAX: u16 = 256;
/// Longest partition key, in characters.
pub const KEY_CHARS_MAX: usize = 256;
/// Largest record, partition key included.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// What one read answers with at most, unless a single record is larger.
pub const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// More records than a consumer applies at once, by far.
const LEAP_RECORDS: u64 = 1_000_000;

const SHARDS_FILE: &str = "shards";

/// How a log keeps its segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// A segment that has grown to this is followed by a new one.
    pub segment_bytes: u64,
    /// How long a segment is kept that every consumer has applied, which [`EmbeddedStream::expire`]
    /// tells. What somebody has not applied is kept for as long as that takes.
    pub retention: Duration,
    /// What the log may hold, give or take a segment per shard. Beyond it the oldest segments go that
    /// everybody has applied, however young; where that is not enough appends are refused until a
    /// consumer has come further: a stuck consumer costs new events their `202`, never one that got it.
    pub bytes_max: u64,
    /// When an append is acknowledged.
    pub durability: Durability,
}

impl Default for StreamOptions {
    fn default() -> Self {
        let week = Duration::from_secs(7 * 24 * 3600);
        Self {
            segment_bytes: 16 * 1024 * 1024,
            retention: week,
            bytes_max: 64 * 1024 * 1024 * 1024,
            durability: Durability::default(),
        }
    }
}

/// [`Stream`] on one machine. Clones share the log.
#[derive(Debug, Clone)]
pub struct EmbeddedStream {
    shards: Arc<Vec<Arc<Shard>>>,
    blocking: Blocking,
    only_read: bool,
}

impl EmbeddedStream {
    /// Opens or creates a log with so many shards, cutting what a crash left half-written.
    /// One process at a time: hold a [`crate::DirLock`].
    ///
    /// # Errors
    /// `Invalid` when the log was made with another number of shards, `Corrupt` when what lies
    /// there is not a log, `Unavailable` when the folder cannot be used.
    pub fn open(dir: &Path, shards: u16) -> Result<Self, Error> {
        Self::open_with(dir, shards, &StreamOptions::default())
    }

    /// Opens or creates a log with chosen options.
    ///
    /// # Errors
    /// As [`EmbeddedStream::open`].
    pub fn open_with(dir: &Path, shards: u16, options: &StreamOptions) -> Result<Self, Error> {
        if !(1..=SHARDS_MAX).contains(&shards) {
            return Err(Error::new(ErrorKind::Invalid, "a log has 1 to 256 shards"));
        }
        let failed = |source| io_error("open the event log", source);
        create_dir(dir).map_err(failed)?;
        let made = match made_with(dir).map_err(failed)? {
            Some(text) if text.trim() != shards.to_string() => {
                let what = format!(
                    "open the event log: it has {} shards, {shards} are asked for; the number is \
                     fixed when {} is made",
                    text.trim(),
                    dir.display()
                );
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            found => found.is_some(),
        };
        let of_shard = StreamOptions {
            bytes_max: options.bytes_max / u64::from(shards),
            ..options.clone()
        };
        let open = |number: u16| {
            let name = format!("shard-{number:03}");
            Shard::open(dir, name, of_shard.clone(), made).map(Arc::new)
        };
        let opened = (0..shards).map(open).collect::<Result<Vec<_>, Error>>()?;
        if !made {
            make(dir, shards).map_err(failed)?;
        }
        Ok(Self {
            shards: Arc::new(opened),
            blocking: Blocking::new(),
            only_read: false,
        })
    }

    /// Sees to it that a shard's next sequence comes after `sequence`, which a consumer has applied:
    /// a log that was removed must not give it again. Answers whether the log had fallen behind.
    ///
    /// # Errors
    /// `NotFound` for an unknown shard, `Invalid` for what is no sequence; else the log's.
    pub async fn go_on_after(
        &self,
        shard: &str,
        sequence: &str,
        deadline: &Deadline,
    ) -> Result<bool, Error> {
        let shard = Arc::clone(self.shard(shard)?);
        let sequence = sequence_of(sequence)?;
        if shard.durable() >= sequence {
            return Ok(false);
        }
        let now_ms = deadline.clock().now().wall_ms;
        // A process may have died between applying a batch and keeping how far it was.
        let leap = sequence.saturating_add(LEAP_RECORDS);
        let work = move || shard.skip_to(leap, now_ms);
        self.blocking
            .run("go on after a sequence", deadline, work)
            .await
    }

    /// Tells the sequence that every consumer has applied, and removes what of that lies beyond the
    /// retention. Nothing is ever removed that was not told to be applied.
    ///
    /// # Errors
    /// As [`EmbeddedStream::go_on_after`].
    pub async fn expire(
        &self,
        shard: &str,
        applied: &str,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let (shard, applied) = (Arc::clone(self.shard(shard)?), sequence_of(applied)?);
        let now_ms = deadline.clock().now().wall_ms;
        let work = move || shard.expire(applied, now_ms);
        self.blocking.run("expire records", deadline, work).await
    }

    /// How many records damage took from all shards, as far as they were read since the log was opened.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lost()).sum()
    }

    fn shard(&self, name: &str) -> Result<&Arc<Shard>, Error> {
        let found = self.shards.iter().find(|known| known.name() == name);
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "use an unknown shard"))
    }

    /// Looks at a log that another process may be writing to: as it is at this moment, changing
    /// nothing. What is not synced yet may be seen, and may be gone after a crash.
    ///
    /// # Errors
    /// `NotFound` when there is no log, `Corrupt` when what lies there is not one, `Unavailable` when
    /// the folder cannot be read.
    pub fn open_to_read(dir: &Path) -> Result<Self, Error> {
        let what = || format!("read the event log in {}", dir.display());
        let text = made_with(dir).map_err(|source| io_error(what(), source))?;
        let text = text.ok_or_else(|| Error::new(ErrorKind::NotFound, what()))?;
        let shards: u16 = text
            .trim()
            .parse()
            .map_err(|e| Error::because(ErrorKind::Corrupt, what(), e))?;
        let open = |number: u16| Shard::open_to_read(dir, format!("shard-{number:03}"));
        let opened = (0..shards.min(SHARDS_MAX)).map(|number| open(number).map(Arc::new));
        Ok(Self {
            shards: Arc::new(opened.collect::<Result<Vec<_>, Error>>()?),
            blocking: Blocking::new(),
            only_read: true,
        })
    }

    fn shard_of(&self, partition_key: &str) -> usize {
        let hash = u128::from(xxhash_rust::xxh3::xxh3_64(partition_key.as_bytes()));
        // The high half of hash × shards is uniform below `shards`.
        ((hash * self.shards.len() as u128) >> 64) as usize
    }
}

#[async_trait]
impl Stream for EmbeddedStream {
    async fn append(
        &self,
        records: Vec<Record>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Position, Error>>, Error> {
        if self.only_read {
            let what = "append records: the log was opened to be read";
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        check("append records", deadline).await?;
        let arrived_ms = deadline.clock().now().wall_ms;
        let mut answers: Vec<_> = records
            .iter()
            .map(|_| Err(Error::new(ErrorKind::Unavailable, "append records")))
            .collect();
        let mut groups: Vec<Vec<(usize, Record)>> = vec![Vec::new(); self.shards.len()];
        for (index, record) in records.into_iter().enumerate() {
            let checked = check_record(&record);
            let shard = self.shard_of(&record.partition_key);
            match (checked, answers.get_mut(index), groups.get_mut(shard)) {
                (Err(refused), Some(answer), _) => *answer = Err(refused),
                (Ok(()), _, Some(group)) => group.push((index, record)),
                _ => {}
            }
        }
        let filled = self
            .shards
            .iter()
            .zip(groups)
            .filter(|(_, group)| !group.is_empty());
        let appended = join_all(filled.map(|(shard, group)| async move {
            let indexes: Vec<usize> = group.iter().map(|(index, _)| *index).collect();
            let records: Vec<Record> = group.into_iter().map(|(_, record)| record).collect();
            let writing = Arc::clone(shard);
            let work = move || Ok(writing.append(&records, arrived_ms));
            let sequences = self.blocking.run("append records", deadline, work).await;
            (shard, indexes, sequences)
        }))
        .await;
        for (shard, indexes, sequences) in appended {
            let results = spread(shard, indexes.len(), sequences);
            for (index, result) in indexes.into_iter().zip(results) {
                if let Some(answer) = answers.get_mut(index) {
                    *answer = result;
                }
            }
        }
        Ok(answers)
    }

    async fn shards(&self, _deadline: &Deadline) -> Result<Vec<String>, Error> {
        Ok(self
            .shards
            .iter()
            .map(|shard| shard.name().to_owned())
            .collect())
    }

    async fn read(
        &self,
        shard: &str,
        after: Option<&str>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Vec<StreamRecord>, Error> {
        check("read records", deadline).await?;
        let shard = self.shard(shard)?;
        let from = after
            .map(sequence_of)
            .transpose()?
            .map_or(1, |after| after.saturating_add(1));
        if limit == 0 || shard.durable() < from {
            return Ok(Vec::new());
        }
        let shard = Arc::clone(shard);
        self.blocking
            .run("read records", deadline, move || shard.read(from, limit))
            .await
    }
}

/// One answer per record of a shard, also where the whole shard failed.
fn spread(
    shard: &Shard,
    records: usize,
    sequences: Result<Vec<Result<u64, Error>>, Error>,
) -> Vec<Result<Position, Error>> {
    match sequences {
        Ok(sequences) => {
            let position = |sequence: u64| Position {
                shard: shard.name().to_owned(),
                sequence: sequence.to_string(),
            };
            sequences
                .into_iter()
                .map(|result| result.map(position))
                .collect()
        }
        Err(failed) => (0..records)
            .map(|_| Err(Error::new(failed.kind, failed.what.clone())))
            .collect(),
    }
}

fn check_record(record: &Record) -> Result<(), Error> {
    let key_chars = record.partition_key.chars().take(KEY_CHARS_MAX + 1).count();
    if !(1..=KEY_CHARS_MAX).contains(&key_chars) {
        return Err(Error::new(
            ErrorKind::Invalid,
            "a partition key has 1 to 256 characters",
        ));
    }
    if record.partition_key.len() + record.data.len() > RECORD_BYTES_MAX {
        return Err(Error::new(ErrorKind::Invalid, "a record is at most 1 MiB"));
    }
    Ok(())
}

fn sequence_of(text: &str) -> Result<u64, Error> {
    let canonical = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    let parsed = text.parse().ok().filter(|_| canonical);
    parsed.ok_or_else(|| Error::new(ErrorKind::Invalid, "a sequence is a decimal number"))
}

fn made_with(dir: &Path) -> std::io::Result<Option<String>> {
    match fs::read_to_string(dir.join(SHARDS_FILE)) {
        Ok(text) => Ok(Some(text)),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(failed) => Err(failed),
    }
}

/// Written last, so that a log is complete from the moment it says how many shards it has.
fn make(dir: &Path, shards: u16) -> std::io::Result<()> {
    let unfinished = dir.join("shards.tmp");
    let mut file = fs::File::create(&unfinished)?;
    writeln!(file, "{shards}")?;
    file.sync_all()?;
    fs::rename(&unfinished, dir.join(SHARDS_FILE))?;
    sync_dir(dir)
}

#[cfg(test)]
mod tests;
