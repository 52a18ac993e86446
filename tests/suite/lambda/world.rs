//! A small world: sixty videos of three tastes, and people who have one each.

use serde_json::{Value, json};

pub(super) const VIDEOS: usize = 60;
pub(super) const USERS: usize = 42;
pub(super) const EVENTS: usize = USERS * (WATCHES + LIKES);
pub(super) const EVENTS_PER_REQUEST: usize = 250;
/// Whom the scenario follows; of group 0.
pub(super) const USER: &str = "u0";
/// What that user turns to.
pub(super) const OTHER_GROUP: usize = 1;
/// The video that was published last.
pub(super) const NEWEST: &str = "v59";

const GROUPS: usize = 3;
const PER_GROUP: usize = VIDEOS / GROUPS;
/// Videos that everybody watches, and the first of them that they like.
const WATCHES: usize = 9;
const LIKES: usize = 3;
/// Videos of the other taste that the user turns to.
const TURNS: usize = 6;
const DURATION_MS: u64 = 30_000;
const MINUTE_MS: i64 = 60_000;
/// When the first video was published: 2026-01-01.
const FIRST_MS: i64 = 1_767_225_600_000;

pub(super) struct Turn {
    pub events: Vec<Value>,
    pub videos: Vec<String>,
}

/// The catalogue: each group has categories and creators of its own.
pub(super) fn videos() -> Vec<Value> {
    let video = |n: usize| {
        let (group, at) = (n / PER_GROUP, n % PER_GROUP);
        json!({
            "id": format!("v{n}"),
            "title": format!("video {n}"),
            "creator": format!("creator{group}-{}", at % 5),
            "categories": [format!("category{group}-{}", at % 4)],
            "tags": [format!("taste{group}"), format!("tag{group}-{}", at % 3)],
            "language": "en",
            "duration_ms": DURATION_MS,
            "published_at": FIRST_MS + n as i64 * 60 * MINUTE_MS,
        })
    };
    (0..VIDEOS).map(video).collect()
}

/// What everybody did in the last hours, oldest first.
pub(super) fn history(now_ms: i64) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::with_capacity(EVENTS);
    for at in 0..WATCHES {
        for user in 0..USERS {
            let (name, video) = (format!("u{user}"), choice(user, at));
            let ts_ms = now_ms - ((WATCHES - at) as i64 * 10 + 5) * MINUTE_MS + user as i64;
            events.push(watch(&name, &video, ts_ms));
            if at < LIKES {
                events.push(like(&name, &video, ts_ms + 1_000));
            }
        }
    }
    events
}

/// The user turns to another taste.
pub(super) fn change_of_taste(now_ms: i64) -> Turn {
    let videos: Vec<String> = (0..TURNS).map(|at| choice(OTHER_GROUP, at)).collect();
    let at_ms = |at: usize| now_ms - (TURNS - at) as i64 * MINUTE_MS;
    let both = videos.iter().enumerate().flat_map(|(at, video)| {
        let (watched_ms, liked_ms) = (at_ms(at), at_ms(at) + 1_000);
        [watch(USER, video, watched_ms), like(USER, video, liked_ms)]
    });
    let events = both.collect();
    Turn { events, videos }
}

/// What a user has watched in [`history`].
pub(super) fn watched(user: &str) -> Vec<String> {
    (0..WATCHES).map(|at| choice(number(user), at)).collect()
}

pub(super) fn group_of(user: &str) -> usize {
    number(user) % GROUPS
}

pub(super) fn group_of_video(video: &str) -> usize {
    number(video) / PER_GROUP
}

/// People of one taste begin at different places and overlap.
fn choice(user: usize, at: usize) -> String {
    let (group, member) = (user % GROUPS, user / GROUPS);
    format!("v{}", group * PER_GROUP + (member * 3 + at) % PER_GROUP)
}

fn number(id: &str) -> usize {
    id[1..].parse().expect("a number behind a letter")
}

fn watch(user: &str, video: &str, ts_ms: i64) -> Value {
    json!({
        "event_id": format!("watch-{user}-{video}"), "kind": "watch", "user_id": user,
        "video_id": video, "ts": ts_ms, "watch_ms": DURATION_MS - 1_000,
        "duration_ms": DURATION_MS, "scene": "home",
    })
}

fn like(user: &str, video: &str, ts_ms: i64) -> Value {
    json!({
        "event_id": format!("like-{user}-{video}"), "kind": "like", "user_id": user,
        "video_id": video, "ts": ts_ms, "scene": "home",
    })
}
