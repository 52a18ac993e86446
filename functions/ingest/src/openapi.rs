//! The description of these routes.

use std::collections::BTreeMap;

use utoipa::openapi::OpenApi;
use utoipa::{OpenApi as _, ToSchema};

use crate::{events, users, videos};

/// Body of `POST /events`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
pub(crate) struct EventBatch {
    /// At most 500.
    #[schema(max_items = 500)]
    events: Vec<ClientEvent>,
}

/// What somebody did.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
pub(crate) struct ClientEvent {
    /// Makes retries harmless; follows from the content when left out.
    event_id: Option<String>,
    /// `impression`, `click`, `watch`, `like`, `share`, `follow`, `comment`, `skip`, `hide`.
    kind: String,
    /// Who; or `session_id` for somebody without an account.
    user_id: Option<String>,
    /// Stands in for `user_id`.
    session_id: Option<String>,
    /// With which video.
    video_id: String,
    /// RFC 3339 or Unix milliseconds; from 24 hours ago to 5 minutes ahead.
    #[schema(value_type = Object)]
    ts: serde_json::Value,
    /// How long it was watched.
    watch_ms: Option<u32>,
    /// How long it is.
    duration_ms: Option<u32>,
    /// The place in the product.
    scene: Option<String>,
    /// The viewer's country; by default as the edge knows it.
    market: Option<String>,
    /// With `hide` and `follow`: the creator is meant.
    creator_id: Option<String>,
    /// Takes back an earlier `like`, `follow` or `hide`.
    undo: Option<bool>,
    /// The item's token from the answer; attributes the event to it.
    token: Option<String>,
}

/// Body of `PUT /videos`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
pub(crate) struct VideoBatch {
    /// At most 500.
    #[schema(max_items = 500)]
    videos: Vec<VideoDocument>,
}

/// A video.
#[derive(ToSchema)]
#[schema(as = Video)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
pub(crate) struct VideoDocument {
    /// Its id; may be left out where the path names it.
    id: Option<String>,
    /// Shown to people.
    title: Option<String>,
    /// Who made it.
    creator: Option<String>,
    /// Coarse topics, at most 20.
    categories: Option<Vec<String>>,
    /// Fine topics, at most 100.
    tags: Option<Vec<String>>,
    /// BCP 47.
    language: Option<String>,
    /// Length; 0 when not known.
    duration_ms: Option<u32>,
    /// Unix milliseconds, or RFC 3339 on the way in.
    published_at: Option<i64>,
    /// Where it may be shown; everywhere when empty.
    markets: Option<Vec<String>>,
    /// Not shown before.
    available_from: Option<i64>,
    /// Not shown from then on.
    available_until: Option<i64>,
    /// Minimum age in years.
    age_rating: Option<u8>,
    /// Never shown while true.
    hidden: Option<bool>,
    /// The picture.
    media: Option<MediaDocument>,
    /// What the team adds for itself, at most 16 KiB.
    attributes: Option<BTreeMap<String, serde_json::Value>>,
}

/// The picture of a video.
#[derive(ToSchema)]
#[schema(as = Media)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
pub(crate) struct MediaDocument {
    /// Pixels.
    width: Option<u32>,
    /// Pixels.
    height: Option<u32>,
    /// Frames per second.
    fps: Option<f32>,
    /// Peak luminance in cd/m².
    hdr_max_luminance: Option<u32>,
    /// Where playback may start.
    keyframes_ms: Option<Vec<u32>>,
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(
    events::post_events,
    videos::put_video,
    videos::put_videos,
    videos::patch_video,
    videos::delete_video,
    users::delete_user,
))]
struct Document;

/// The OpenAPI description of [`crate::routes`].
#[must_use]
pub fn openapi() -> OpenApi {
    Document::openapi()
}
