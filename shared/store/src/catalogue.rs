//! The catalogue: one row per video, and an overlay of what may not be shown although the index
//! still has it.
//!
//! ```text
//! put  patch  delete ──► Videos (one row each)
//!        └── hidden? ──► Control (the overlay, a few rows) ──► hidden(), re-read by age
//! ```
//!
//! Hiding writes the overlay first and showing writes it last: whatever crashes between, the video
//! stays out of sight and repeating the call finishes the work. Where two meet, the row decides:
//! showing looks at it before and after it takes a video out of the overlay, and hiding writes the
//! overlay once more behind the row.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use engine::{Video, VideoId};
use guard::{Clock, Deadline, Now};
use serde::{Deserialize, Serialize};

use crate::ports::{Change, Expect, Read, Row, Table, Tables, Write, Written};
use crate::{Error, ErrorKind, sealed};

mod overlay;
mod patch;

use overlay::Overlay;
pub use overlay::{OVERLAY_AGE_MAX, OVERLAY_IDS_MAX};
pub use patch::Patch;

/// Rows written or loaded at once.
pub const VIDEOS_PER_CALL_MAX: usize = 200;
/// Largest row of a video.
pub const VIDEO_BYTES_MAX: usize = 64 * 1_024;
/// How often a change is tried again when others write the same video.
pub const PATCH_ATTEMPTS_MAX: u32 = 8;
/// How long the row of a deleted video stays, so that its versions go on rising. Seconds.
pub const DELETED_KEPT_S: i64 = 30 * 24 * 3_600;

const VIDEO_SCHEMA: u8 = 1;

/// The catalogue.
pub struct Catalogue {
    tables: Arc<dyn Tables>,
    overlay: Overlay,
}

/// A part of the catalogue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VideoPage {
    /// Videos in no order, hidden ones too, without the deleted.
    pub videos: Vec<Video>,
    /// Pass it to go on; `None` at the end.
    pub next: Option<String>,
}

/// What a row holds, as JSON: keys that are not known are skipped.
#[derive(Debug, Serialize, Deserialize)]
struct VideoRow {
    /// Absent when deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    video: Option<Video>,
}

impl Catalogue {
    /// The catalogue in the given tables.
    #[must_use]
    pub fn new(tables: Arc<dyn Tables>, clock: Arc<dyn Clock>) -> Self {
        let overlay = Overlay::new(Arc::clone(&tables), clock);
        Self { tables, overlay }
    }

    /// Stores videos, replacing what was there. Ids are distinct.
    ///
    /// # Errors
    /// The table's, `Invalid` for a video above [`VIDEO_BYTES_MAX`], `Throttled` when the overlay is
    /// full. Some may be stored then; putting them again is harmless.
    pub async fn put(&self, videos: Vec<Video>, deadline: &Deadline) -> Result<(), Error> {
        let mut writes = Vec::with_capacity(videos.len());
        for video in &videos {
            let change = Change::Put {
                bytes: encode(Some(video))?,
                expires_at_s: None,
            };
            writes.push(Write {
                id: video.video_id.to_string(),
                expect: Expect::Any,
                change,
            });
        }
        let (hidden, shown): (Vec<&Video>, Vec<&Video>) = videos.iter().partition(|v| v.hidden);
        // What was never in the catalogue is in no index, and what was hidden is hidden: an import
        // full of hidden videos must not fill the overlay, nor the same one again.
        let hidden: Vec<VideoId> = hidden.into_iter().map(|v| v.video_id.clone()).collect();
        let known = self.rows(&hidden, deadline).await?;
        let may_show =
            |row: &Row| !matches!(decode(row), Ok(None | Some(Video { hidden: true, .. })));
        let known = hidden.iter().zip(known);
        let known = known.filter(|(_, row)| row.as_ref().is_some_and(may_show));
        let hidden: Vec<VideoId> = known.map(|(id, _)| id.clone()).collect();
        self.overlay.add(&hidden, deadline).await?;
        while !writes.is_empty() {
            let rest = writes.split_off(writes.len().min(VIDEOS_PER_CALL_MAX));
            let chunk = std::mem::replace(&mut writes, rest);
            let written = self.tables.write(Table::Videos, chunk, deadline).await?;
            written.into_iter().collect::<Result<Vec<_>, _>>()?;
        }
        let shown: Vec<VideoId> = shown.into_iter().map(|v| v.video_id.clone()).collect();
        self.show(&shown, deadline).await
    }

    /// Stores videos of which nothing was known; leaves alone what is there, and what was deleted.
    /// Ids are distinct.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn put_absent(&self, videos: &[Video], deadline: &Deadline) -> Result<(), Error> {
        for chunk in videos.chunks(VIDEOS_PER_CALL_MAX) {
            let write = |video: &Video| {
                let bytes = encode(Some(video))?;
                let change = Change::Put {
                    bytes,
                    expires_at_s: None,
                };
                Ok(Write {
                    id: video.video_id.to_string(),
                    expect: Expect::Absent,
                    change,
                })
            };
            let writes = chunk.iter().map(write).collect::<Result<_, Error>>()?;
            let written = self.tables.write(Table::Videos, writes, deadline).await?;
            written.into_iter().collect::<Result<Vec<_>, _>>()?;
        }
        Ok(())
    }

    /// Changes some fields of a video; answers it as it is now.
    ///
    /// # Errors
    /// `NotFound`; the table's; `Throttled` when the overlay is full; `Unavailable` when others kept
    /// writing first.
    pub async fn patch(
        &self,
        id: &VideoId,
        patch: &Patch,
        deadline: &Deadline,
    ) -> Result<Video, Error> {
        self.update(id, deadline, |video| patch.apply(video)).await
    }

    /// Changes a video; `change` may be called again. Answers it as it is now.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub async fn update(
        &self,
        id: &VideoId,
        deadline: &Deadline,
        mut change: impl FnMut(&mut Video) + Send,
    ) -> Result<Video, Error> {
        let one = std::slice::from_ref(id);
        for _ in 0..PATCH_ATTEMPTS_MAX {
            let row = self.rows(one, deadline).await?.pop().flatten();
            let video = row.as_ref().map(decode).transpose()?.flatten();
            let Some((row, before)) = row.zip(video) else {
                return Err(not_found());
            };
            let mut video = before.clone();
            change(&mut video);
            video.video_id = id.clone();
            if video.hidden && !before.hidden {
                self.overlay.add(one, deadline).await?;
            }
            if video == before || self.write_over(&row, id, Some(&video), deadline).await? {
                if !video.hidden {
                    self.show(one, deadline).await?;
                } else if !before.hidden {
                    self.overlay.add(one, deadline).await?;
                }
                return Ok(video);
            }
        }
        Err(contended())
    }

    /// Removes a video; it disappears from answers as a hidden one does. What is not there is no
    /// error; says whether it was.
    ///
    /// # Errors
    /// The table's; `Throttled` when the overlay is full; `Unavailable` when others kept writing
    /// first.
    pub async fn delete(&self, id: &VideoId, deadline: &Deadline) -> Result<bool, Error> {
        let one = std::slice::from_ref(id);
        for _ in 0..PATCH_ATTEMPTS_MAX {
            let row = self.rows(one, deadline).await?.pop().flatten();
            // A row that cannot be read can still be deleted.
            let Some(row) = row.filter(|row| !matches!(decode(row), Ok(None))) else {
                return Ok(false);
            };
            self.overlay.add(one, deadline).await?;
            if self.write_over(&row, id, None, deadline).await? {
                self.overlay.add(one, deadline).await?;
                return Ok(true);
            }
        }
        Err(contended())
    }

    /// Loads videos in the order of `ids`, hidden ones too; `None` for the unknown and the deleted.
    ///
    /// # Errors
    /// The table's; `Corrupt` or `Invalid` when a row cannot be read.
    pub async fn load(
        &self,
        ids: &[VideoId],
        deadline: &Deadline,
    ) -> Result<Vec<Option<Video>>, Error> {
        let rows = self.read(ids, Read::Eventual, deadline).await?;
        rows.iter()
            .map(|row| row.as_ref().map_or(Ok(None), decode))
            .collect()
    }

    /// Walks the catalogue, at most `limit` rows a page. Never used while answering a request,
    /// except for an administrator's.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn scan(
        &self,
        after: Option<String>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<VideoPage, Error> {
        let page = self
            .tables
            .scan(Table::Videos, after, limit, deadline)
            .await?;
        let videos = page
            .rows
            .iter()
            .filter_map(|(_, row)| decode(row).transpose());
        Ok(VideoPage {
            videos: videos.collect::<Result<_, _>>()?,
            next: page.next,
        })
    }

    /// Videos hidden or deleted that an index may still have; never older than
    /// [`OVERLAY_AGE_MAX`] while the table answers, the last good one while it does not.
    pub async fn hidden(&self, deadline: &Deadline) -> Arc<HashSet<VideoId>> {
        self.overlay.current(deadline).await
    }

    /// The same for a caller that will not wait: `None` when this one would have to read it.
    #[must_use]
    pub fn hidden_at_hand(&self, now: Now) -> Option<Arc<HashSet<VideoId>>> {
        self.overlay.at_hand(now)
    }

    /// Forgets hidden videos that no generation in use has any more: those hidden before
    /// `as_of_ms` of the *oldest* generation that a reader may still hold.
    ///
    /// # Errors
    /// The table's.
    pub async fn settle(&self, as_of_ms: i64, deadline: &Deadline) -> Result<(), Error> {
        self.overlay.settle(as_of_ms, deadline).await
    }

    /// Takes videos out of the overlay whose rows say that they are shown.
    async fn show(&self, ids: &[VideoId], deadline: &Deadline) -> Result<(), Error> {
        let ids = self.overlay.listed(ids, deadline).await?;
        let (shown, _) = self.shown(ids, deadline).await?;
        self.overlay.remove(&shown, deadline).await?;
        let (_, hidden) = self.shown(shown, deadline).await?;
        self.overlay.add(&hidden, deadline).await
    }

    /// Which videos their rows show, and which they do not.
    async fn shown(
        &self,
        ids: Vec<VideoId>,
        deadline: &Deadline,
    ) -> Result<(Vec<VideoId>, Vec<VideoId>), Error> {
        let rows = self.rows(&ids, deadline).await?;
        let is_shown = |row: &Row| matches!(decode(row), Ok(Some(Video { hidden: false, .. })));
        let mut rows = rows.iter();
        Ok(ids.into_iter().partition(|_| {
            rows.next()
                .is_some_and(|row| row.as_ref().is_some_and(is_shown))
        }))
    }

    async fn rows(&self, ids: &[VideoId], deadline: &Deadline) -> Result<Vec<Option<Row>>, Error> {
        self.read(ids, Read::Consistent, deadline).await
    }

    async fn read(
        &self,
        ids: &[VideoId],
        read: Read,
        deadline: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error> {
        let mut rows = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(VIDEOS_PER_CALL_MAX) {
            let names: Vec<String> = chunk.iter().map(ToString::to_string).collect();
            rows.extend(
                self.tables
                    .load(Table::Videos, &names, read, deadline)
                    .await?,
            );
        }
        Ok(rows)
    }

    /// Writes the video, or that it is deleted, unless another wrote it since `row` was read.
    async fn write_over(
        &self,
        row: &Row,
        id: &VideoId,
        video: Option<&Video>,
        deadline: &Deadline,
    ) -> Result<bool, Error> {
        let now_s = deadline.clock().now().wall_ms.div_euclid(1_000);
        let expires_at_s = video
            .is_none()
            .then(|| now_s.saturating_add(DELETED_KEPT_S));
        let change = Change::Put {
            bytes: encode(video)?,
            expires_at_s,
        };
        let expect = Expect::Version(row.version);
        let write = Write {
            id: id.to_string(),
            expect,
            change,
        };
        let written = self
            .tables
            .write(Table::Videos, vec![write], deadline)
            .await?;
        let written = written.into_iter().next().transpose()?;
        Ok(matches!(written, Some(Written::Done(_))))
    }
}

fn encode(video: Option<&Video>) -> Result<Bytes, Error> {
    let row = VideoRow {
        video: video.cloned(),
    };
    let json = serde_json::to_vec(&row)
        .map_err(|e| Error::because(ErrorKind::Invalid, "encode a video", e))?;
    let bytes = sealed::seal(VIDEO_SCHEMA, &json);
    if bytes.len() > VIDEO_BYTES_MAX {
        return Err(Error::new(ErrorKind::Invalid, "encode a video: too large"));
    }
    Ok(bytes)
}

fn decode(row: &Row) -> Result<Option<Video>, Error> {
    let json = sealed::open(VIDEO_SCHEMA, &row.bytes, "decode a video")?;
    let row: VideoRow = serde_json::from_slice(json)
        .map_err(|e| Error::because(ErrorKind::Corrupt, "decode a video", e))?;
    Ok(row.video)
}

fn contended() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "update a video: others kept writing first",
    )
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "update a video")
}

#[cfg(test)]
mod tests;
