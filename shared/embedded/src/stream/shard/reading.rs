//! One read of a shard.

use std::ops::Range;

use store::{Error, ErrorKind, Position, StreamRecord};

use super::super::READ_BYTES_MAX;
use super::super::frame::{Frame, Next};
use super::super::segment::{HEADER_BYTES, Segment};
use super::{CURSORS_MAX, Cursor, REOPEN_MAX, Shard, lock};
use crate::durable::io_error;

/// One read under way.
struct Reading {
    /// The sequence that is wanted next.
    wanted: u64,
    durable: u64,
    limit: usize,
    bytes: usize,
    records: Vec<StreamRecord>,
}

impl Reading {
    fn full(&self) -> bool {
        self.records.len() >= self.limit || self.bytes >= READ_BYTES_MAX
    }

    fn take(&mut self, shard: &str, frame: Frame) {
        if frame.sequence < self.wanted || frame.is_gap() {
            return;
        }
        self.wanted = frame.sequence + 1;
        self.bytes += frame.partition_key.len() + frame.data.len();
        self.records.push(StreamRecord {
            position: Position {
                shard: shard.to_owned(),
                sequence: frame.sequence.to_string(),
            },
            partition_key: frame.partition_key,
            data: frame.data,
            arrived_ms: frame.arrived_ms,
        });
    }
}

impl Shard {
    /// Reads durable records from sequence `from` on, or from the oldest that is left.
    pub(in super::super) fn read(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<StreamRecord>, Error> {
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
            wanted: from,
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
        let known = self.cursor(segment.first, reading.wanted);
        let (mut sequence, offset) = known.unwrap_or((segment.first, HEADER_BYTES));
        let mut frames = segment.reader(offset).map_err(failed)?;
        while sequence < end && sequence <= reading.durable && !reading.full() {
            let at = frames.offset();
            match frames.next().map_err(failed)? {
                Next::Frame(frame) if frame.follows(sequence) => {
                    if frame.is_loss() {
                        lock(&self.lost).insert(sequence, frame.sequence + 1 - sequence);
                    }
                    sequence = frame.sequence + 1;
                    reading.take(&self.name, frame);
                }
                _ => {
                    let behind = sequence..end.min(reading.durable + 1);
                    let found = segment.find(at, behind).map_err(failed)?;
                    let (offset, next) = match found {
                        // It says itself what it stands for.
                        Some((offset, gap)) if gap.is_gap() => (offset, sequence),
                        Some((offset, frame)) => (offset, frame.sequence),
                        None if end < u64::MAX => (at, end),
                        // What is appended next ends the place.
                        None => break,
                    };
                    self.report(segment, at, sequence..next);
                    sequence = next;
                    frames = segment.reader(offset).map_err(failed)?;
                }
            }
        }
        self.remember(Cursor {
            wanted: reading.wanted,
            sequence,
            segment: segment.first,
            offset: frames.offset(),
        });
        Ok(())
    }

    /// Says once that records are lost, however many read past the place.
    fn report(&self, segment: &Segment, offset: u64, lost: Range<u64>) {
        let records = lost.end - lost.start;
        if records == 0 || lock(&self.lost).insert(lost.start, records).is_some() {
            return;
        }
        tracing::error!(
            log.segment = %segment.path.display(),
            log.offset = offset,
            log.first_lost = lost.start,
            log.lost_records = records,
            "the event log is damaged: these records are lost, those behind them are read"
        );
    }

    /// The sequence to expect, and where.
    fn cursor(&self, segment: u64, wanted: u64) -> Option<(u64, u64)> {
        let cursors = lock(&self.cursors);
        let found = cursors
            .iter()
            .find(|at| at.segment == segment && at.wanted == wanted);
        found.map(|at| (at.sequence, at.offset))
    }

    fn remember(&self, cursor: Cursor) {
        let mut cursors = lock(&self.cursors);
        cursors.retain(|known| known.wanted != cursor.wanted);
        cursors.truncate(CURSORS_MAX - 1);
        cursors.push_front(cursor);
    }
}
