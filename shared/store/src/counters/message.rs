//! How counts are stored: protobuf, small enough for one write unit.

use std::collections::BTreeMap;

use engine::EventKind;
use prost::Message;

use super::{Place, VideoCounts};
use crate::{Error, ErrorKind};

/// The stored form of [`VideoCounts`]. Numbers are never reused.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CountsMessage {
    #[prost(string, tag = "1")]
    sequence: String,
    #[prost(uint32, tag = "2")]
    index: u32,
    #[prost(message, repeated, tag = "3")]
    totals: Vec<KindMessage>,
    #[prost(message, repeated, tag = "4")]
    hours: Vec<HourMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KindMessage {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint64, tag = "2")]
    n: u64,
}

#[derive(Clone, PartialEq, Message)]
struct HourMessage {
    /// The first hour, then differences.
    #[prost(sint64, tag = "1")]
    hour: i64,
    /// Kinds and counts, one after another: half the bytes of messages of their own.
    #[prost(uint64, repeated, tag = "2")]
    kinds: Vec<u64>,
    #[prost(uint64, tag = "3")]
    long_views: u64,
}

impl From<&VideoCounts> for CountsMessage {
    fn from(counts: &VideoCounts) -> Self {
        let mut before = 0;
        let hours = counts.hours.iter().map(|(hour, kinds)| {
            let pairs = kinds.iter();
            let pairs = pairs.flat_map(|(kind, n)| [u64::from(kind.number()), *n]);
            let message = HourMessage {
                hour: hour.wrapping_sub(before),
                kinds: pairs.collect(),
                long_views: counts.long_views.get(hour).copied().unwrap_or(0),
            };
            before = *hour;
            message
        });
        Self {
            sequence: counts.at.sequence.to_string(),
            index: counts.at.index,
            totals: to_pairs(&counts.totals),
            hours: hours.collect(),
        }
    }
}

impl CountsMessage {
    pub(super) fn into_counts(self) -> Result<VideoCounts, Error> {
        let mut counts = VideoCounts {
            at: Place {
                sequence: self.sequence.into(),
                index: self.index,
            },
            totals: from_pairs(&self.totals)?,
            ..VideoCounts::default()
        };
        let mut hour = 0_i64;
        for message in self.hours {
            hour = hour.wrapping_add(message.hour);
            let mut kinds = BTreeMap::new();
            let (pairs, rest) = message.kinds.as_chunks::<2>();
            if !rest.is_empty() {
                return Err(corrupt());
            }
            for [kind, n] in pairs {
                kinds.insert(kind_of(u32::try_from(*kind).unwrap_or(0))?, *n);
            }
            counts.hours.insert(hour, kinds);
            if message.long_views > 0 {
                counts.long_views.insert(hour, message.long_views);
            }
        }
        Ok(counts)
    }
}

pub(super) fn to_pairs(counts: &BTreeMap<EventKind, u64>) -> Vec<KindMessage> {
    let pair = |(kind, n): (&EventKind, &u64)| KindMessage {
        kind: u32::from(kind.number()),
        n: *n,
    };
    counts.iter().map(pair).collect()
}

pub(super) fn from_pairs(pairs: &[KindMessage]) -> Result<BTreeMap<EventKind, u64>, Error> {
    let pairs = pairs.iter().map(|pair| Ok((kind_of(pair.kind)?, pair.n)));
    pairs.collect()
}

/// A kind that a newer version counts is not dropped silently: the row is left to that version.
pub(super) fn kind_of(number: u32) -> Result<EventKind, Error> {
    let kind = u8::try_from(number).ok().and_then(EventKind::from_number);
    kind.ok_or_else(|| Error::new(ErrorKind::Invalid, "decode counts of a kind not known here"))
}

pub(super) fn corrupt() -> Error {
    Error::new(ErrorKind::Corrupt, "decode counts")
}
