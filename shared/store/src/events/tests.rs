use engine::{CreatorId, EventKind, Made, UserId, VideoId};
use proptest::prelude::*;
use prost::Message;
use smol_str::SmolStr;

use super::*;
use crate::ErrorKind;
use crate::testing::any_event;

/// The wire form, as prost has it. Numbers are never reused.
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

fn golden() -> Event {
    Event {
        event_id: "e1".into(),
        kind: EventKind::Watch,
        user_id: UserId::parse("u7").unwrap(),
        video_id: VideoId::parse("v42").unwrap(),
        ts_ms: 1_760_000_000_000,
        watch_ms: Some(8_120),
        duration_ms: Some(49_866),
        scene: "home".into(),
        market: "DE".into(),
        creator_id: Some(CreatorId::parse("c1").unwrap()),
        undo: true,
        recommendation_id: "r1".into(),
        slate_position: Some(0),
        arms: SmolStr::default(),
        made: None,
    }
}

const GOLDEN: &str = "010a0265311003 1a027537 2203763432 288080b3c19c33 30b83f 38ca8503 \
    4204686f6d65 4a024445 52026331 5801 62027231 6800";

/// What was added to version 1 since: field 14; fields 15 and 16.
const GOLDEN_ARMS: &str = "72 0b 686f6d655f72616e6b3d62";
const GOLDEN_MADE: &str = "7a 0c 323032362d31312d32312e32 8001 c096b102";

fn golden_bytes() -> Vec<u8> {
    bytes_of(GOLDEN)
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let text = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(text).collect()
}

#[test]
fn the_bytes_of_version_1_are_these() {
    assert_eq!(encode(&golden()), golden_bytes());
    assert_eq!(decode(&golden_bytes()).unwrap(), golden());
    let armed = Event {
        arms: "home_rank=b".into(),
        ..golden()
    };
    let bytes = [golden_bytes(), bytes_of(GOLDEN_ARMS)].concat();
    assert_eq!(encode(&armed), bytes);
    assert_eq!(decode(&bytes).unwrap(), armed);
    let made = Event {
        made: Made::new("2026-11-21.2", 5_000_000),
        ..armed
    };
    let bytes = [bytes, bytes_of(GOLDEN_MADE)].concat();
    assert_eq!(encode(&made), bytes);
    assert_eq!(decode(&bytes).unwrap(), made);
}

#[test]
fn fields_of_a_newer_writer_are_skipped() {
    // Field 99, a string, which nobody knows yet.
    let newer = [&golden_bytes()[..], &[0x9a, 0x06, 0x03, b'n', b'e', b'w']].concat();
    assert_eq!(decode(&newer).unwrap(), golden());
}

#[test]
fn an_older_writers_bytes_without_later_fields_are_read() {
    let bytes = &golden_bytes()[..golden_bytes().len() - 2];
    assert_eq!(
        decode(bytes).unwrap(),
        Event {
            slate_position: None,
            arms: SmolStr::default(),
            ..golden()
        }
    );
}

#[test]
fn a_newer_schema_and_an_unknown_kind_are_invalid_and_the_rest_is_corrupt() {
    let mut newer = golden_bytes();
    newer[0] = EVENT_SCHEMA + 1;
    let mut kind = golden_bytes();
    kind[6] = 99;
    let mut user = golden_bytes();
    user[9] = b'/';
    let cases = [
        (newer, ErrorKind::Invalid),
        (kind, ErrorKind::Invalid),
        (user, ErrorKind::Corrupt),
        (Vec::new(), ErrorKind::Corrupt),
        (vec![0], ErrorKind::Corrupt),
        (vec![EVENT_SCHEMA], ErrorKind::Invalid),
        (vec![EVENT_SCHEMA; EVENT_BYTES_MAX + 1], ErrorKind::Corrupt),
    ];
    for (bytes, kind) in cases {
        assert_eq!(decode(&bytes).unwrap_err().kind, kind, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn events_round_trip_within_the_limit(event in any_event()) {
        let bytes = encode(&event);
        prop_assert!(bytes.len() <= EVENT_BYTES_MAX);
        prop_assert_eq!(encoded_len(&event), bytes.len());
        prop_assert_eq!(&bytes[1..], &EventMessage::from(&event).encode_to_vec()[..]);
        prop_assert_eq!(decode(&bytes).unwrap(), event);
    }

    #[test]
    fn what_prost_reads_is_read_and_nothing_else(
        event in any_event(),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut wire = encode(&event).to_vec();
        let at = 1 + at.index(wire.len() - 1);
        wire.splice(at..(at + bytes.len()).min(wire.len()), bytes);
        let theirs = EventMessage::decode(&wire[1..]);
        match decode(&wire) {
            Ok(event) => {
                let mut theirs = theirs.unwrap();
                // A chance belongs to a generation, and is certain where none is written.
                let certain = || theirs.propensity_ppb.or(Some(Made::CERTAIN_PPB));
                theirs.propensity_ppb = theirs.generation.as_ref().and_then(|_| certain());
                // Kinds, positions and lengths are numbers of fewer bits here.
                prop_assert_eq!(EventMessage::from(&event), theirs);
            }
            Err(error) if theirs.is_err() => prop_assert_eq!(error.kind, ErrorKind::Corrupt),
            // Read by prost, and no event by our rules.
            Err(_) => {}
        }
    }

    #[test]
    fn hostile_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        bytes.insert(0, EVENT_SCHEMA);
        let _ = decode(&bytes);
    }
}
