//! What happened between a user and a video.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::id::ID_BYTES_MAX;
use crate::{CreatorId, UserId, VideoId};

/// Watched at least this long, or to the end, is a long view unless tuning says otherwise.
pub const LONG_VIEW_MS: u32 = 18_000;
/// Longest list of experiments and arms of one event, in bytes.
pub const ARMS_BYTES_MAX: usize = 255;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum EventKind {
    /// The video was on the user's screen.
    Impression = 1,
    /// The user opened it.
    Click = 2,
    /// The user watched it, `watch_ms` says how long.
    Watch = 3,
    /// Liked.
    Like = 4,
    /// Passed on.
    Share = 5,
    /// Followed its creator.
    Follow = 6,
    /// Commented.
    Comment = 7,
    /// Skipped.
    Skip = 8,
    /// Asked never to see it, or its creator, again.
    Hide = 9,
    /// From us: a slate with it left the building.
    Served = 10,
    /// From us: the user met the treated path of an experiment.
    Exposure = 11,
}

impl EventKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Impression,
        Self::Click,
        Self::Watch,
        Self::Like,
        Self::Share,
        Self::Follow,
        Self::Comment,
        Self::Skip,
        Self::Hide,
        Self::Served,
        Self::Exposure,
    ];

    /// The number that travels and is stored.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The kind of a stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The word in JSON and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Impression => "impression",
            Self::Click => "click",
            Self::Watch => "watch",
            Self::Like => "like",
            Self::Share => "share",
            Self::Follow => "follow",
            Self::Comment => "comment",
            Self::Skip => "skip",
            Self::Hide => "hide",
            Self::Served => "served",
            Self::Exposure => "exposure",
        }
    }
}

/// One validated event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Made by the producer, or derived from the content by `ingest`; 1 to 64 id characters.
    pub event_id: SmolStr,
    /// What happened.
    pub kind: EventKind,
    /// To whom; a session id for somebody without an account.
    pub user_id: UserId,
    /// With which video.
    pub video_id: VideoId,
    /// When, Unix time in milliseconds.
    pub ts_ms: i64,
    /// How long it was watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_ms: Option<u32>,
    /// How long it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u32>,
    /// The place in the product; empty when not known.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub scene: SmolStr,
    /// The viewer's country; empty when not known.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub market: SmolStr,
    /// With `hide`: the creator is meant, not only the video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator_id: Option<CreatorId>,
    /// Takes back an earlier `like`, `follow` or `hide`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
    /// The recommendation it answers; empty when not attributed.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub recommendation_id: SmolStr,
    /// Position in that recommendation, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slate_position: Option<u16>,
    /// The experiments that recommendation was part of, `layer=arm` joined by `;`, at most
    /// [`ARMS_BYTES_MAX`]; empty without any.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub arms: SmolStr,
    /// With `served`: what the video was chosen by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

/// What a served video was chosen by. The generation is immutable and carries the model, the
/// profiles of its night are kept: so naming it logs every value that the ranker saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The generation it was made from, 1 to 64 bytes.
    pub generation: SmolStr,
    /// The chance, given the places before, that it got its place, in billionths, above 0:
    /// [`Made::CERTAIN_PPB`] where exploration had no say.
    pub propensity_ppb: u32,
}

impl Made {
    /// A chance of 1.
    pub const CERTAIN_PPB: u32 = 1_000_000_000;

    /// `None` when the name or the chance is out of bounds.
    #[must_use]
    pub fn new(generation: &str, propensity_ppb: u32) -> Option<Self> {
        let named = (1..=ID_BYTES_MAX).contains(&generation.len());
        let chance = (1..=Self::CERTAIN_PPB).contains(&propensity_ppb);
        (named && chance).then(|| Self {
            generation: SmolStr::new(generation),
            propensity_ppb,
        })
    }

    /// A chance in billionths, at least one; what is no chance counts as certain.
    #[must_use]
    pub fn ppb(chance: f32) -> u32 {
        if chance > 0.0 && chance < 1.0 {
            ((f64::from(chance) * f64::from(Self::CERTAIN_PPB)).round() as u32).max(1)
        } else {
            Self::CERTAIN_PPB
        }
    }
}

impl Event {
    /// Whether this is a long view: watched to the end or at least `long_view_ms`.
    ///
    /// Without a known duration only the threshold counts.
    #[must_use]
    pub fn is_long_view(&self, long_view_ms: u32) -> bool {
        let duration = self.duration_ms.filter(|ms| *ms > 0).unwrap_or(u32::MAX);
        self.kind == EventKind::Watch
            && self
                .watch_ms
                .is_some_and(|watched| watched >= duration.min(long_view_ms))
    }
}
