//! How one event travels and is kept in the stream: a version byte and a protobuf message.
//!
//! Fields are only ever added, so that the version before and the version after can be read;
//! integrity is the aggregate's (see [`crate::aggregate`]).

use bytes::{BufMut, Bytes, BytesMut};
use engine::id::ID_BYTES_MAX;
use engine::{CreatorId, Event, EventKind, UserId, VideoId};
use prost::Message;
use smol_str::SmolStr;

use crate::{Error, ErrorKind};

/// The version that is written; raised only by a change that an older reader must not guess at.
pub const EVENT_SCHEMA: u8 = 1;
/// Longest encoded event.
pub const EVENT_BYTES_MAX: usize = 1_024;

/// The bytes of an event, at most [`EVENT_BYTES_MAX`] for every event that `ingest` lets in.
#[must_use]
pub fn encode(event: &Event) -> Bytes {
    let message = EventMessage::from(event);
    let mut bytes = BytesMut::with_capacity(1 + message.encoded_len());
    bytes.put_u8(EVENT_SCHEMA);
    // A `BytesMut` grows, so there is always room.
    if message.encode(&mut bytes).is_err() {
        bytes.clear();
    }
    bytes.freeze()
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
}

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
        if words.iter().any(|word| word.len() > ID_BYTES_MAX) {
            return Err(corrupt("decode an event: a word is too long"));
        }
        let position = self.slate_position.map(u16::try_from).transpose();
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
        })
    }
}

#[cfg(test)]
mod tests;
