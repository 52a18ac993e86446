//! The Kinesis Producer Library's aggregate: many small payloads in one stream record.
//!
//! ```text
//! F3 89 9A C2 │ protobuf AggregatedRecord │ MD5 of the protobuf (16 bytes)
//! ```
//!
//! Written as AWS's own de-aggregators read it; a record without the magic is a plain one and is
//! given back as its own only payload.
//! Format: <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>

use std::collections::HashMap;

use bytes::Bytes;
use md5::{Digest, Md5};
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::ports::Record;
use crate::{Error, ErrorKind};

mod unpack;

pub use unpack::unpack;

/// What an aggregate starts with.
pub const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
/// An aggregate is closed before it grows past this: two of Kinesis' 25 KB payload units.
pub const AGGREGATE_BYTES_MAX: usize = 50 * 1_000;
/// Largest record of the stream.
pub const RECORD_BYTES_MAX: usize = 1_048_576;
/// Most payloads in one aggregate.
pub const ITEMS_MAX: usize = 10_000;

/// Room that an aggregate begins with: one client's page of events.
const DRAFT_BYTES: usize = 4_096;
const DRAFT_ITEMS: usize = 32;
const MD5_BYTES: usize = 16;
/// Field 1 and 3 of the aggregate, length-delimited; 2, explicit hash keys, is not written.
const KEY_TABLE: u8 = 0x0a;
const RECORDS: u8 = 0x1a;
/// Field 1 (a varint) and 3 (bytes) of one record; 2 indexes explicit hash keys, 4 holds tags.
const KEY_INDEX: u8 = 0x08;
const DATA: u8 = 0x1a;

/// A stream record and which of the packed payloads are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// What to append.
    pub record: Record,
    /// Places in what was packed, in order.
    pub items: Vec<usize>,
}

/// Packs payloads by their partition key, keeping the order within a key.
///
/// Each record carries payloads of one key, which is its own partition key too, so that consumers
/// that check keys against shards agree.
#[must_use]
pub fn pack(items: Vec<(String, Bytes)>) -> Vec<Record> {
    pack_items(items)
        .into_iter()
        .map(|packed| packed.record)
        .collect()
}

/// As [`pack`], saying which payloads went where.
#[must_use]
pub fn pack_items(items: Vec<(String, Bytes)>) -> Vec<Packed> {
    let mut slots: HashMap<String, usize> = HashMap::new();
    let mut packer = Packer::default();
    for (place, (key, data)) in items.into_iter().enumerate() {
        let next = slots.len();
        let slot = *slots.entry(key.clone()).or_insert(next);
        packer.add(slot, || key, place, &data);
    }
    packer.finish()
}

/// Packs payloads one after another.
#[derive(Default)]
pub struct Packer {
    /// Per slot, the draft that still takes payloads.
    open: Vec<Option<usize>>,
    drafts: Vec<Draft>,
}

impl Packer {
    /// Adds a payload. `slot` numbers its partition key, densely; `key` names it and is asked once per
    /// aggregate.
    pub fn add(&mut self, slot: usize, key: impl FnOnce() -> String, place: usize, payload: &[u8]) {
        if self.open.len() <= slot {
            self.open.resize(slot + 1, None);
        }
        let current = self.open.get(slot).copied().flatten();
        let current = current.and_then(|at| self.drafts.get_mut(at));
        if let Some(draft) = current.filter(|draft| draft.has_room(payload.len())) {
            draft.add(place, payload);
            return;
        }
        let mut draft = Draft::new(key());
        draft.add(place, payload);
        if let Some(open) = self.open.get_mut(slot) {
            *open = Some(self.drafts.len());
        }
        self.drafts.push(draft);
    }

    /// Closes every aggregate, in the order in which they were begun.
    #[must_use]
    pub fn finish(self) -> Vec<Packed> {
        self.drafts.into_iter().map(Draft::finish).collect()
    }
}

/// An aggregate that still takes payloads.
struct Draft {
    key: String,
    bytes: Vec<u8>,
    items: Vec<usize>,
}

impl Draft {
    fn new(key: String) -> Self {
        let mut bytes = Vec::with_capacity(DRAFT_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(KEY_TABLE);
        encode_varint(key.len() as u64, &mut bytes);
        bytes.extend_from_slice(key.as_bytes());
        Self {
            key,
            bytes,
            items: Vec::with_capacity(DRAFT_ITEMS),
        }
    }

    fn has_room(&self, data_bytes: usize) -> bool {
        let inner = inner_bytes(data_bytes);
        let grown = self.bytes.len() + 1 + encoded_len_varint(inner as u64) + inner + MD5_BYTES;
        grown <= AGGREGATE_BYTES_MAX && self.items.len() < ITEMS_MAX
    }

    fn add(&mut self, place: usize, data: &[u8]) {
        self.bytes.push(RECORDS);
        encode_varint(inner_bytes(data.len()) as u64, &mut self.bytes);
        self.bytes.extend_from_slice(&[KEY_INDEX, 0, DATA]);
        encode_varint(data.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(data);
        self.items.push(place);
    }

    fn finish(mut self) -> Packed {
        let body = self.bytes.get(MAGIC.len()..).unwrap_or_default();
        let digest = Md5::digest(body);
        self.bytes.extend_from_slice(&digest);
        let record = Record {
            partition_key: self.key,
            data: Bytes::from(self.bytes),
        };
        Packed {
            record,
            items: self.items,
        }
    }
}

/// Bytes of one inner record: the index of the only key, and the payload.
fn inner_bytes(data_bytes: usize) -> usize {
    3 + encoded_len_varint(data_bytes as u64) + data_bytes
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("unpack an aggregate: {what}"))
}

#[cfg(test)]
mod tests;
