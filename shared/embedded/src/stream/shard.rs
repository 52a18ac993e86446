//! One shard: appended to by many, synced together, read up to what is durable.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{Error, ErrorKind, Record};

use super::StreamOptions;
use super::frame::{encode, encode_gap};
use super::segment::{HEADER_BYTES, Scanned, Segment};
use crate::Durability;
use crate::durable::{create_dir, io_error};

mod reading;
mod retention;

/// Frames are gathered up to this before they are written.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// Places where a consumer stopped that are remembered, so that it need not search again.
const CURSORS_MAX: usize = 16;
/// A segment may be removed between being found and being opened; more often than this in a row
/// means something else is wrong.
const REOPEN_MAX: usize = 3;

#[derive(Debug)]
pub(super) struct Shard {
    name: String,
    dir: PathBuf,
    options: StreamOptions,
    tail: Mutex<Tail>,
    syncing: Mutex<()>,
    /// The newest sequence that survives a crash; readers go no further.
    durable: AtomicU64,
    cursors: Mutex<VecDeque<Cursor>>,
    /// What damage took, as far as was read: the first sequence of every place, and how many.
    lost: Mutex<BTreeMap<u64, u64>>,
    #[cfg(test)]
    pub(super) syncs: AtomicU64,
}

/// The writing end.
#[derive(Debug)]
struct Tail {
    segments: Vec<Segment>,
    file: Arc<File>,
    bytes: u64,
    next: u64,
    newest_ms: i64,
    /// What every consumer has applied, as far as was told.
    applied: u64,
    /// After a failed sync nobody knows what the disk holds: only opening again helps.
    broken: bool,
}

#[derive(Debug, Clone, Copy)]
struct Cursor {
    /// Who asks for this sequence
    wanted: u64,
    /// has to expect this one, another where records are missing,
    sequence: u64,
    /// here.
    segment: u64,
    offset: u64,
}

impl Shard {
    /// Opens a shard's folder; creates it unless it must already be there.
    pub(super) fn open(
        log: &Path,
        name: String,
        options: StreamOptions,
        must_exist: bool,
    ) -> Result<Self, Error> {
        let dir = log.join(&name);
        let failed = |source| io_error(format!("open {}", dir.display()), source);
        if !must_exist {
            create_dir(&dir).map_err(failed)?;
        }
        let mut segments = Segment::all(&dir).map_err(failed)?;
        if segments.is_empty() {
            if must_exist {
                let what = format!("open {}: its segments are missing", dir.display());
                return Err(Error::new(ErrorKind::Corrupt, what));
            }
            segments.push(Segment::create(&dir, 1, 0).map_err(failed)?.0);
        }
        let last = segments
            .last()
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "open a shard"))?;
        let (file, scanned) = last.recover()?;
        Ok(Self::standing(
            name, dir, options, segments, file, scanned, false,
        ))
    }

    /// Looks at a shard's folder as it is, changing nothing.
    pub(super) fn open_to_read(log: &Path, name: String) -> Result<Self, Error> {
        let dir = log.join(&name);
        let failed = |source| io_error(format!("read {}", dir.display()), source);
        let segments = Segment::all(&dir).map_err(failed)?;
        let Some(last) = segments.last() else {
            let what = format!("read {}: its segments are missing", dir.display());
            return Err(Error::new(ErrorKind::Corrupt, what));
        };
        let (file, scanned) = last.look()?;
        let options = StreamOptions::default();
        // As after a failed sync: whatever comes, nothing is written.
        Ok(Self::standing(
            name, dir, options, segments, file, scanned, true,
        ))
    }

    fn standing(
        name: String,
        dir: PathBuf,
        options: StreamOptions,
        segments: Vec<Segment>,
        file: File,
        scanned: Scanned,
        broken: bool,
    ) -> Self {
        let tail = Tail {
            newest_ms: segments.last().map_or(0, |last| last.newest_ms),
            segments,
            file: Arc::new(file),
            bytes: scanned.bytes,
            next: scanned.next,
            applied: 0,
            broken,
        };
        Self {
            name,
            dir,
            options,
            durable: AtomicU64::new(tail.next - 1),
            tail: Mutex::new(tail),
            syncing: Mutex::new(()),
            cursors: Mutex::new(VecDeque::new()),
            lost: Mutex::new(BTreeMap::new()),
            #[cfg(test)]
            syncs: AtomicU64::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// How many records damage took, as far as was read.
    pub(super) fn lost(&self) -> u64 {
        lock(&self.lost).values().sum()
    }

    /// Appends records in order and waits until they are durable; one answer per record.
    pub(super) fn append(&self, records: &[Record], arrived_ms: i64) -> Vec<Result<u64, Error>> {
        let mut written = Vec::with_capacity(records.len());
        {
            let mut tail = lock(&self.tail);
            let mut rest = records;
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(chunk_records(rest));
                written.extend(self.write_chunk(&mut tail, chunk, arrived_ms));
                rest = after;
            }
        }
        let newest = written.iter().flatten().copied().max();
        match newest.map_or(Ok(()), |newest| self.sync_to(newest)) {
            Ok(()) => written,
            Err(failed) => {
                let again = || Error::new(failed.kind, failed.what.clone());
                written
                    .into_iter()
                    .map(|result| result.and_then(|_| Err(again())))
                    .collect()
            }
        }
    }

    fn write_chunk(
        &self,
        tail: &mut Tail,
        chunk: &[Record],
        arrived_ms: i64,
    ) -> Vec<Result<u64, Error>> {
        let first = match self.ready(tail, arrived_ms) {
            Ok(()) => tail.next,
            Err(failed) => return refuse(chunk, &failed),
        };
        let mut bytes = Vec::new();
        let sequences: Vec<u64> = (first..).take(chunk.len()).collect();
        for (record, sequence) in chunk.iter().zip(&sequences) {
            encode(&mut bytes, arrived_ms, *sequence, record);
        }
        let next = first + chunk.len() as u64;
        match tail.write(&bytes, next, arrived_ms) {
            Ok(()) => sequences.into_iter().map(Ok).collect(),
            Err(failed) => refuse(chunk, &io_error("append records", failed)),
        }
    }

    /// Leaves out the sequences up to this one, durably; answers whether any was still to come.
    pub(super) fn skip_to(&self, sequence: u64, now_ms: i64) -> Result<bool, Error> {
        {
            let mut tail = lock(&self.tail);
            if tail.next > sequence {
                return Ok(false);
            }
            self.ready(&mut tail, now_ms)?;
            let mut bytes = Vec::new();
            encode_gap(&mut bytes, now_ms, sequence, false);
            tail.write(&bytes, sequence + 1, now_ms)
                .map_err(|failed| io_error("leave out sequences", failed))?;
        }
        self.sync_to(sequence).map(|()| true)
    }

    /// Sees to it that the tail can be written to, beginning a new segment when it is full.
    fn ready(&self, tail: &mut Tail, arrived_ms: i64) -> Result<(), Error> {
        if tail.broken {
            let what = "append records: an earlier sync failed, restart to go on";
            return Err(Error::new(ErrorKind::Unavailable, what));
        }
        if tail.bytes < self.options.segment_bytes.max(HEADER_BYTES + 1) {
            return Ok(());
        }
        self.forget(tail, arrived_ms);
        if tail.held_bytes() >= self.options.bytes_max && !tail.is_applied() {
            let what =
                "append records: the event log is full, a consumer has to come further first";
            return Err(Error::new(ErrorKind::Unavailable, what));
        }
        self.begin_segment(tail, arrived_ms)
    }

    fn begin_segment(&self, tail: &mut Tail, arrived_ms: i64) -> Result<(), Error> {
        if let Err(failed) = tail.file.sync_data() {
            tail.broken = true;
            return Err(io_error("sync the event log", failed));
        }
        self.durable.fetch_max(tail.next - 1, Ordering::AcqRel);
        let (segment, file) = Segment::create(&self.dir, tail.next, arrived_ms)
            .map_err(|failed| io_error("begin a segment", failed))?;
        if let Some(full) = tail.segments.last_mut() {
            full.newest_ms = tail.newest_ms;
            full.bytes = tail.bytes;
        }
        tail.segments.push(segment);
        tail.file = Arc::new(file);
        tail.bytes = HEADER_BYTES;
        tail.newest_ms = arrived_ms;
        Ok(())
    }

    /// Waits until `sequence` is as durable as was asked for. Whoever comes first syncs for all who
    /// wait.
    fn sync_to(&self, sequence: u64) -> Result<(), Error> {
        if self.options.durability == Durability::Buffered {
            self.durable.fetch_max(sequence, Ordering::AcqRel);
            return Ok(());
        }
        let _turn = lock(&self.syncing);
        if self.durable() >= sequence {
            return Ok(());
        }
        #[cfg(test)]
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let (file, newest, broken) = {
            let tail = lock(&self.tail);
            (Arc::clone(&tail.file), tail.next - 1, tail.broken)
        };
        let synced = if broken {
            Err(io::Error::other("broken"))
        } else {
            file.sync_data()
        };
        synced.map_err(|failed| {
            lock(&self.tail).broken = true;
            io_error("sync the event log", failed)
        })?;
        self.durable.fetch_max(newest, Ordering::AcqRel);
        Ok(())
    }
}

impl Tail {
    /// Of all segments.
    fn held_bytes(&self) -> u64 {
        let full = self.segments.iter().rev().skip(1);
        full.map(|segment| segment.bytes).sum::<u64>() + self.bytes
    }

    /// Whether every consumer has applied every record.
    fn is_applied(&self) -> bool {
        self.next <= self.applied.saturating_add(1)
    }

    /// Adds whole frames, after which `next` comes.
    fn write(&mut self, frames: &[u8], next: u64, arrived_ms: i64) -> io::Result<()> {
        if let Err(failed) = (&*self.file).write_all(frames) {
            // A full disk must not leave half a frame in front of the next one.
            if self.file.set_len(self.bytes).is_err() {
                self.broken = true;
            }
            return Err(failed);
        }
        self.bytes += frames.len() as u64;
        self.next = next;
        self.newest_ms = self.newest_ms.max(arrived_ms);
        Ok(())
    }
}

/// How many of the first records make a chunk; at least one.
fn chunk_records(records: &[Record]) -> usize {
    let mut bytes = 0;
    let fit = records.iter().take_while(|record| {
        bytes += record.data.len() + record.partition_key.len();
        bytes <= CHUNK_BYTES
    });
    fit.count().max(1)
}

fn refuse(chunk: &[Record], failed: &Error) -> Vec<Result<u64, Error>> {
    chunk
        .iter()
        .map(|_| Err(Error::new(failed.kind, failed.what.clone())))
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
