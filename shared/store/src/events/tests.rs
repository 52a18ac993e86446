use proptest::prelude::*;

use super::*;
use crate::testing::any_event;

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
    fn hostile_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        bytes.insert(0, EVENT_SCHEMA);
        let _ = decode(&bytes);
    }
}
