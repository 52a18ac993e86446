//! One read of a shard.

use store::{Position, StreamRecord};

use super::super::READ_BYTES_MAX;
use super::super::frame::Frame;

/// One read under way.
pub(super) struct Reading {
    pub(super) from: u64,
    pub(super) durable: u64,
    pub(super) limit: usize,
    pub(super) bytes: usize,
    pub(super) records: Vec<StreamRecord>,
}

impl Reading {
    pub(super) fn full(&self) -> bool {
        self.records.len() >= self.limit || self.bytes >= READ_BYTES_MAX
    }

    /// The sequence that is wanted next.
    pub(super) fn next(&self) -> u64 {
        self.from + self.records.len() as u64
    }

    pub(super) fn take(&mut self, shard: &str, frame: Frame) {
        if frame.sequence < self.from {
            return;
        }
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
