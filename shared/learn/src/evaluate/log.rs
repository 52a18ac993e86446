//! Everything that happened, small enough to be held whole: 24 bytes a meeting.

use engine::interest::{Meeting, interest};
use engine::{Event, EventKind, UserId, Video, VideoId};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use crate::BuildError;

/// What a user wants to have been recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Videos watched long.
    LongView,
    /// Videos liked, clicked or watched without a measured time: where nothing is measured.
    Interest,
}

/// One meeting of a user and a video. Numbers are the log's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deed {
    /// Who.
    pub user: u32,
    /// With what.
    pub video: u32,
    /// When, Unix time in milliseconds.
    pub ts_ms: i64,
    /// Whether it was on the screen, and no more is said.
    pub shown: bool,
    long_view: bool,
    interest: bool,
}

/// Collects events in any order.
#[derive(Debug, Default)]
pub struct LogBuilder {
    long_view_ms: u32,
    users: FxHashMap<UserId, u32>,
    videos: FxHashMap<VideoId, u32>,
    candidates: FxHashSet<u32>,
    deeds: Vec<Deed>,
    measured: bool,
}

/// Everything that happened, ordered by user, time and video.
#[derive(Debug)]
pub struct Log {
    /// Ids by number, ascending.
    pub users: Vec<UserId>,
    /// Ids by number, ascending.
    pub videos: Vec<VideoId>,
    /// Whether a video may be proposed.
    pub candidates: Vec<bool>,
    /// What counts as right.
    pub target: Target,
    deeds: Vec<Deed>,
}

impl LogBuilder {
    /// An empty log; `long_view_ms` is the threshold of a long view.
    #[must_use]
    pub fn new(long_view_ms: u32) -> Self {
        Self {
            long_view_ms,
            ..Self::default()
        }
    }

    /// Takes a video in. A hidden one may have been met; it is no candidate.
    ///
    /// # Errors
    /// [`BuildError::TooMany`].
    pub fn add_video(&mut self, video: &Video) -> Result<(), BuildError> {
        let number = number(&mut self.videos, &video.video_id, "videos")?;
        if !video.hidden {
            self.candidates.insert(number);
        }
        Ok(())
    }

    /// Takes an event in; what is of our own making, or takes something back, is left out.
    ///
    /// # Errors
    /// [`BuildError::TooMany`].
    pub fn add_event(&mut self, event: &Event) -> Result<(), BuildError> {
        let ours = matches!(event.kind, EventKind::Served | EventKind::Exposure);
        if ours || event.undo {
            return Ok(());
        }
        let measured = event.kind == EventKind::Watch && event.watch_ms.is_some();
        self.measured |= measured;
        let long_view = event.is_long_view(self.long_view_ms);
        let meeting = Meeting {
            kind: event.kind,
            watch_ratio: if measured { 0.0 } else { 1.0 },
            duration_ms: event.duration_ms.unwrap_or(0),
        };
        self.deeds.push(Deed {
            user: number(&mut self.users, &event.user_id, "users")?,
            video: number(&mut self.videos, &event.video_id, "videos")?,
            ts_ms: event.ts_ms,
            shown: event.kind == EventKind::Impression,
            long_view,
            interest: long_view || interest(meeting, self.long_view_ms) > 0.0,
        });
        Ok(())
    }

    /// Orders everything, so that the order of taking in leaves no trace.
    #[must_use]
    pub fn finish(self) -> Log {
        let (users, user_numbers) = ordered(self.users);
        let (videos, video_numbers) = ordered(self.videos);
        let renumber = |numbers: &[u32], old: u32| numbers.get(old as usize).copied().unwrap_or(0);
        let mut deeds = self.deeds;
        for deed in &mut deeds {
            deed.user = renumber(&user_numbers, deed.user);
            deed.video = renumber(&video_numbers, deed.video);
        }
        deeds.sort_unstable_by_key(|deed| {
            let strength = (deed.long_view, deed.interest, deed.shown);
            (deed.user, deed.ts_ms, deed.video, strength)
        });
        let mut candidates = vec![false; videos.len()];
        for old in self.candidates {
            if let Some(slot) = candidates.get_mut(renumber(&video_numbers, old) as usize) {
                *slot = true;
            }
        }
        let target = if self.measured {
            Target::LongView
        } else {
            Target::Interest
        };
        Log {
            users,
            videos,
            candidates,
            target,
            deeds,
        }
    }
}

impl Log {
    /// Everything, ordered by user, time and video.
    #[must_use]
    pub fn deeds(&self) -> &[Deed] {
        &self.deeds
    }

    /// Whether the user got what they wanted.
    #[must_use]
    pub fn liked(&self, deed: &Deed) -> bool {
        match self.target {
            Target::LongView => deed.long_view,
            Target::Interest => deed.interest,
        }
    }

    /// Whether a video may be proposed.
    #[must_use]
    pub fn is_candidate(&self, video: u32) -> bool {
        self.candidates
            .get(video as usize)
            .copied()
            .unwrap_or(false)
    }

    /// The number of a video.
    #[must_use]
    pub fn video(&self, id: &str) -> Option<u32> {
        let place = self.videos.binary_search_by(|own| own.as_str().cmp(id));
        place.ok().and_then(|place| u32::try_from(place).ok())
    }

    /// When something was liked last; `None` where nothing was.
    #[must_use]
    pub fn newest_ms(&self) -> Option<i64> {
        let liked = self.deeds.iter().filter(|deed| self.liked(deed));
        liked.map(|deed| deed.ts_ms).max()
    }
}

fn number<K: Clone + std::hash::Hash + Eq>(
    numbers: &mut FxHashMap<K, u32>,
    key: &K,
    what: &'static str,
) -> Result<u32, BuildError> {
    if let Some(number) = numbers.get(key) {
        return Ok(*number);
    }
    let next = u32::try_from(numbers.len()).map_err(|_| BuildError::TooMany(what))?;
    numbers.insert(key.clone(), next);
    Ok(next)
}

/// The keys ascending, and the new number of each old one.
fn ordered<K: Ord>(numbers: FxHashMap<K, u32>) -> (Vec<K>, Vec<u32>) {
    let mut all: Vec<(K, u32)> = numbers.into_iter().collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut new = vec![0; all.len()];
    for (place, (_, old)) in (0u32..).zip(&all) {
        if let Some(slot) = new.get_mut(*old as usize) {
            *slot = place;
        }
    }
    (all.into_iter().map(|(key, _)| key).collect(), new)
}
