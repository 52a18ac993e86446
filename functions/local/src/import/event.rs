//! Events made from rows.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{Event, EventKind, UserId, VideoId};
use smol_str::SmolStr;
use xxhash_rust::xxh3::Xxh3;

/// 128 bits in base 64.
const ID_CHARS: usize = 22;

/// An event without an id and without more than it must have.
pub(super) fn bare(kind: EventKind, user_id: &UserId, video_id: &VideoId, ts_ms: i64) -> Event {
    Event {
        event_id: SmolStr::default(),
        kind,
        user_id: user_id.clone(),
        video_id: video_id.clone(),
        ts_ms,
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
    }
}

/// The event with an id derived from its content: the same row always makes the same event, and
/// two rows that say the same are one event.
pub(super) fn identified(mut event: Event) -> Event {
    let mut hasher = Xxh3::new();
    for text in [
        event.user_id.as_str(),
        event.video_id.as_str(),
        &event.scene,
        &event.market,
    ] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&[event.kind.number()]);
    hasher.update(&event.ts_ms.to_le_bytes());
    for measure in [event.watch_ms, event.duration_ms] {
        hasher.update(&measure.map_or(-1, i64::from).to_le_bytes());
    }
    let mut id = [0; ID_CHARS];
    let written = URL_SAFE_NO_PAD.encode_slice(hasher.digest128().to_le_bytes(), &mut id);
    // 16 bytes are always 22 characters.
    let id = written.ok().and_then(|chars| id.get(..chars));
    event.event_id = id
        .and_then(|id| std::str::from_utf8(id).ok())
        .unwrap_or_default()
        .into();
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_everything_that_was_said() {
        let user = |id| UserId::parse(id).unwrap();
        let video = |id| VideoId::parse(id).unwrap();
        let base = bare(EventKind::Watch, &user("u1"), &video("2"), 7);
        let id = |event: &Event| identified(event.clone()).event_id;
        let others = [
            bare(EventKind::Click, &user("u1"), &video("2"), 7),
            bare(EventKind::Watch, &user("u"), &video("12"), 7),
            bare(EventKind::Watch, &user("u1"), &video("2"), 8),
            Event {
                watch_ms: Some(0),
                ..base.clone()
            },
            Event {
                duration_ms: Some(0),
                ..base.clone()
            },
            Event {
                scene: "home".into(),
                ..base.clone()
            },
        ];
        for other in &others {
            assert_ne!(id(other), id(&base), "{other:?}");
        }
        assert_eq!(id(&base), id(&base));
        assert_eq!(id(&base).len(), ID_CHARS);
        assert!(VideoId::parse(&id(&base)).is_ok(), "made of id characters");
    }
}
