//! The answer's JSON, put together from pieces that need no escaping: byte for byte what serde_json
//! writes for [`SlateAnswer`], in a fraction of the time.
//!
//! Ids, tokens and cursors are of characters that JSON takes as they are; whatever is not certain to be
//! is written by serde_json.

use engine::Item;
use serde::Serialize;

use crate::answer::{AnswerItem, SlateAnswer};

/// Bytes of an answer besides its items, about.
const HEAD_BYTES: usize = 512;
/// Bytes of an item, about.
const ITEM_BYTES: usize = 288;

/// Writes an answer whose items are these, with their tokens.
///
/// # Errors
/// What serde_json says of the parts it writes; nothing does for the types there are.
pub(crate) fn splice<'a>(
    answer: &SlateAnswer<'_>,
    items: impl ExactSizeIterator<Item = (&'a Item, String)>,
) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(HEAD_BYTES + items.len() * ITEM_BYTES);
    out.extend_from_slice(b"{\"recommendation_id\":");
    text(&mut out, answer.recommendation_id)?;
    out.extend_from_slice(b",\"scene\":");
    text(&mut out, answer.scene)?;
    out.extend_from_slice(b",\"items\":[");
    for (place, (item, token)) in items.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        splice_item(&mut out, item, &token)?;
    }
    out.extend_from_slice(b"],\"experiments\":");
    value(&mut out, &answer.experiments)?;
    out.extend_from_slice(b",\"generation\":");
    text(&mut out, answer.generation)?;
    out.extend_from_slice(b",\"rung\":");
    text(&mut out, answer.rung.as_str())?;
    out.extend_from_slice(b",\"cohort\":");
    optional(&mut out, answer.cohort)?;
    out.extend_from_slice(b",\"degraded\":");
    value(&mut out, &answer.degraded)?;
    out.extend_from_slice(b",\"next_cursor\":");
    optional(&mut out, answer.next_cursor.as_deref())?;
    out.push(b'}');
    Ok(out)
}

fn splice_item(out: &mut Vec<u8>, item: &Item, token: &str) -> serde_json::Result<()> {
    out.extend_from_slice(b"{\"video_id\":");
    text(out, item.video_id.as_str())?;
    out.extend_from_slice(b",\"score\":");
    value(out, &item.score)?;
    out.extend_from_slice(b",\"sources\":[");
    texts(out, item.sources.iter().map(smol_str::SmolStr::as_str))?;
    out.extend_from_slice(b"],\"reason\":{\"kind\":");
    value(out, &item.reason.kind)?;
    if !item.reason.because.is_empty() {
        out.extend_from_slice(b",\"because\":[");
        texts(out, item.reason.because.iter().map(engine::VideoId::as_str))?;
        out.push(b']');
    }
    out.extend_from_slice(b"},\"token\":");
    text(out, token)?;
    out.push(b'}');
    Ok(())
}

fn texts<'a>(out: &mut Vec<u8>, all: impl Iterator<Item = &'a str>) -> serde_json::Result<()> {
    for (place, one) in all.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        text(out, one)?;
    }
    Ok(())
}

fn optional(out: &mut Vec<u8>, one: Option<&str>) -> serde_json::Result<()> {
    match one {
        Some(one) => text(out, one),
        None => {
            out.extend_from_slice(b"null");
            Ok(())
        }
    }
}

/// Most texts are of characters that stand for themselves.
fn text(out: &mut Vec<u8>, one: &str) -> serde_json::Result<()> {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if !one.bytes().all(plain) {
        return value(out, one);
    }
    out.push(b'"');
    out.extend_from_slice(one.as_bytes());
    out.push(b'"');
    Ok(())
}

fn value<T: Serialize + ?Sized>(out: &mut Vec<u8>, one: &T) -> serde_json::Result<()> {
    serde_json::to_writer(out, one)
}

/// The same by serde_json, for answers that carry explanations.
///
/// # Errors
/// What serde_json says.
pub(crate) fn whole<'a>(
    mut answer: SlateAnswer<'a>,
    items: impl Iterator<Item = AnswerItem<'a>>,
) -> serde_json::Result<Vec<u8>> {
    answer.items = items.collect();
    serde_json::to_vec(&answer)
}

#[cfg(test)]
mod tests {
    use engine::{Reason, ReasonKind, Rung, Slate, VideoId};
    use proptest::prelude::*;

    use super::*;

    fn items() -> impl Strategy<Value = Vec<(Item, String)>> {
        let id = || "[A-Za-z0-9_-]{1,64}".prop_map(|id| VideoId::parse(&id).unwrap());
        let kinds = [
            ReasonKind::WatchedTogether,
            ReasonKind::SimilarContent,
            ReasonKind::Trending,
            ReasonKind::Latest,
            ReasonKind::Cohort,
            ReasonKind::Popular,
            ReasonKind::Builtin,
        ];
        let reason = (
            prop::sample::select(kinds.to_vec()),
            prop::collection::vec(id(), 0..=3),
        );
        let sources = prop::collection::vec("\\PC{0,12}", 0..4);
        let item = (id(), any::<f32>(), sources, reason, "[A-Za-z0-9_-]{0,200}");
        let item = item.prop_map(|(video_id, score, sources, (kind, because), token)| {
            let item = Item {
                video_id,
                score,
                sources: sources.into_iter().map(Into::into).collect(),
                reason: Reason { kind, because },
                propensity: 1.0,
            };
            (item, token)
        });
        prop::collection::vec(item, 0..6)
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_serde_json(
            items in items(),
            scene in "[\"\\\\\\x00-\\x7f]{0,20}",
            generation in "\\PC{0,20}",
            cohort in prop::option::of("c[0-9]{1,5}"),
            degraded in prop::collection::vec("[a-z_\"]{1,12}", 0..3),
            cursor in prop::option::of("[A-Za-z0-9_-]{1,80}"),
            rung in 0_usize..5,
        ) {
            let rungs = [Rung::Personal, Rung::Stale, Rung::Cohort, Rung::Trending, Rung::Builtin];
            let slate = Slate {
                slate_id: "0123456789abcdef".into(),
                generation: generation.into(),
                user_version: 7,
                rung: rungs[rung],
                cohort: cohort.map(Into::into),
                degraded: degraded.into_iter().map(Into::into).collect(),
                items: std::sync::Arc::default(),
            };
            let answer = || SlateAnswer {
                next_cursor: cursor.clone(),
                ..SlateAnswer::of(&slate, &scene)
            };
            let ours = splice(&answer(), items.iter().map(|(item, token)| (item, token.clone())));
            let theirs = whole(
                answer(),
                items.iter().map(|(item, token)| AnswerItem::of(item, token.clone())),
            );
            let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
            prop_assert_eq!(String::from_utf8(ours), String::from_utf8(theirs));
        }
    }
}
