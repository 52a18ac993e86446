//! A video as the catalogue knows it.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{CreatorId, VideoId};

/// A catalogue entry; the JSON form of `PUT /videos/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// Its id.
    #[serde(rename = "id")]
    pub video_id: VideoId,
    /// Shown to people.
    #[serde(default)]
    pub title: String,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<CreatorId>,
    /// Coarse topics; a request may ask for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<SmolStr>,
    /// Fine topics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<SmolStr>,
    /// BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<SmolStr>,
    /// Length; 0 when not known.
    #[serde(default)]
    pub duration_ms: u32,
    /// Unix time in milliseconds; 0 when not known.
    #[serde(default)]
    pub published_at: i64,
    /// Where it may be shown; everywhere when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub markets: Vec<SmolStr>,
    /// Not shown before, Unix time in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_from: Option<i64>,
    /// Not shown from then on, Unix time in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_until: Option<i64>,
    /// Minimum age in years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_rating: Option<u8>,
    /// Never shown while true.
    #[serde(default)]
    pub hidden: bool,
    /// The picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// What the team adds for itself.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// The picture of a video.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Media {
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Frames per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f32>,
    /// Peak luminance in cd/m².
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hdr_max_luminance: Option<u32>,
    /// Where playback may start, milliseconds from the beginning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keyframes_ms: Vec<u32>,
}

impl Video {
    /// A visible video with an id and nothing else known.
    #[must_use]
    pub fn new(video_id: VideoId) -> Self {
        Self {
            video_id,
            title: String::new(),
            creator: None,
            categories: Vec::new(),
            tags: Vec::new(),
            language: None,
            duration_ms: 0,
            published_at: 0,
            markets: Vec::new(),
            available_from: None,
            available_until: None,
            age_rating: None,
            hidden: false,
            media: None,
            attributes: serde_json::Map::new(),
        }
    }
}
