//! What benchmarks recommend from: a made town, the same in every run.

use std::sync::Arc;

use engine::{Event, EventKind, Index, UserId, Video, VideoId};
use learn::{BuildOptions, GenerationBuilder};
use smol_str::{SmolStr, format_smolstr};

use crate::measure::compare::Random;

/// The moment the town's generations are of.
pub const NOW_MS: i64 = 1_760_000_000_000;
/// Categories of the town.
const CATEGORIES: usize = 24;
/// Events in a diary.
const DIARY: usize = 40;
const HOUR_MS: i64 = 3_600_000;

/// A generation of so many videos and users, and the users' diaries.
///
/// # Errors
/// When it cannot be built.
pub fn generation(
    name: &str,
    videos: usize,
    users: usize,
) -> anyhow::Result<(Arc<Index>, Vec<Vec<Event>>)> {
    let (built, diaries) = build(name, videos, users)?;
    Ok((Arc::new(Index::open(Arc::new(built))?), diaries))
}

/// The same generation as bytes.
///
/// # Errors
/// When it cannot be built.
pub fn build(
    name: &str,
    videos: usize,
    users: usize,
) -> anyhow::Result<(Vec<u8>, Vec<Vec<Event>>)> {
    let options = BuildOptions {
        cohort_users_min: 20,
        ..BuildOptions::new(name, NOW_MS)
    };
    let mut builder = GenerationBuilder::new(options);
    for number in 0..videos {
        builder.add_video(&video(number))?;
    }
    let diaries = diaries(videos, users);
    for event in diaries.iter().flatten() {
        builder.add_event(event)?;
    }
    Ok((builder.finish()?.to_bytes(), diaries))
}

/// What so many users watched of so many videos.
pub fn diaries(videos: usize, users: usize) -> Vec<Vec<Event>> {
    let mut random = Random(11);
    (0..users)
        .map(|user| diary(user, videos, &mut random))
        .collect()
}

/// The user of this number.
///
/// # Panics
/// Never: a number makes a valid id.
#[expect(clippy::expect_used, reason = "a number makes a valid id")]
pub fn user(number: usize) -> UserId {
    UserId::parse(&format_smolstr!("user-{number}")).expect("an id")
}

/// The id of the video of this number.
///
/// # Panics
/// Never: a number makes a valid id.
#[expect(clippy::expect_used, reason = "a number makes a valid id")]
pub fn video_id(number: usize) -> VideoId {
    VideoId::parse(&format_smolstr!("video-{number}")).expect("an id")
}

/// A video as a catalogue describes it.
pub fn video(number: usize) -> Video {
    let mut video = Video::new(video_id(number));
    video.title = format!(
        "The {number}th thing that somebody filmed \"on a {}\"",
        number % 7
    );
    video.creator = format!("creator-{}", number % 997).parse().ok();
    video.categories = vec![category(number), category(number / CATEGORIES)];
    video.categories.dedup();
    video.tags = (0..4)
        .map(|n| format_smolstr!("tag{}", (number * 7 + n * 13) % 600))
        .collect();
    video.language = Some(SmolStr::new_static("en"));
    video.duration_ms = 15_000 + (number as u32 * 37) % 120_000;
    video.published_at = NOW_MS - (1 + (number as i64 * 7_919) % 2_000) * HOUR_MS;
    video
}

fn category(number: usize) -> SmolStr {
    format_smolstr!("category{}", number % CATEGORIES)
}

/// What one user watched: mostly one taste, popular videos more often.
fn diary(user_number: usize, videos: usize, random: &mut Random) -> Vec<Event> {
    let taste = user_number % CATEGORIES;
    let shelf = videos / CATEGORIES;
    (0..DIARY)
        .map(|step| {
            // Squaring prefers low numbers, as popularity does.
            let popular = random.unit() * random.unit();
            let number = if random.unit() < 0.75 {
                taste + CATEGORIES * (popular * shelf as f64) as usize
            } else {
                (popular * videos as f64) as usize
            };
            let number = number.min(videos.saturating_sub(1));
            let ts_ms =
                NOW_MS - (DIARY - step) as i64 * HOUR_MS / 2 - random.below(1_000_000) as i64;
            event(EventKind::Watch, user_number, number, ts_ms)
        })
        .collect()
}

/// Something that a user did.
pub fn event(kind: EventKind, user_number: usize, number: usize, ts_ms: i64) -> Event {
    let watched = kind == EventKind::Watch;
    Event {
        event_id: format_smolstr!("{user_number}-{number}-{ts_ms}"),
        kind,
        user_id: user(user_number),
        video_id: video_id(number),
        ts_ms,
        watch_ms: watched.then_some(25_000),
        duration_ms: watched.then_some(30_000),
        scene: SmolStr::new_static("home"),
        market: SmolStr::default(),
        creator_id: None,
        undo: false,
        recommendation_id: SmolStr::default(),
        slate_position: None,
        arms: SmolStr::default(),
        made: None,
    }
}
