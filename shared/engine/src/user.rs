//! What serving knows of a user: one compact item, at most 4 KB.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{CreatorId, EventKind, UserId, VideoId};

/// Newest interactions kept in full.
pub const RECENT_MAX: usize = 50;
/// Videos remembered as met, newest last.
pub const SEEN_MAX: usize = 500;
/// Videos, and creators, a user may hide; the newest hold (decision 0033).
pub const HIDDEN_MAX: usize = 100;
/// Undone likes, follows and hides remembered, newest last.
pub const UNDONE_MAX: usize = 50;

/// One user, as the state table holds it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UserState {
    /// Raised by every change; refreshes compare it.
    pub version: u64,
    /// Newest event applied, Unix time in milliseconds.
    pub updated_ms: i64,
    /// The newest [`RECENT_MAX`] interactions, ordered by (time, video), oldest first.
    pub recent: Vec<Interaction>,
    /// [`UserState::seen_hash`] of the newest [`SEEN_MAX`] videos met, oldest first.
    pub seen: Vec<u32>,
    /// Videos never to be shown again.
    pub hidden_videos: Vec<VideoId>,
    /// Creators never to be shown again.
    pub hidden_creators: Vec<CreatorId>,
    /// What the last T+1 batch found; absent for new users.
    pub profile: Option<Profile>,
    /// Deleted at this time; events from before it change nothing.
    pub tombstone_ms: Option<i64>,
    /// When the entries above became so; only joining events reads it.
    #[serde(default)]
    pub times: Times,
}

/// What lets events be joined in any order: the time behind each entry that does not carry its own.
///
/// Each list runs in parallel with the list it is named for; a missing entry counts as time 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// When each of `seen` was last met, Unix time in minutes.
    pub seen_min: Vec<u32>,
    /// When each of `hidden_videos` was hidden, Unix time in milliseconds.
    pub hidden_videos_ms: Vec<i64>,
    /// When each of `hidden_creators` was hidden, Unix time in milliseconds.
    pub hidden_creators_ms: Vec<i64>,
    /// The newest [`UNDONE_MAX`] takings back, so that what they took back does not return late.
    pub undone: Vec<Undone>,
}

/// One taking back of a `like`, `follow` or `hide`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// What was taken back.
    pub kind: EventKind,
    /// A hash of the video or creator it was about.
    pub target: u32,
    /// When, Unix time in milliseconds.
    pub ts_ms: i64,
}

/// One remembered interaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interaction {
    /// With which video.
    pub video_id: VideoId,
    /// The strongest thing that happened.
    pub kind: EventKind,
    /// When, Unix time in milliseconds.
    pub ts_ms: i64,
    /// Share of the video watched, 0 to 1; 1 where nothing was measured but interest is certain.
    pub watch_ratio: f32,
}

/// A user's long-term tastes, from the T+1 batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The cohort the profile hash names, an index into the generation's cohorts.
    pub cohort: u32,
    /// Weight of each liked category, strongest first, summing to at most 1.
    pub categories: Vec<(SmolStr, f32)>,
    /// Videos of long views, newest last, for neighbours of long histories.
    pub long_term: Vec<VideoId>,
    /// Share of impressions that became long views.
    pub long_view_rate: f32,
}

impl UserState {
    /// The 32-bit hash under which a met video is remembered. A rare collision hides one video
    /// from one user.
    #[must_use]
    pub fn seen_hash(video_id: &str) -> u32 {
        let hash = xxhash_rust::xxh3::xxh3_64(video_id.as_bytes());
        (hash >> 32) as u32 ^ hash as u32
    }

    /// The opaque partition a user's events and cohort share: stable for one id everywhere.
    #[must_use]
    pub fn user_hash(user_id: &UserId) -> u64 {
        xxhash_rust::xxh3::xxh3_64(user_id.as_str().as_bytes())
    }
}
