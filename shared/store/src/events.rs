//! How one event travels and is kept in the stream: a version byte and a protobuf message.
//!
//! Fields are only ever added, so that the version before and the version after can be read;
//! integrity is the aggregate's (see [`crate::aggregate`]).

use bytes::Bytes;
use engine::event::ARMS_BYTES_MAX;
use engine::id::ID_BYTES_MAX;
use engine::{CreatorId, Event, EventKind, Made, UserId, VideoId};
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use smol_str::SmolStr;

use crate::{Error, ErrorKind};

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

    fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Text(tag, text) => {
                encode_varint((u64::from(tag) << 3) | 2, out);
                encode_varint(text.len() as u64, out);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Number(tag, number) => {
                encode_varint(u64::from(tag) << 3, out);
                encode_varint(number, out);
            }
        }
    }
}

/// Hands out the fields of [`EventMessage`] in the order of their numbers, without those that have
/// their default.
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

/// Reads an event, skipping fields that a newer writer added.
///
/// # Errors
/// `Invalid` when it is of a newer schema or of a kind not known here; `Corrupt` when the bytes are
/// no event. Neither names content.
pub fn decode(bytes: &[u8]) -> Result<Event, Error> {
    let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, what);
    let (schema, body) = bytes
        .split_first()
        .ok_or_else(|| corrupt("decode an empty event"))?;
    if *schema > EVENT_SCHEMA {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("decode an event of schema {schema}"),
        ));
    }
    if *schema == 0 || bytes.len() > EVENT_BYTES_MAX {
        return Err(corrupt("decode an event"));
    }
    EventMessage::decode(body)
        .map_err(|e| Error::because(ErrorKind::Corrupt, "decode an event", e))?
        .into_event()
}

/// The wire form. Numbers are never reused.
#[derive(Clone, PartialEq, Message)]
struct EventMessage {
    #[prost(string, tag = "1")]
    event_id: String,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(string, tag = "3")]
    user_id: String,
    #[prost(string, tag = "4")]
    video_id: String,
    #[prost(int64, tag = "5")]
    ts_ms: i64,
    #[prost(uint32, optional, tag = "6")]
    watch_ms: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    duration_ms: Option<u32>,
    #[prost(string, tag = "8")]
    scene: String,
    #[prost(string, tag = "9")]
    market: String,
    #[prost(string, optional, tag = "10")]
    creator_id: Option<String>,
    #[prost(bool, tag = "11")]
    undo: bool,
    #[prost(string, tag = "12")]
    recommendation_id: String,
    #[prost(uint32, optional, tag = "13")]
    slate_position: Option<u32>,
    #[prost(string, tag = "14")]
    arms: String,
    #[prost(string, optional, tag = "15")]
    generation: Option<String>,
    #[prost(uint32, optional, tag = "16")]
    propensity_ppb: Option<u32>,
}

#[cfg(test)]
impl From<&Event> for EventMessage {
    fn from(event: &Event) -> Self {
        Self {
            event_id: event.event_id.to_string(),
            kind: u32::from(event.kind.number()),
            user_id: event.user_id.to_string(),
            video_id: event.video_id.to_string(),
            ts_ms: event.ts_ms,
            watch_ms: event.watch_ms,
            duration_ms: event.duration_ms,
            scene: event.scene.to_string(),
            market: event.market.to_string(),
            creator_id: event.creator_id.as_ref().map(ToString::to_string),
            undo: event.undo,
            recommendation_id: event.recommendation_id.to_string(),
            slate_position: event.slate_position.map(u32::from),
            arms: event.arms.to_string(),
            generation: event.made.as_ref().map(|made| made.generation.to_string()),
            propensity_ppb: event.made.as_ref().map(|made| made.propensity_ppb),
        }
    }
}

impl EventMessage {
    fn into_event(self) -> Result<Event, Error> {
        let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, what);
        let bad_id = |_| corrupt("decode an event: an id is none");
        let kind = u8::try_from(self.kind)
            .ok()
            .and_then(EventKind::from_number);
        let kind = kind.ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                format!("decode an event of kind {}", self.kind),
            )
        })?;
        // The same rule as the other ids, without a type of its own.
        VideoId::parse(&self.event_id).map_err(bad_id)?;
        let words = [&self.scene, &self.market, &self.recommendation_id];
        if words.iter().any(|word| word.len() > ID_BYTES_MAX) || self.arms.len() > ARMS_BYTES_MAX {
            return Err(corrupt("decode an event: a word is too long"));
        }
        let position = self.slate_position.map(u16::try_from).transpose();
        let certain = self.propensity_ppb.unwrap_or(Made::CERTAIN_PPB);
        let made = self.generation.map(|name| Made::new(&name, certain));
        let made = made.map(|made| made.ok_or_else(|| corrupt("decode an event: how it was made")));
        Ok(Event {
            event_id: SmolStr::new(self.event_id),
            kind,
            user_id: UserId::parse(&self.user_id).map_err(bad_id)?,
            video_id: VideoId::parse(&self.video_id).map_err(bad_id)?,
            ts_ms: self.ts_ms,
            watch_ms: self.watch_ms,
            duration_ms: self.duration_ms,
            scene: SmolStr::new(self.scene),
            market: SmolStr::new(self.market),
            creator_id: self
                .creator_id
                .map(|id| CreatorId::parse(&id))
                .transpose()
                .map_err(bad_id)?,
            undo: self.undo,
            recommendation_id: SmolStr::new(self.recommendation_id),
            slate_position: position.map_err(|_| corrupt("decode an event: its position"))?,
            arms: SmolStr::new(self.arms),
            made: made.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests;
