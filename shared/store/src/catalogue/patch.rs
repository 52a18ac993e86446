//! A change of some fields of a video, as `PATCH /videos/{id}` sends it.

use engine::{CreatorId, Media, Video};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use smol_str::SmolStr;

/// Which fields change. A field that is left out stays; an optional one set to `null` is cleared.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Patch {
    /// Shown to people.
    pub title: Option<String>,
    /// Who made it.
    #[serde(deserialize_with = "present")]
    pub creator: Option<Option<CreatorId>>,
    /// Coarse topics, all of them.
    pub categories: Option<Vec<SmolStr>>,
    /// Fine topics, all of them.
    pub tags: Option<Vec<SmolStr>>,
    /// BCP 47.
    #[serde(deserialize_with = "present")]
    pub language: Option<Option<SmolStr>>,
    /// Length; 0 when not known.
    pub duration_ms: Option<u32>,
    /// Unix time in milliseconds; 0 when not known.
    pub published_at: Option<i64>,
    /// Where it may be shown; everywhere when empty.
    pub markets: Option<Vec<SmolStr>>,
    /// Not shown before, Unix time in milliseconds.
    #[serde(deserialize_with = "present")]
    pub available_from: Option<Option<i64>>,
    /// Not shown from then on, Unix time in milliseconds.
    #[serde(deserialize_with = "present")]
    pub available_until: Option<Option<i64>>,
    /// Minimum age in years.
    #[serde(deserialize_with = "present")]
    pub age_rating: Option<Option<u8>>,
    /// Never shown while true.
    pub hidden: Option<bool>,
    /// The picture.
    #[serde(deserialize_with = "present")]
    pub media: Option<Option<Media>>,
    /// What the team adds for itself, all of it.
    pub attributes: Option<Map<String, Value>>,
}

impl Patch {
    /// Changes the video.
    pub fn apply(&self, video: &mut Video) {
        set(&self.title, &mut video.title);
        set(&self.creator, &mut video.creator);
        set(&self.categories, &mut video.categories);
        set(&self.tags, &mut video.tags);
        set(&self.language, &mut video.language);
        set(&self.duration_ms, &mut video.duration_ms);
        set(&self.published_at, &mut video.published_at);
        set(&self.markets, &mut video.markets);
        set(&self.available_from, &mut video.available_from);
        set(&self.available_until, &mut video.available_until);
        set(&self.age_rating, &mut video.age_rating);
        set(&self.hidden, &mut video.hidden);
        set(&self.media, &mut video.media);
        set(&self.attributes, &mut video.attributes);
    }
}

fn set<T: Clone>(value: &Option<T>, field: &mut T) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

/// Tells `null` (clear it) from a field that is left out (keep it).
fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use engine::VideoId;

    use super::*;

    #[test]
    fn a_field_left_out_stays_and_null_clears() {
        let mut video = Video::new(VideoId::parse("v1").unwrap());
        video.title = "before".to_owned();
        video.age_rating = Some(12);
        video.language = Some("de".into());
        let patch: Patch =
            serde_json::from_str(r#"{"hidden":true,"age_rating":null,"tags":["x"]}"#).unwrap();
        patch.apply(&mut video);
        assert_eq!(
            (video.title.as_str(), video.age_rating, video.hidden),
            ("before", None, true)
        );
        assert_eq!(
            (video.language.as_deref(), video.tags),
            (Some("de"), vec!["x".into()])
        );
    }
}
