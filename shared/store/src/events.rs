//! How one event travels and is kept in the stream: a version byte and a protobuf message.
//!
//! Fields are only ever added, so that the version before and the version after can be read;
//! integrity is the aggregate's (see [`crate::aggregate`]).

use bytes::Bytes;
use engine::Event;
use prost::encoding::encoded_len_varint;

mod decode;

pub use decode::decode;

/// The version that is written; raised only by a change that an older reader must not guess at.
pub const EVENT_SCHEMA: u8 = 1;
/// Longest encoded event.
pub const EVENT_BYTES_MAX: usize = 1_024;

/// The bytes of an event, at most [`EVENT_BYTES_MAX`] for every event that `ingest` lets in.
#[must_use]
pub fn encode(event: &Event) -> Bytes {
    let mut bytes = Vec::with_capacity(encoded_len(event));
    encode_into(event, &mut bytes);
    Bytes::from(bytes)
}

/// How many bytes [`encode_into`] adds.
#[must_use]
pub fn encoded_len(event: &Event) -> usize {
    let mut length = 1;
    visit(event, |field| length += field.bytes());
    length
}

/// Adds the bytes of an event. Written field by field, without the copies that a message of owned
/// strings would need: this runs for every event of the peak.
pub fn encode_into(event: &Event, out: &mut Vec<u8>) {
    out.push(EVENT_SCHEMA);
    visit(event, |field| field.write(out));
}

/// One protobuf field that is not left out.
enum Field<'a> {
    Text(u32, &'a str),
    Number(u32, u64),
}

impl Field<'_> {
    fn bytes(&self) -> usize {
        match *self {
            Self::Text(tag, text) => {
                encoded_len_varint(u64::from(tag) << 3)
                    + encoded_len_varint(text.len() as u64)
                    + text.len()
            }
            Self::Number(tag, number) => {
                encoded_len_varint(u64::from(tag) << 3) + encoded_len_varint(number)
            }
        }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Text(tag, text) => {
                put_two((u64::from(tag) << 3) | 2, text.len() as u64, out);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Number(tag, number) => put_two(u64::from(tag) << 3, number, out),
        }
    }
}

/// Both are of one byte nearly always.
#[inline]
fn put_two(first: u64, second: u64, out: &mut Vec<u8>) {
    if first < 0x80 && second < 0x80 {
        out.extend_from_slice(&[first as u8, second as u8]);
    } else {
        put_varint(first, out);
        put_varint(second, out);
    }
}

/// Nearly all are of one byte; the others are written at once instead of byte by byte.
#[inline]
fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    if number < 0x80 {
        out.push(number as u8);
        return;
    }
    let (mut bytes, mut length) = ([0; 10], 0);
    for byte in &mut bytes {
        length += 1;
        *byte = number as u8 & 0x7f;
        number >>= 7;
        if number == 0 {
            break;
        }
        *byte |= 0x80;
    }
    out.extend_from_slice(bytes.get(..length).unwrap_or_default());
}

/// Hands out the fields in the order of their numbers, without those that have their default.
fn visit(event: &Event, mut each: impl FnMut(Field<'_>)) {
    if !event.event_id.is_empty() {
        each(Field::Text(1, &event.event_id));
    }
    each(Field::Number(2, u64::from(event.kind.number())));
    each(Field::Text(3, event.user_id.as_str()));
    each(Field::Text(4, event.video_id.as_str()));
    if event.ts_ms != 0 {
        // As protobuf has it: a negative number is a large one.
        each(Field::Number(5, event.ts_ms as u64));
    }
    for (tag, number) in [(6, event.watch_ms), (7, event.duration_ms)] {
        if let Some(number) = number {
            each(Field::Number(tag, u64::from(number)));
        }
    }
    for (tag, word) in [(8, &event.scene), (9, &event.market)] {
        if !word.is_empty() {
            each(Field::Text(tag, word));
        }
    }
    if let Some(creator) = &event.creator_id {
        each(Field::Text(10, creator.as_str()));
    }
    if event.undo {
        each(Field::Number(11, 1));
    }
    if !event.recommendation_id.is_empty() {
        each(Field::Text(12, &event.recommendation_id));
    }
    if let Some(position) = event.slate_position {
        each(Field::Number(13, u64::from(position)));
    }
    if !event.arms.is_empty() {
        each(Field::Text(14, &event.arms));
    }
    if let Some(made) = &event.made {
        each(Field::Text(15, &made.generation));
        each(Field::Number(16, u64::from(made.propensity_ppb)));
    }
}

#[cfg(test)]
mod tests;
