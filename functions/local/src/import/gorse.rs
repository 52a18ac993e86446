//! An export of gorse: `items.csv` and `feedback.csv`, either of which may be missing.
//!
//! A feedback type that is one of our kinds is that kind; `read` is an `impression`, `star` and
//! `favorite` a `like`; every other type says interest in its own words and is a `click`.

use std::path::Path;

use anyhow::bail;
use engine::{EventKind, Video};

use super::convert::{Converter, Out, Reason};
use super::event::{bare, identified};
use super::plan::{Part, required};
use super::records::{Cells, Column, Layout, Separator};
use super::value;

const COMMAS: Layout = Layout::Text {
    separator: Separator::Comma,
    header: true,
};

/// The parts of a folder.
pub(super) fn parts(folder: &Path) -> anyhow::Result<Vec<Part>> {
    let (items, feedback) = (folder.join("items.csv"), folder.join("feedback.csv"));
    let mut parts = Vec::new();
    if items.is_file() {
        let mut columns = required(&["item_id"]);
        let optional = [
            "is_hidden",
            "categories",
            "timestamp",
            "time_stamp",
            "labels",
            "comment",
        ];
        columns.extend(optional.map(Column::optional));
        parts.push(Part::new(items, "gorse items 1", COMMAS, columns, Items)?);
    }
    if feedback.is_file() {
        let mut columns = required(&["feedback_type", "user_id", "item_id"]);
        columns.extend(["timestamp", "time_stamp"].map(Column::optional));
        parts.push(Part::new(
            feedback,
            "gorse feedback 1",
            COMMAS,
            columns,
            Feedback,
        )?);
    }
    if parts.is_empty() {
        bail!(
            "{} has neither items.csv nor feedback.csv",
            folder.display()
        );
    }
    Ok(parts)
}

struct Feedback;

impl Converter for Feedback {
    fn record(&mut self, cells: &Cells, out: &mut Out) -> Result<(), Reason> {
        let [kind, user, item, time, older_time] = cells.array();
        let user = value::user("user_id", user)?;
        let item = value::video("item_id", item)?;
        let ts_ms = value::time("timestamp", if time.is_empty() { older_time } else { time })?;
        out.events
            .push(identified(bare(kind_of(kind)?, &user, &item, ts_ms)));
        Ok(())
    }
}

fn kind_of(feedback_type: &str) -> Result<EventKind, Reason> {
    Ok(match feedback_type.to_ascii_lowercase().as_str() {
        "" => return Err("feedback_type: empty".to_owned()),
        "read" => EventKind::Impression,
        "star" | "favorite" => EventKind::Like,
        // What only we say is nobody else's to claim.
        "served" | "exposure" => EventKind::Click,
        word => {
            let ours = EventKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == word);
            ours.unwrap_or(EventKind::Click)
        }
    })
}

struct Items;

impl Converter for Items {
    fn record(&mut self, cells: &Cells, out: &mut Out) -> Result<(), Reason> {
        let [id, hidden, categories, time, older_time, labels, comment] = cells.array();
        let mut video = Video::new(value::video("item_id", id)?);
        video.hidden = value::flag("is_hidden", hidden)?;
        video.categories = value::list(categories, &['|', ',', '[', ']', '"']);
        let time = if time.is_empty() { older_time } else { time };
        if !time.is_empty() {
            video.published_at = value::time("timestamp", time)?;
        }
        video.tags = value::list(labels, &['|', ',', '[', ']', '"', '{', '}']);
        video.title = comment.to_owned();
        out.videos.push(video);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feedback_type_has_a_kind() {
        let cases = [
            ("read", EventKind::Impression),
            ("star", EventKind::Like),
            ("Watch", EventKind::Watch),
            ("fork", EventKind::Click),
            ("served", EventKind::Click),
        ];
        for (word, kind) in cases {
            assert_eq!(kind_of(word), Ok(kind), "{word}");
        }
        assert!(kind_of("").is_err());
    }
}
