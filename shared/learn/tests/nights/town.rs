//! Short ways to say what happened.

use std::sync::Arc;

use engine::index::Index;
use engine::{CreatorId, Event, EventKind, UserId, Video, VideoId};
use learn::{BuildOptions, Built, GenerationBuilder};
use smol_str::SmolStr;

/// 1 January 2026, 00:00 UTC.
pub const START_MS: i64 = 1_767_225_600_000;
pub const HOUR_MS: i64 = 3_600_000;
/// Everything happens before it.
pub const END_MS: i64 = START_MS + 100 * HOUR_MS;

fn id(text: &str) -> VideoId {
    VideoId::parse(text).unwrap()
}

pub fn video(name: &str, categories: &[&str]) -> Video {
    let mut video = Video::new(id(name));
    video.categories = categories.iter().copied().map(SmolStr::new).collect();
    video.duration_ms = 60_000;
    video
}

pub fn by(creator: &str, mut video: Video) -> Video {
    video.creator = CreatorId::parse(creator).ok();
    video
}

pub fn event(kind: EventKind, user: &str, video: &str, hour: i64) -> Event {
    Event {
        event_id: SmolStr::new_static("e"),
        kind,
        user_id: UserId::parse(user).unwrap(),
        video_id: id(video),
        ts_ms: START_MS + hour * HOUR_MS,
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

pub fn watch(user: &str, video: &str, hour: i64, watch_ms: u32) -> Event {
    let watch_ms = Some(watch_ms);
    Event {
        watch_ms,
        ..event(EventKind::Watch, user, video, hour)
    }
}

pub fn options() -> BuildOptions {
    BuildOptions {
        cohort_users_min: 2,
        ..BuildOptions::new("night", END_MS)
    }
}

pub fn build(options: BuildOptions, videos: &[Video], events: &[Event]) -> Built {
    let mut builder = GenerationBuilder::new(options);
    videos
        .iter()
        .for_each(|video| builder.add_video(video).unwrap());
    events
        .iter()
        .for_each(|event| builder.add_event(event).unwrap());
    builder.finish().unwrap()
}

pub fn open(built: &mut Built) -> Index {
    Index::open(Arc::new(built.to_bytes())).unwrap()
}
