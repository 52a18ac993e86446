//! One shard: appended to by many, synced together, read up to what is durable.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{Error, ErrorKind, Record, StreamRecord};

use super::StreamOptions;
use super::frame::{Next, encode};
use super::segment::{HEADER_BYTES, Scanned, Segment};
use reading::Reading;

mod reading;
use crate::durable::{create_dir, io_error, sync_dir};

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
}

/// The writing end.
#[derive(Debug)]
struct Tail {
    segments: Vec<Segment>,
    file: Arc<File>,
    bytes: u64,
    next: u64,
    newest_ms: i64,
    /// After a failed sync nobody knows what the disk holds: only opening again helps.
    broken: bool,
}

#[derive(Debug, Clone, Copy)]
struct Cursor {
    sequence: u64,
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
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
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
        if let Err(failed) = (&*tail.file).write_all(&bytes) {
            // A full disk must not leave half a frame in front of the next one.
            if tail.file.set_len(tail.bytes).is_err() {
                tail.broken = true;
            }
            return refuse(chunk, &io_error("append records", failed));
        }
        tail.bytes += bytes.len() as u64;
        tail.next = first + chunk.len() as u64;
        tail.newest_ms = tail.newest_ms.max(arrived_ms);
        sequences.into_iter().map(Ok).collect()
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
        if let Err(failed) = tail.file.sync_data() {
            tail.broken = true;
            return Err(io_error("sync the event log", failed));
        }
        self.durable.fetch_max(tail.next - 1, Ordering::AcqRel);
        let (segment, file) = Segment::create(&self.dir, tail.next, arrived_ms)
            .map_err(|failed| io_error("begin a segment", failed))?;
        if let Some(full) = tail.segments.last_mut() {
            full.newest_ms = tail.newest_ms;
        }
        tail.segments.push(segment);
        tail.file = Arc::new(file);
        tail.bytes = HEADER_BYTES;
        tail.newest_ms = arrived_ms;
        self.forget(tail, arrived_ms);
        Ok(())
    }

    /// Removes the oldest segments while their newest record is older than the retention.
    fn forget(&self, tail: &mut Tail, now_ms: i64) {
        let span = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        let oldest_kept_ms = now_ms.saturating_sub(span);
        let full = tail.segments.len().saturating_sub(1);
        let old = tail.segments.iter().take(full);
        let old = old
            .take_while(|segment| segment.newest_ms < oldest_kept_ms)
            .count();
        for segment in tail.segments.drain(..old) {
            if let Err(failed) = fs::remove_file(&segment.path) {
                tracing::warn!(error = %failed, "could not remove an expired log segment");
            }
        }
        if old > 0 && sync_dir(&self.dir).is_err() {
            tracing::warn!("could not sync the event log's folder");
        }
    }

    /// Waits until `sequence` is durable. Whoever comes first syncs for all who wait.
    fn sync_to(&self, sequence: u64) -> Result<(), Error> {
        let _turn = lock(&self.syncing);
        if self.durable() >= sequence {
            return Ok(());
        }
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

    /// Reads durable records from sequence `from` on, or from the oldest that is left.
    pub(super) fn read(&self, from: u64, limit: usize) -> Result<Vec<StreamRecord>, Error> {
        for _ in 0..REOPEN_MAX {
            let (segments, durable) = {
                let tail = lock(&self.tail);
                (tail.segments.clone(), self.durable())
            };
            match self.read_segments(&segments, durable, from, limit) {
                // Retention was quicker; the oldest that is left is another one now.
                Err(gone) if gone.kind == ErrorKind::NotFound => {}
                other => return other,
            }
        }
        Err(Error::new(
            ErrorKind::Corrupt,
            format!("read {}: a segment is missing", self.name),
        ))
    }

    fn read_segments(
        &self,
        segments: &[Segment],
        durable: u64,
        from: u64,
        limit: usize,
    ) -> Result<Vec<StreamRecord>, Error> {
        let from = from.max(segments.first().map_or(1, |oldest| oldest.first));
        let begin = segments
            .partition_point(|segment| segment.first <= from)
            .saturating_sub(1);
        let mut reading = Reading {
            from,
            durable,
            limit,
            bytes: 0,
            records: Vec::new(),
        };
        for (number, segment) in segments.iter().enumerate().skip(begin) {
            let end = segments.get(number + 1).map_or(u64::MAX, |next| next.first);
            if reading.full() || segment.first > durable {
                break;
            }
            self.read_segment(segment, end, &mut reading)?;
        }
        Ok(reading.records)
    }

    fn read_segment(
        &self,
        segment: &Segment,
        end: u64,
        reading: &mut Reading,
    ) -> Result<(), Error> {
        let failed = |source| io_error(format!("read {}", segment.path.display()), source);
        let known = self.cursor(segment.first, reading.next());
        let (mut sequence, offset) = known.unwrap_or((segment.first, HEADER_BYTES));
        let mut frames = segment.reader(offset).map_err(failed)?;
        while sequence < end && sequence <= reading.durable && !reading.full() {
            match frames.next().map_err(failed)? {
                Next::Frame(frame) if frame.sequence == sequence => reading.take(&self.name, frame),
                _ => {
                    let what = format!(
                        "read {} at byte {}: record {sequence} is damaged",
                        segment.path.display(),
                        frames.offset()
                    );
                    return Err(Error::new(ErrorKind::Corrupt, what));
                }
            }
            sequence += 1;
        }
        self.remember(Cursor {
            sequence,
            segment: segment.first,
            offset: frames.offset(),
        });
        Ok(())
    }

    fn cursor(&self, segment: u64, sequence: u64) -> Option<(u64, u64)> {
        let cursors = lock(&self.cursors);
        let found = cursors
            .iter()
            .find(|at| at.segment == segment && at.sequence == sequence);
        found.map(|at| (at.sequence, at.offset))
    }

    fn remember(&self, cursor: Cursor) {
        let mut cursors = lock(&self.cursors);
        cursors.retain(|known| known.sequence != cursor.sequence);
        cursors.truncate(CURSORS_MAX - 1);
        cursors.push_front(cursor);
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
