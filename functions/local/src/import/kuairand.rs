//! KuaiRand-Pure: a short-video feed with feedback (Gao et al., CIKM 2022).
//!
//! A folder with `impressions_*.tsv` (or the original `log_*.csv`), and where there are any,
//! `history_before_*.tsv` and `video_features_basic*.csv`.
//!
//! - An impression row is an `impression`, and for each flag that is set a `click`, `like`,
//!   `follow`, `comment`, `share` (`is_forward`) or `hide` (`is_hate`), all at its time; a play
//!   time above 0 is a `watch` of that long. `tab` is the scene.
//! - A history row is a `watch` that was a long view. It has an order and no time: the last of a
//!   user's is put at [`HISTORY_END_MS`], each one before six hours earlier. How long it was
//!   watched is not known either, only that it was long: [`LONG_VIEW_MS`] stands for it.
//! - A video's comma-separated `tag` is its categories, its music is a tag.

use std::path::Path;

use anyhow::bail;
use engine::event::LONG_VIEW_MS;
use engine::{EventKind, Media, UserId, Video, VideoId};

use super::convert::{Converter, Out, Reason};
use super::event::{bare, identified};
use super::plan::{Part, files, required};
use super::records::{Cells, Layout, Separator};
use super::value;

/// 24 April 2022, 00:00 UTC: before the first impression of the file that follows the history.
pub(super) const HISTORY_END_MS: i64 = 1_650_758_400_000;
/// Between two rows of one user's history.
pub(super) const HISTORY_STEP_MS: i64 = 6 * 3_600_000;
/// Rows of one user that are put in order together; a longer history is ordered in parts.
const HISTORY_ROWS_MAX: usize = 1_000;

const IMPRESSION: [&str; 12] = [
    "user_id",
    "video_id",
    "time_ms",
    "is_click",
    "is_like",
    "is_follow",
    "is_comment",
    "is_forward",
    "is_hate",
    "play_time_ms",
    "duration_ms",
    "tab",
];
const HISTORY: [&str; 3] = ["user_id", "pos", "video_id"];
const VIDEO: [&str; 11] = [
    "video_id",
    "author_id",
    "upload_dt",
    "visible_status",
    "video_duration",
    "server_width",
    "server_height",
    "music_id",
    "tag",
    "video_type",
    "upload_type",
];

const TABS: Layout = Layout::Text {
    separator: Separator::Tab,
    header: true,
};
const COMMAS: Layout = Layout::Text {
    separator: Separator::Comma,
    header: true,
};

/// The parts of a folder.
pub(super) fn parts(folder: &Path) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for file in files(folder, "video_features_basic", ".csv")? {
        parts.push(Part::new(
            file,
            "kuairand videos 1",
            COMMAS,
            required(&VIDEO),
            Videos,
        )?);
    }
    for file in files(folder, "history_before_", ".tsv")? {
        let history = Histories::default();
        parts.push(Part::new(
            file,
            "kuairand history 1",
            TABS,
            required(&HISTORY),
            history,
        )?);
    }
    let before = parts.len();
    for (begin, end, layout) in [("impressions_", ".tsv", TABS), ("log_", ".csv", COMMAS)] {
        for file in files(folder, begin, end)? {
            let columns = required(&IMPRESSION);
            parts.push(Part::new(
                file,
                "kuairand impressions 1",
                layout,
                columns,
                Impressions,
            )?);
        }
    }
    if parts.len() == before {
        bail!(
            "{} has no impressions_*.tsv and no log_*.csv",
            folder.display()
        );
    }
    Ok(parts)
}

struct Impressions;

impl Converter for Impressions {
    fn record(&mut self, cells: &Cells, out: &mut Out) -> Result<(), Reason> {
        let [
            user,
            video,
            time,
            click,
            like,
            follow,
            comment,
            forward,
            hate,
            play,
            length,
            tab,
        ] = cells.array();
        let (user, video) = (
            value::user("user_id", user)?,
            value::video("video_id", video)?,
        );
        let ts_ms = value::time("time_ms", time)?;
        let scene = value::whole("tab", tab)?;
        let watch_ms = value::whole("play_time_ms", play)?;
        let duration_ms = value::optional_whole("duration_ms", length)?.filter(|ms| *ms > 0);
        let flags = [
            (EventKind::Click, "is_click", click),
            (EventKind::Like, "is_like", like),
            (EventKind::Follow, "is_follow", follow),
            (EventKind::Comment, "is_comment", comment),
            (EventKind::Share, "is_forward", forward),
            (EventKind::Hide, "is_hate", hate),
        ];
        let mut kinds = vec![EventKind::Impression];
        for (kind, column, text) in flags {
            if value::flag(column, text)? {
                kinds.push(kind);
            }
        }
        if watch_ms > 0 {
            kinds.push(EventKind::Watch);
        }
        for kind in kinds {
            let mut event = bare(kind, &user, &video, ts_ms);
            event.scene = format!("tab_{scene}").into();
            if kind == EventKind::Watch {
                (event.watch_ms, event.duration_ms) = (Some(watch_ms), duration_ms);
            }
            out.events.push(identified(event));
        }
        Ok(())
    }
}

/// Holds one user's rows back until another user's begin: only then is it known which is last.
#[derive(Default)]
struct Histories {
    user: Option<UserId>,
    rows: Vec<(u32, VideoId)>,
}

impl Converter for Histories {
    fn record(&mut self, cells: &Cells, out: &mut Out) -> Result<(), Reason> {
        let [user, position, video] = cells.array();
        let row = (
            value::whole("pos", position)?,
            value::video("video_id", video)?,
        );
        let user = value::user("user_id", user)?;
        if self.user.as_ref() != Some(&user) || self.rows.len() >= HISTORY_ROWS_MAX {
            self.end(out);
            self.user = Some(user);
        }
        self.rows.push(row);
        Ok(())
    }

    fn end(&mut self, out: &mut Out) {
        let Some(user) = self.user.take() else { return };
        self.rows.sort_by_key(|(position, _)| *position);
        for (age, (_, video)) in (0i64..).zip(self.rows.drain(..).rev()) {
            let ts_ms = HISTORY_END_MS - age * HISTORY_STEP_MS;
            let mut event = bare(EventKind::Watch, &user, &video, ts_ms);
            event.watch_ms = Some(LONG_VIEW_MS);
            out.events.push(identified(event));
        }
    }
}

struct Videos;

impl Converter for Videos {
    fn record(&mut self, cells: &Cells, out: &mut Out) -> Result<(), Reason> {
        let [
            id,
            author,
            uploaded,
            status,
            length,
            width,
            height,
            music,
            tag,
            kind,
            upload,
        ] = cells.array();
        let mut video = Video::new(value::video("video_id", id)?);
        video.creator = value::creator("author_id", author)?;
        if !uploaded.is_empty() {
            video.published_at = value::time("upload_dt", uploaded)?;
        }
        video.hidden = !status.is_empty() && value::decimal("visible_status", status)? != 0.0;
        video.duration_ms = value::optional_whole("video_duration", length)?.unwrap_or(0);
        video.categories = value::list(tag, &[',']);
        let music = music.split_once('.').map_or(music, |(whole, _)| whole);
        if !matches!(music, "" | "0") {
            video.tags.push(format!("music-{music}").into());
        }
        let width = value::optional_whole("server_width", width)?;
        let height = value::optional_whole("server_height", height)?;
        if width.is_some() || height.is_some() {
            video.media = Some(Media {
                width,
                height,
                ..Media::default()
            });
        }
        for (name, text) in [("video_type", kind), ("upload_type", upload)] {
            if !text.is_empty() {
                video.attributes.insert(name.to_owned(), text.into());
            }
        }
        out.videos.push(video);
        Ok(())
    }
}
