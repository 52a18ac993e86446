//! A record as it lies in a segment.

use std::io::{self, Read};
use std::ops::Range;

use bytes::Bytes;
use store::Record;

use super::{KEY_CHARS_MAX, RECORD_BYTES_MAX};

/// Before the body: its length (4) and the checksum of length and body (8), little-endian.
const PREFIX_BYTES: usize = 12;
/// At the start of the body: arrival (8), sequence (8), length of the key (2).
const FIXED_BYTES: usize = 18;
/// Where the sequence stands in a frame: behind the prefix and the arrival.
const SEQUENCE_AT: usize = PREFIX_BYTES + 8;
const BODY_BYTES_MAX: usize = FIXED_BYTES + RECORD_BYTES_MAX + 4 * KEY_CHARS_MAX;

/// What a gap holds whose records a broken disk took; otherwise they never were.
const LOST: &[u8] = b"lost";
/// Where a search stops to believe a sequence: no log loses as many records at once.
const GAP_RECORDS_MAX: u64 = 1 << 40;

/// A record read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) arrived_ms: i64,
    pub(super) sequence: u64,
    pub(super) partition_key: String,
    pub(super) data: Bytes,
}

/// What comes next in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Frame(Frame),
    /// The file ends where a frame would begin.
    End,
    /// Bytes that are no whole, unharmed frame.
    Torn,
}

/// Adds one frame to `out`.
pub(super) fn encode(out: &mut Vec<u8>, arrived_ms: i64, sequence: u64, record: &Record) {
    let (key, data) = (record.partition_key.as_bytes(), &record.data);
    // Both fit: records are checked before they get here.
    let key_bytes = key.len() as u16;
    let body_bytes = (FIXED_BYTES + key.len() + data.len()) as u32;
    let mut body = Vec::with_capacity(body_bytes as usize);
    body.extend_from_slice(&arrived_ms.to_le_bytes());
    body.extend_from_slice(&sequence.to_le_bytes());
    body.extend_from_slice(&key_bytes.to_le_bytes());
    body.extend_from_slice(key);
    body.extend_from_slice(data);
    out.extend_from_slice(&body_bytes.to_le_bytes());
    out.extend_from_slice(&checksum(body_bytes, &body).to_le_bytes());
    out.extend_from_slice(&body);
}

/// Adds a frame without a key, which no record is: it stands for the records up to a sequence, which
/// are lost, or never were.
pub(super) fn encode_gap(out: &mut Vec<u8>, arrived_ms: i64, up_to: u64, lost: bool) {
    let gap = Record {
        partition_key: String::new(),
        data: Bytes::from_static(if lost { LOST } else { b"" }),
    };
    encode(out, arrived_ms, up_to, &gap);
}

/// The first whole frame in `bytes` with one of these sequences, and where it begins.
pub(super) fn find(bytes: &[u8], sequences: Range<u64>) -> Option<(usize, Frame)> {
    let believable = sequences.start.saturating_add(GAP_RECORDS_MAX);
    let believed = sequences.start..sequences.end.min(believable);
    (0..bytes.len()).find_map(|at| {
        let rest = bytes.get(at..)?;
        let sequence = rest.get(SEQUENCE_AT..)?.first_chunk::<8>()?;
        // Before the checksum, which would take hours if it were taken everywhere.
        if !believed.contains(&u64::from_le_bytes(*sequence)) {
            return None;
        }
        match FrameReader::new(rest, 0).next() {
            Ok(Next::Frame(frame)) => Some((at, frame)),
            _ => None,
        }
    })
}

/// Reads frames one after another and knows where the last whole one ended.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    source: R,
    offset: u64,
}

impl Frame {
    /// Whether it stands for records that are not there.
    pub(super) fn is_gap(&self) -> bool {
        self.partition_key.is_empty()
    }

    /// Whether the records it stands for were there once.
    pub(super) fn is_loss(&self) -> bool {
        self.is_gap() && self.data == LOST
    }

    /// Whether it may come where the sequence `next` is expected.
    pub(super) fn follows(&self, next: u64) -> bool {
        self.sequence == next || (self.is_gap() && self.sequence > next)
    }
}

impl<R: Read> FrameReader<R> {
    /// Reads on from `offset`, where `source` already stands.
    pub(super) fn new(source: R, offset: u64) -> Self {
        Self { source, offset }
    }

    /// Where the last whole frame ended.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn next(&mut self) -> io::Result<Next> {
        let mut prefix = [0; PREFIX_BYTES];
        match fill(&mut self.source, &mut prefix)? {
            0 => return Ok(Next::End),
            PREFIX_BYTES => {}
            _ => return Ok(Next::Torn),
        }
        let (length, sum) = prefix.split_at(4);
        let length = length
            .first_chunk::<4>()
            .map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let sum = sum
            .first_chunk::<8>()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let body_bytes = length as usize;
        if !(FIXED_BYTES..=BODY_BYTES_MAX).contains(&body_bytes) {
            return Ok(Next::Torn);
        }
        let mut body = vec![0; body_bytes];
        if fill(&mut self.source, &mut body)? < body_bytes || checksum(length, &body) != sum {
            return Ok(Next::Torn);
        }
        let Some(frame) = parse(body) else {
            return Ok(Next::Torn);
        };
        self.offset += (PREFIX_BYTES + body_bytes) as u64;
        Ok(Next::Frame(frame))
    }
}

fn parse(body: Vec<u8>) -> Option<Frame> {
    let (arrived, rest) = body.split_first_chunk::<8>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (key_bytes, rest) = rest.split_first_chunk::<2>()?;
    let key_bytes = usize::from(u16::from_le_bytes(*key_bytes));
    let (key, _) = rest.split_at_checked(key_bytes)?;
    let partition_key = std::str::from_utf8(key).ok()?.to_owned();
    let (arrived_ms, sequence) = (i64::from_le_bytes(*arrived), u64::from_le_bytes(*sequence));
    let data = Bytes::from(body).slice(FIXED_BYTES + key_bytes..);
    Some(Frame {
        arrived_ms,
        sequence,
        partition_key,
        data,
    })
}

fn checksum(length: u32, body: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(body, u64::from(length))
}

/// Reads until the buffer is full or the source ends; answers how much was read.
fn fill(source: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let wanted = buffer.len();
    while !buffer.is_empty() {
        match source.read(buffer) {
            Ok(0) => break,
            Ok(read) => buffer = buffer.split_at_mut(read).1,
            Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => {}
            Err(failed) => return Err(failed),
        }
    }
    Ok(wanted - buffer.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8]) -> (Vec<Frame>, Next, u64) {
        let mut reader = FrameReader::new(bytes, 0);
        let mut frames = Vec::new();
        loop {
            match reader.next().unwrap() {
                Next::Frame(frame) => frames.push(frame),
                last => return (frames, last, reader.offset()),
            }
        }
    }

    proptest! {
        #[test]
        fn frames_come_back_and_any_changed_bit_is_noticed(
            key in "\\PC{1,20}",
            data: Vec<u8>,
            arrived_ms: i64,
            sequence: u64,
            at: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let record = Record { partition_key: key.clone(), data: data.clone().into() };
            let mut bytes = Vec::new();
            encode(&mut bytes, arrived_ms, sequence, &record);
            let expected = Frame { arrived_ms, sequence, partition_key: key, data: data.into() };
            prop_assert_eq!(read_all(&bytes), (vec![expected], Next::End, bytes.len() as u64));

            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(read_all(&bytes), (vec![], Next::Torn, 0));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            read_all(&bytes);
        }
    }
}
