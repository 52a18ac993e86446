//! What of a user has been applied, and what the user has already done: the memory that skips replays
//! and drops a producer's retries.

use bytes::Bytes;
use engine::UserId;
use prost::Message;
use store::counters::Place;
use store::{Error, ErrorKind, sealed};
use xxhash_rust::xxh3::xxh3_64;

/// Event ids remembered per user, and as many (video, kind, hour).
pub const MARKS_MAX: usize = 1_024;
/// A mark older than this no longer counts, seconds. Longer than `ingest` takes an event at all: from
/// five minutes before its time to a day after it.
pub const AGE_MAX_S: u32 = 24 * 3_600 + 600;
/// Shards whose position is remembered per user: the present one, and those before reshards.
pub const SHARDS_MAX: usize = 4;
/// The schema of the row. 1 had marks with their place and no positions.
pub const WINDOW_SCHEMA: u8 = 2;

/// Bytes of a mark in schema 1: key, place, seconds.
const OLD_MARK_BYTES: usize = 16;
/// Bits of a hash that are kept: with 1,024 marks, one false match in 10^11 events.
const KEY_BITS: u32 = 48;
const KEY_BYTES: usize = 6;

/// Something met, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// When the stream took it, Unix time in seconds.
    pub at_s: u32,
    /// Hash of what was met, [`KEY_BITS`] of it.
    pub key: u64,
}

/// How far a shard has been applied for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Applied {
    shard: u64,
    to: Place,
}

/// One user: how far each shard is applied, which event ids were met, and which (video, kind, hour)
/// were popular by them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// Newest last.
    applied: Vec<Applied>,
    /// Oldest first.
    ids: Vec<Mark>,
    /// Oldest first.
    firsts: Vec<Mark>,
}

/// Which of a window's two lists a mark belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// Event ids.
    Ids,
    /// (video, kind, hour), (video, long view, hour) and (arm, day).
    Firsts,
}

/// The stored form. Numbers are never reused.
#[derive(Clone, PartialEq, Message)]
struct WindowMessage {
    #[prost(message, repeated, tag = "1")]
    applied: Vec<AppliedMessage>,
    /// [`KEY_BYTES`] of each key.
    #[prost(bytes = "bytes", tag = "2")]
    ids: Bytes,
    /// The first second, then differences.
    #[prost(uint32, repeated, tag = "3")]
    ids_s: Vec<u32>,
    #[prost(bytes = "bytes", tag = "4")]
    firsts: Bytes,
    #[prost(uint32, repeated, tag = "5")]
    firsts_s: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct AppliedMessage {
    #[prost(fixed64, tag = "1")]
    shard: u64,
    #[prost(string, tag = "2")]
    sequence: String,
    #[prost(uint32, tag = "3")]
    index: u32,
}

impl Mark {
    /// The mark of a hash.
    pub fn new(hash: u64, arrived_ms: i64) -> Self {
        Self {
            at_s: u32::try_from(arrived_ms.div_euclid(1_000)).unwrap_or(0),
            key: hash >> (u64::BITS - KEY_BITS),
        }
    }
}

impl Window {
    /// The row of a user's window. The id is hashed: two users who share a hash share a window, which
    /// does no harm, because event ids differ and so does what they are popular for.
    pub fn row_id(user_id: &UserId) -> String {
        format!("window#{:016x}", xxh3_64(user_id.as_str().as_bytes()))
    }

    /// Whether everything of this user up to a place of a shard has been applied, counted and kept.
    pub fn has_applied(&self, shard: &str, place: &Place) -> bool {
        let shard = shard_hash(shard);
        let known = self.applied.iter().find(|known| known.shard == shard);
        known.is_some_and(|known| *place <= known.to)
    }

    /// Remembers that everything up to a place of a shard has been applied; says whether that is new.
    /// Never goes back.
    pub fn apply_to(&mut self, shard: &str, place: &Place) -> bool {
        let shard = shard_hash(shard);
        if let Some(known) = self.applied.iter_mut().find(|known| known.shard == shard) {
            let further = *place > known.to;
            if further {
                known.to = place.clone();
            }
            return further;
        }
        self.applied.push(Applied {
            shard,
            to: place.clone(),
        });
        let surplus = self.applied.len().saturating_sub(SHARDS_MAX);
        self.applied.drain(..surplus);
        true
    }

    /// Meets a mark: false when it was met before, within [`AGE_MAX_S`].
    ///
    /// Marks lie in the order of their time, so that what comes late cannot push out what is newer.
    pub fn admit(&mut self, list: List, mark: Mark) -> bool {
        let marks = self.list(list);
        let met = marks.iter().rposition(|met| met.key == mark.key);
        if let Some(at) = met {
            let alive = |met: &Mark| mark.at_s.saturating_sub(met.at_s) <= AGE_MAX_S;
            if marks.get(at).is_some_and(alive) {
                return false;
            }
            marks.remove(at);
        }
        let at = marks.iter().rposition(|met| *met <= mark);
        marks.insert(at.map_or(0, |at| at + 1), mark);
        let newest_s = marks.last().map_or(0, |mark| mark.at_s);
        let old = |mark: &Mark| newest_s.saturating_sub(mark.at_s) > AGE_MAX_S;
        let gone = marks.partition_point(old);
        let surplus = marks.len().saturating_sub(MARKS_MAX);
        marks.drain(..gone.max(surplus));
        true
    }

    /// The bytes of the row.
    pub fn encode(&self) -> Bytes {
        let applied = |applied: &Applied| AppliedMessage {
            shard: applied.shard,
            sequence: applied.to.sequence.to_string(),
            index: applied.to.index,
        };
        let (ids, ids_s) = pack(&self.ids);
        let (firsts, firsts_s) = pack(&self.firsts);
        let message = WindowMessage {
            applied: self.applied.iter().map(applied).collect(),
            ids,
            ids_s,
            firsts,
            firsts_s,
        };
        sealed::seal(WINDOW_SCHEMA, &message.encode_to_vec())
    }

    /// Reads the bytes of a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let body = sealed::open(WINDOW_SCHEMA, bytes, WHAT)?;
        if bytes.first() == Some(&1) {
            return decode_first_schema(body);
        }
        let message = WindowMessage::decode(body).map_err(|_| corrupt())?;
        if message.applied.len() > SHARDS_MAX {
            return Err(corrupt());
        }
        let applied = message.applied.into_iter().map(|applied| Applied {
            shard: applied.shard,
            to: Place {
                sequence: applied.sequence.into(),
                index: applied.index,
            },
        });
        Ok(Self {
            applied: applied.collect(),
            ids: unpack(&message.ids, &message.ids_s)?,
            firsts: unpack(&message.firsts, &message.firsts_s)?,
        })
    }

    fn list(&mut self, list: List) -> &mut Vec<Mark> {
        match list {
            List::Ids => &mut self.ids,
            List::Firsts => &mut self.firsts,
        }
    }
}

const WHAT: &str = "decode a user's window";

fn corrupt() -> Error {
    Error::new(ErrorKind::Corrupt, WHAT)
}

fn shard_hash(shard: &str) -> u64 {
    xxh3_64(shard.as_bytes())
}

fn pack(marks: &[Mark]) -> (Bytes, Vec<u32>) {
    let mut keys = Vec::with_capacity(marks.len() * KEY_BYTES);
    let mut before_s = 0;
    let mut seconds = Vec::with_capacity(marks.len());
    for mark in marks {
        keys.extend(mark.key.to_le_bytes().iter().take(KEY_BYTES));
        seconds.push(mark.at_s.wrapping_sub(before_s));
        before_s = mark.at_s;
    }
    (Bytes::from(keys), seconds)
}

fn unpack(keys: &[u8], seconds: &[u32]) -> Result<Vec<Mark>, Error> {
    let (keys, rest) = keys.as_chunks::<KEY_BYTES>();
    if !rest.is_empty() || keys.len() != seconds.len() || keys.len() > MARKS_MAX {
        return Err(corrupt());
    }
    let mut at_s = 0_u32;
    let mark = |(key, since): (&[u8; KEY_BYTES], &u32)| {
        at_s = at_s.wrapping_add(*since);
        let [a, b, c, d, e, f] = *key;
        Mark {
            at_s,
            key: u64::from_le_bytes([a, b, c, d, e, f, 0, 0]),
        }
    };
    let marks: Vec<Mark> = keys.iter().zip(seconds).map(mark).collect();
    let ordered = marks.is_sorted_by_key(|mark| mark.at_s);
    if ordered { Ok(marks) } else { Err(corrupt()) }
}

fn decode_first_schema(body: &[u8]) -> Result<Window, Error> {
    let (head, body) = body.split_first_chunk::<4>().ok_or_else(corrupt)?;
    let [a, b, c, d] = *head;
    let ids = usize::from(u16::from_le_bytes([a, b]));
    let firsts = usize::from(u16::from_le_bytes([c, d]));
    let (chunks, rest) = body.as_chunks::<OLD_MARK_BYTES>();
    if !rest.is_empty() || chunks.len() != ids + firsts || ids.max(firsts) > MARKS_MAX {
        return Err(corrupt());
    }
    let mark = |bytes: &[u8; OLD_MARK_BYTES]| {
        let whole = u128::from_le_bytes(*bytes);
        Mark::new(whole as u64, i64::from((whole >> 96) as u32) * 1_000)
    };
    let marks: Vec<Mark> = chunks.iter().map(mark).collect();
    let (ids, firsts) = marks.split_at_checked(ids).ok_or_else(corrupt)?;
    let (mut ids, mut firsts) = (ids.to_vec(), firsts.to_vec());
    ids.sort_unstable();
    firsts.sort_unstable();
    Ok(Window {
        applied: Vec::new(),
        ids,
        firsts,
    })
}

#[cfg(test)]
mod tests;
