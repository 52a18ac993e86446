//! Rows for tests.

use proptest::prelude::*;

use super::*;

/// A plain row whose event is numbered.
pub(crate) fn row(number: u32, shard: &str, sequence: &str, index: u32) -> LakeRow {
    let event = Event {
        event_id: SmolStr::new(format!("e{number}")),
        kind: EventKind::Click,
        user_id: UserId::parse("u").unwrap(),
        video_id: VideoId::parse("v").unwrap(),
        ts_ms: 1_650_812_741_436 + i64::from(number),
        watch_ms: None,
        duration_ms: None,
        scene: SmolStr::default(),
        market: SmolStr::default(),
        creator_id: None,
        undo: false,
        recommendation_id: SmolStr::default(),
        slate_position: None,
        arms: SmolStr::default(),
        made: None,
    };
    LakeRow {
        event,
        shard: SmolStr::new(shard),
        sequence: SmolStr::new(sequence),
        index,
    }
}

prop_compose! {
    /// Any row that may be written.
    pub(crate) fn any_row()(
        ids in ("[a-zA-Z0-9_-]{1,64}", "[a-z0-9]{1,9}", "[a-z0-9]{1,9}"),
        kind in prop::sample::select(EventKind::ALL.to_vec()),
        ts_ms in 0i64..4_000_000_000_000,
        watched: (Option<u32>, Option<u32>),
        texts in ("[a-z_]{0,9}", "[A-Z]{0,2}", "[a-zA-Z0-9]{0,26}", "[a-z_=;]{0,60}"),
        creator in prop::option::of("[a-z0-9]{1,9}"),
        undo: bool,
        slate_position: Option<u16>,
        made in prop::option::of(("[a-z0-9.-]{1,64}", 1..=Made::CERTAIN_PPB)),
        sequence in "[1-9][0-9]{0,55}",
        index in 0u32..=i32::MAX as u32,
    ) -> LakeRow {
        let event = Event {
            event_id: SmolStr::new(ids.0),
            kind,
            user_id: UserId::parse(&ids.1).unwrap(),
            video_id: VideoId::parse(&ids.2).unwrap(),
            ts_ms,
            watch_ms: watched.0,
            duration_ms: watched.1,
            scene: SmolStr::new(texts.0),
            market: SmolStr::new(texts.1),
            creator_id: creator.map(|id| CreatorId::parse(&id).unwrap()),
            undo,
            recommendation_id: SmolStr::new(texts.2),
            slate_position,
            arms: SmolStr::new(texts.3),
            made: made.and_then(|(generation, chance)| Made::new(&generation, chance)),
        };
        LakeRow { event, shard: SmolStr::new("shard-000"), sequence: SmolStr::new(sequence), index }
    }
}
