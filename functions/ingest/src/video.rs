//! A video, or a change of one, as an administrator sends it.

use engine::{Media, Video, VideoId};
use serde_json::{Map, Value};
use smol_str::SmolStr;
use store::Patch;
use web::params::{WORD_BYTES_MAX, market_of};
use web::{Params, Problem};

const TITLE_BYTES_MAX: usize = 500;
const CATEGORIES_MAX: usize = 20;
const TAGS_MAX: usize = 100;
const MARKETS_MAX: usize = 300;
const KEYFRAMES_MAX: usize = 2_000;
/// Longest `attributes`, as JSON.
const ATTRIBUTES_BYTES_MAX: usize = 16 * 1024;
/// More frames per second than any camera.
const FPS_MAX: f64 = 10_000.0;
/// Oldest age anybody may be asked to have.
const AGE_MAX: u64 = 99;

const FIELDS: &[&str] = &[
    "title",
    "creator",
    "categories",
    "tags",
    "language",
    "duration_ms",
    "published_at",
    "markets",
    "available_from",
    "available_until",
    "age_rating",
    "hidden",
];
const MEDIA_FIELDS: &[&str] = &["width", "height", "hdr_max_luminance"];

/// Reads a whole video; the id in the body, if any, is the one in the path.
pub(crate) fn whole(id: VideoId, body: Value) -> Result<Video, Problem> {
    if body
        .get("id")
        .is_some_and(|named| named.as_str() != Some(id.as_str()))
    {
        return Err(Problem::field("id"));
    }
    let mut video = Video::new(id);
    patch(body)?.apply(&mut video);
    Ok(video)
}

/// Reads a video of a batch, which names itself.
pub(crate) fn named(body: Value) -> Result<Video, Problem> {
    let id = body
        .get("id")
        .and_then(Value::as_str)
        .and_then(|id| id.parse().ok());
    whole(id.ok_or_else(|| Problem::field("id"))?, body)
}

/// Reads a change. A field that is left out stays, `null` clears an optional one.
pub(crate) fn patch(body: Value) -> Result<Patch, Problem> {
    let Value::Object(mut body) = body else {
        return Err(Problem::field("body"));
    };
    let media = body.remove("media").map(read_media).transpose()?;
    let attributes = body.remove("attributes").map(read_attributes).transpose()?;
    let nulls = Nulls::of(&body);
    let params = Params::of_json(body, FIELDS);
    let words = |name, count_max| {
        let given = params.has(name).then(|| params.words(name, count_max));
        given.transpose()
    };
    let markets = words("markets", MARKETS_MAX)?.map(|list| {
        let known: Option<Vec<_>> = list.iter().map(|market| market_of(market)).collect();
        known.ok_or_else(|| Problem::field("markets"))
    });
    let language = params.text("language", WORD_BYTES_MAX)?.map(SmolStr::new);
    let age = params.integer("age_rating", 0..=AGE_MAX)?;
    Ok(Patch {
        title: params.text("title", TITLE_BYTES_MAX)?.map(str::to_owned),
        creator: nulls.or("creator", params.id("creator")?),
        categories: words("categories", CATEGORIES_MAX)?,
        tags: words("tags", TAGS_MAX)?,
        language: nulls.or("language", language),
        duration_ms: number(&params, "duration_ms")?,
        published_at: params.time_ms("published_at")?,
        markets: markets.transpose()?,
        available_from: nulls.or("available_from", params.time_ms("available_from")?),
        available_until: nulls.or("available_until", params.time_ms("available_until")?),
        age_rating: nulls.or("age_rating", age.and_then(|age| u8::try_from(age).ok())),
        hidden: params.flag("hidden")?,
        media,
        attributes,
    })
}

/// The fields that came as `null`.
struct Nulls(Vec<&'static str>);

impl Nulls {
    fn of(body: &Map<String, Value>) -> Self {
        let null = |name: &&&str| body.get(**name) == Some(&Value::Null);
        Self(FIELDS.iter().filter(null).copied().collect())
    }

    /// Set, clear or leave: a value sets, `null` clears.
    fn or<T>(&self, name: &str, value: Option<T>) -> Option<Option<T>> {
        value
            .map(Some)
            .or_else(|| self.0.contains(&name).then_some(None))
    }
}

fn number(params: &Params, name: &'static str) -> Result<Option<u32>, Problem> {
    let number = params.integer(name, 0..=u64::from(u32::MAX))?;
    Ok(number.and_then(|number| u32::try_from(number).ok()))
}

fn read_media(media: Value) -> Result<Option<Media>, Problem> {
    let wrong = || Problem::field("media");
    let mut media = match media {
        Value::Null => return Ok(None),
        Value::Object(media) => media,
        _ => return Err(wrong()),
    };
    let keyframes = match media.remove("keyframes_ms") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) if list.len() <= KEYFRAMES_MAX => list,
        Some(_) => return Err(wrong()),
    };
    let millis = |value: &Value| u32::try_from(value.as_u64()?).ok();
    let keyframes: Option<Vec<u32>> = keyframes.iter().map(millis).collect();
    let fps = match media.remove("fps") {
        None | Some(Value::Null) => None,
        Some(fps) => {
            let fps = fps.as_f64().filter(|fps| (0.0..=FPS_MAX).contains(fps));
            Some(fps.ok_or_else(wrong)? as f32)
        }
    };
    let params = Params::of_json(media, MEDIA_FIELDS);
    let number = |name| number(&params, name).map_err(|_| wrong());
    Ok(Some(Media {
        width: number("width")?,
        height: number("height")?,
        fps,
        hdr_max_luminance: number("hdr_max_luminance")?,
        keyframes_ms: keyframes.ok_or_else(wrong)?,
    }))
}

fn read_attributes(attributes: Value) -> Result<Map<String, Value>, Problem> {
    let attributes = match attributes {
        Value::Null => Map::new(),
        Value::Object(attributes) => attributes,
        _ => return Err(Problem::field("attributes")),
    };
    let bytes = serde_json::to_vec(&attributes).map_or(usize::MAX, |json| json.len());
    if bytes > ATTRIBUTES_BYTES_MAX {
        return Err(Problem::field("attributes"));
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(text: &str) -> VideoId {
        VideoId::parse(text).unwrap()
    }

    #[test]
    fn what_is_sent_is_what_the_catalogue_reads() {
        let sent = json!({
            "id": "v1", "title": "A title", "creator": "c1", "categories": ["sport"],
            "tags": ["a", "b"], "language": "de", "duration_ms": 49866,
            "published_at": 1_700_000_000_000_i64, "markets": ["DE", "AT"],
            "available_from": 1, "available_until": 2, "age_rating": 12, "hidden": true,
            "media": {"width": 1080, "height": 1920, "fps": 29.97, "keyframes_ms": [0, 2000]},
            "attributes": {"own": [1, {"x": null}]},
        });
        let video = whole(id("v1"), sent.clone()).unwrap();
        let read: Video = serde_json::from_value(sent).unwrap();
        assert_eq!(video, read);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, field) in [
            (json!([]), "body"),
            (json!({"id": "v2"}), "id"),
            (json!({"title": 5}), "title"),
            (json!({"title": "x".repeat(501)}), "title"),
            (json!({"creator": "a b"}), "creator"),
            (json!({"categories": [""]}), "categories"),
            (json!({"categories": vec!["c"; 21]}), "categories"),
            (json!({"tags": {"a": 1}}), "tags"),
            (json!({"duration_ms": -1}), "duration_ms"),
            (json!({"published_at": "soon"}), "published_at"),
            (json!({"markets": ["far away"]}), "markets"),
            (json!({"age_rating": 100}), "age_rating"),
            (json!({"hidden": "yes"}), "hidden"),
            (json!({"media": 1}), "media"),
            (json!({"media": {"width": "wide"}}), "media"),
            (json!({"media": {"fps": -1}}), "media"),
            (json!({"media": {"keyframes_ms": [-1]}}), "media"),
            (json!({"attributes": []}), "attributes"),
            (
                json!({"attributes": {"x": "y".repeat(ATTRIBUTES_BYTES_MAX)}}),
                "attributes",
            ),
        ] {
            let problem = whole(id("v1"), body.clone()).unwrap_err();
            assert_eq!(problem.field_name(), Some(field), "{body}");
        }
        assert_eq!(
            named(json!({"title": "t"})).unwrap_err().field_name(),
            Some("id")
        );
    }

    #[test]
    fn a_field_left_out_stays_and_null_clears() {
        let mut video = Video::new(id("v1"));
        video.title = "before".to_owned();
        video.age_rating = Some(12);
        video.tags = vec!["t".into()];
        video.media = Some(Media::default());
        let change = json!({"age_rating": null, "tags": [], "media": null, "hidden": true});
        patch(change).unwrap().apply(&mut video);
        assert_eq!(
            (video.title.as_str(), video.age_rating, video.hidden),
            ("before", None, true)
        );
        assert!(video.tags.is_empty() && video.media.is_none());
    }
}
