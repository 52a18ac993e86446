use engine::user::{HIDDEN_MAX, RECENT_MAX, SEEN_MAX, UNDONE_MAX};
use proptest::prelude::*;

use super::*;

fn video(name: &str) -> VideoId {
    VideoId::parse(name).unwrap()
}

fn golden() -> UserState {
    let met = Interaction {
        video_id: video("v42"),
        kind: EventKind::Watch,
        ts_ms: 1_760_000_000_000,
        watch_ratio: 0.5,
    };
    UserState {
        version: 0,
        updated_ms: 1_760_000_000_000,
        recent: vec![met],
        seen: vec![1, 2],
        hidden_videos: vec![video("v9")],
        hidden_creators: vec![CreatorId::parse("c1").unwrap()],
        profile: Some(Profile {
            cohort: 7,
            categories: vec![("music".into(), 0.75)],
            long_term: vec![video("v1")],
            long_view_rate: 0.25,
        }),
        tombstone_ms: Some(1),
        times: Times {
            seen_min: vec![29_333_300, 29_333_333],
            hidden_videos_ms: vec![1_759_000_000_000],
            hidden_creators_ms: vec![1_758_000_000_000],
            undone: vec![Undone {
                kind: EventKind::Like,
                target: 5,
                ts_ms: 1_757_000_000_000,
            }],
        },
    }
}

const GOLDEN: &str = "011c07da02088080b3c19c3312130a037634321003188080b3c19c33250000003f1a080100000002000000\
    2205e8dcfc1b422a0b0a0276391080ecc7e49833320b0a0263311080d8dc8795333a18080712056d757369\
    631a040000403f220276312d0000803e40014a0e080415050000001880c4f1aa9133";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_of_version_1_are_these() {
    assert_eq!(hex(&encode(&golden())), GOLDEN);
    let digits: Vec<u8> = GOLDEN.bytes().collect();
    let text = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = digits.chunks(2).map(text).collect();
    assert_eq!(decode(&bytes).unwrap(), golden());
}

#[test]
fn fields_and_kinds_of_a_newer_writer_are_skipped() {
    let mut message = UserMessage::from(&golden());
    message.recent.push(RecentMessage {
        video_id: "v7".into(),
        kind: 77,
        ..Default::default()
    });
    message.undone.push(UndoneMessage {
        kind: 77,
        ..Default::default()
    });
    let mut body = message.encode_to_vec();
    // Field 99, a string, which nobody knows yet.
    body.extend([0x9a, 0x06, 0x03, b'n', b'e', b'w']);
    assert_eq!(decode(&sealed::seal(USER_SCHEMA, &body)).unwrap(), golden());
}

#[test]
fn an_older_writers_row_without_later_fields_is_read() {
    let message = UserMessage {
        updated_ms: 5,
        ..UserMessage::default()
    };
    let state = decode(&sealed::seal(USER_SCHEMA, &message.encode_to_vec())).unwrap();
    assert_eq!(
        state,
        UserState {
            updated_ms: 5,
            ..UserState::default()
        }
    );
}

#[test]
fn a_newer_schema_is_invalid_and_damage_is_corrupt() {
    let message = UserMessage::from(&golden());
    let newer = sealed::seal(USER_SCHEMA + 1, &message.encode_to_vec());
    assert_eq!(decode(&newer).unwrap_err().kind, ErrorKind::Invalid);
    let mut unparallel = message.clone();
    unparallel.seen_min.clear();
    let mut bad_id = message;
    bad_id.hidden_videos[0].id = "a/b".to_owned();
    for message in [unparallel, bad_id] {
        let bytes = sealed::seal(USER_SCHEMA, &message.encode_to_vec());
        assert_eq!(decode(&bytes).unwrap_err().kind, ErrorKind::Corrupt);
    }
    for cut in 0..encode(&golden()).len() {
        let bytes = encode(&golden()).slice(..cut);
        assert_eq!(
            decode(&bytes).unwrap_err().kind,
            ErrorKind::Corrupt,
            "cut at {cut}"
        );
    }
}

/// A state with so many entries in each list, ids of the given length, newest last.
fn state_of(
    [recent, seen, hidden, undone, long_term, categories]: [usize; 6],
    id: usize,
) -> UserState {
    let name = |i: usize| format!("{i:0id$}");
    let ts_ms = |i: usize| 1_760_000_000_000 + 100_000 * i as i64;
    let interaction = |i| Interaction {
        video_id: video(&name(i)),
        kind: EventKind::Comment,
        ts_ms: ts_ms(i),
        watch_ratio: 0.7,
    };
    UserState {
        version: 0,
        updated_ms: i64::MAX,
        recent: (0..recent).map(interaction).collect(),
        seen: (0..seen).map(|i| u32::MAX - i as u32).collect(),
        hidden_videos: (0..hidden).map(|i| video(&name(i))).collect(),
        hidden_creators: (0..hidden)
            .map(|i| CreatorId::parse(&name(i)).unwrap())
            .collect(),
        profile: Some(Profile {
            cohort: u32::MAX,
            categories: (0..categories).map(|i| (name(i).into(), 0.1)).collect(),
            long_term: (0..long_term).map(|i| video(&name(i))).collect(),
            long_view_rate: 0.5,
        }),
        tombstone_ms: Some(i64::MAX),
        times: Times {
            seen_min: (0..seen).map(|i| 29_000_000 + 1_000 * i as u32).collect(),
            hidden_videos_ms: (0..hidden).map(ts_ms).collect(),
            hidden_creators_ms: (0..hidden).map(ts_ms).collect(),
            undone: (0..undone)
                .map(|i| Undone {
                    kind: EventKind::Hide,
                    target: u32::MAX,
                    ts_ms: ts_ms(i),
                })
                .collect(),
        },
    }
}

const MAXIMA: [usize; 6] = [RECENT_MAX, SEEN_MAX, HIDDEN_MAX, UNDONE_MAX, 200, 50];

#[test]
fn at_all_maxima_the_row_fits_and_the_newest_are_kept() {
    let full = state_of(MAXIMA, 64);
    let bytes = encode(&full);
    assert!(bytes.len() <= USER_BYTES_MAX, "{} bytes", bytes.len());
    assert!(
        bytes.len() > USER_BYTES_MAX - 100,
        "only {} bytes",
        bytes.len()
    );
    let kept = decode(&bytes).unwrap();
    assert!(kept.recent.len() >= 15 && full.recent.ends_with(&kept.recent));
    assert!(kept.hidden_videos.len() >= 10 && full.hidden_videos.ends_with(&kept.hidden_videos));
}

#[test]
fn an_ordinary_users_row_loses_only_the_oldest_videos_met() {
    let full = state_of([RECENT_MAX, SEEN_MAX, 5, 5, 20, 5], 8);
    let kept = decode(&encode(&full)).unwrap();
    assert!(kept.seen.len() >= 150, "{} met videos", kept.seen.len());
    assert!(full.seen.ends_with(&kept.seen) && full.times.seen_min.ends_with(&kept.times.seen_min));
    let without_seen = |state: UserState| {
        let times = Times {
            seen_min: Vec::new(),
            ..state.times
        };
        UserState {
            seen: Vec::new(),
            times,
            ..state
        }
    };
    assert_eq!(without_seen(kept), without_seen(full));
}

proptest! {
    #[test]
    fn every_state_fits_and_what_fits_round_trips(
        counts in MAXIMA.map(|max| 0..=max),
        id in 4_usize..=64,
    ) {
        let state = state_of(counts, id);
        let bytes = encode(&state);
        prop_assert!(bytes.len() <= USER_BYTES_MAX);
        let kept = decode(&bytes).unwrap();
        if HEADER_BYTES + UserMessage::from(&state).encoded_len() <= USER_BYTES_MAX {
            prop_assert_eq!(&kept, &state);
        }
        prop_assert_eq!(decode(&encode(&kept)).unwrap(), kept);
    }

    #[test]
    fn hostile_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&body);
        let _ = decode(&sealed::seal(USER_SCHEMA, &body));
    }
}
