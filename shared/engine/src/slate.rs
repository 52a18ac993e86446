//! The ordered answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::VideoId;

/// Longest slate.
pub const SLATE_ITEMS_MAX: usize = 200;

/// A ranked answer; pages are windows on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slate {
    /// Names this very answer; the `recommendation_id` of the pages cut from it.
    pub slate_id: SmolStr,
    /// The generation it was made from.
    pub generation: SmolStr,
    /// The user version it was made from; 0 without a user.
    pub user_version: u64,
    /// Which step of the ladder it stands on.
    pub rung: Rung,
    /// Opaque cohort token of the user, when there is one.
    pub cohort: Option<SmolStr>,
    /// What had to be given up, machine-readable, sorted, without repeats.
    pub degraded: Vec<SmolStr>,
    /// Best first; at most [`SLATE_ITEMS_MAX`]. Shared with those who say the same with other words,
    /// as a stale answer does.
    pub items: Arc<[Item]>,
}

/// One place in a slate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Which video.
    pub video_id: VideoId,
    /// The ranker's number, for this slate only; higher is better.
    pub score: f32,
    /// Names of every source that proposed it, in the order of the sources.
    pub sources: Vec<SmolStr>,
    /// Why the strongest source proposed it.
    pub reason: Reason,
    /// The chance, given the places before, that it got its place: 1 unless exploration had a say.
    /// What later weighs what happened here by how likely it was.
    #[serde(default = "certain")]
    pub propensity: f32,
}

fn certain() -> f32 {
    1.0
}

/// Why a video is here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The kind of reason.
    pub kind: ReasonKind,
    /// The user's own videos behind it, strongest first, at most 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<VideoId>,
}

/// The kinds of reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// Watched by people who watched what you watched.
    WatchedTogether,
    /// Alike in what it is about.
    SimilarContent,
    /// Many watch it now.
    Trending,
    /// New.
    Latest,
    /// Liked by people with your tastes.
    Cohort,
    /// Liked by many for long.
    Popular,
    /// The last resort.
    Builtin,
}

impl ReasonKind {
    /// Whether it speaks of this user, not of what everybody watches.
    #[must_use]
    pub fn is_personal(self) -> bool {
        matches!(
            self,
            Self::WatchedTogether | Self::SimilarContent | Self::Cohort
        )
    }
}

/// Which step of the fallback ladder an answer stands on, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Made for this user, now.
    Personal,
    /// Made for this user, a little ago.
    Stale,
    /// Made for people like this user.
    Cohort,
    /// What the market watches.
    Trending,
    /// What the binary ships with.
    Builtin,
}

impl Rung {
    /// The word in answers and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Stale => "stale",
            Self::Cohort => "cohort",
            Self::Trending => "trending",
            Self::Builtin => "builtin",
        }
    }
}
