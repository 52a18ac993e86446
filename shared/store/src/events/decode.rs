//! Reading an event, without copies of what is read: this runs for every event of the peak.

use engine::event::ARMS_BYTES_MAX;
use engine::id::ID_BYTES_MAX;
use engine::{CreatorId, Event, EventKind, Made, UserId, VideoId};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use smol_str::SmolStr;

use super::{EVENT_BYTES_MAX, EVENT_SCHEMA};
use crate::{Error, ErrorKind};

/// Reads an event, skipping fields that a newer writer added.
///
/// # Errors
/// `Invalid` when it is of a newer schema or of a kind not known here; `Corrupt` when the bytes are
/// no event. Neither names content.
pub fn decode(bytes: &[u8]) -> Result<Event, Error> {
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
    let mut fields = Fields::default();
    let mut rest = body;
    while !rest.is_empty() {
        fields
            .take(&mut rest)
            .ok_or_else(|| corrupt("decode an event"))?;
    }
    fields.into_event()
}

/// The fields as they lie in the message; the last one of a number counts.
#[derive(Default)]
struct Fields<'a> {
    event_id: &'a str,
    kind: u32,
    user_id: &'a str,
    video_id: &'a str,
    ts_ms: i64,
    watch_ms: Option<u32>,
    duration_ms: Option<u32>,
    scene: &'a str,
    market: &'a str,
    creator_id: Option<&'a str>,
    undo: bool,
    recommendation_id: &'a str,
    slate_position: Option<u32>,
    arms: &'a str,
    generation: Option<&'a str>,
    propensity_ppb: Option<u32>,
}

impl<'a> Fields<'a> {
    /// Takes one field off the front; `None` when there is none.
    fn take(&mut self, rest: &mut &'a [u8]) -> Option<()> {
        let (tag, wire) = decode_key(rest).ok()?;
        match tag {
            1 => self.event_id = text(wire, rest)?,
            2 => self.kind = number(wire, rest)? as u32,
            3 => self.user_id = text(wire, rest)?,
            4 => self.video_id = text(wire, rest)?,
            5 => self.ts_ms = number(wire, rest)?.cast_signed(),
            6 => self.watch_ms = Some(number(wire, rest)? as u32),
            7 => self.duration_ms = Some(number(wire, rest)? as u32),
            8 => self.scene = text(wire, rest)?,
            9 => self.market = text(wire, rest)?,
            10 => self.creator_id = Some(text(wire, rest)?),
            11 => self.undo = number(wire, rest)? != 0,
            12 => self.recommendation_id = text(wire, rest)?,
            13 => self.slate_position = Some(number(wire, rest)? as u32),
            14 => self.arms = text(wire, rest)?,
            15 => self.generation = Some(text(wire, rest)?),
            16 => self.propensity_ppb = Some(number(wire, rest)? as u32),
            _ => skip(wire, tag, rest).ok()?,
        }
        Some(())
    }

    fn into_event(self) -> Result<Event, Error> {
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
        VideoId::parse(self.event_id).map_err(bad_id)?;
        let words = [self.scene, self.market, self.recommendation_id];
        if words.iter().any(|word| word.len() > ID_BYTES_MAX) || self.arms.len() > ARMS_BYTES_MAX {
            return Err(corrupt("decode an event: a word is too long"));
        }
        let position = self.slate_position.map(u16::try_from).transpose();
        let creator_id = self.creator_id.map(CreatorId::parse).transpose();
        let certain = self.propensity_ppb.unwrap_or(Made::CERTAIN_PPB);
        let made = self.generation.map(|name| Made::new(name, certain));
        let made = made.map(|made| made.ok_or_else(|| corrupt("decode an event: how it was made")));
        Ok(Event {
            event_id: SmolStr::new(self.event_id),
            kind,
            user_id: UserId::parse(self.user_id).map_err(bad_id)?,
            video_id: VideoId::parse(self.video_id).map_err(bad_id)?,
            ts_ms: self.ts_ms,
            watch_ms: self.watch_ms,
            duration_ms: self.duration_ms,
            scene: SmolStr::new(self.scene),
            market: SmolStr::new(self.market),
            creator_id: creator_id.map_err(bad_id)?,
            undo: self.undo,
            recommendation_id: SmolStr::new(self.recommendation_id),
            slate_position: position.map_err(|_| corrupt("decode an event: its position"))?,
            arms: SmolStr::new(self.arms),
            made: made.transpose()?,
        })
    }
}

fn number(wire: WireType, rest: &mut &[u8]) -> Option<u64> {
    (wire == WireType::Varint).then_some(())?;
    decode_varint(rest).ok()
}

fn text<'a>(wire: WireType, rest: &mut &'a [u8]) -> Option<&'a str> {
    (wire == WireType::LengthDelimited).then_some(())?;
    let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    std::str::from_utf8(taken).ok()
}

fn skip(wire: WireType, tag: u32, rest: &mut &[u8]) -> Result<(), DecodeError> {
    skip_field(wire, tag, rest, DecodeContext::default())
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, what)
}
