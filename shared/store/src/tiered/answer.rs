//! What the tiers answer with.

use std::sync::Arc;

use engine::{Slate, StageReport};

/// A slate and where it came from. There always is one.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The slate; its rung and causes are those of this answer.
    pub slate: Arc<Slate>,
    /// Where it came from.
    pub outcome: TierOutcome,
    /// How old the slate is.
    pub age_ms: u64,
    /// What was done for it, when it was made for this answer.
    pub stages: Vec<StageReport>,
}

/// Where an answer came from; also the metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TierOutcome {
    /// This process had it.
    LocalHit,
    /// This process had it, and the user's version says that it still holds.
    LocalConfirmed,
    /// This process had it, a little old; it is being refreshed.
    LocalStale,
    /// The shared tier had it.
    SharedHit,
    /// The shared tier had it, a little old; it is being refreshed.
    SharedStale,
    /// It was made.
    Origin,
    /// It could not be made; a lower step of the ladder answered.
    Fallback,
}

impl TierOutcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::LocalHit,
        Self::LocalConfirmed,
        Self::LocalStale,
        Self::SharedHit,
        Self::SharedStale,
        Self::Origin,
        Self::Fallback,
    ];

    /// The word in metrics and `Server-Timing`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LocalHit => "local_hit",
            Self::LocalConfirmed => "local_confirmed",
            Self::LocalStale => "local_stale",
            Self::SharedHit => "shared_hit",
            Self::SharedStale => "shared_stale",
            Self::Origin => "origin",
            Self::Fallback => "fallback",
        }
    }

    /// The tier that answered.
    #[must_use]
    pub fn tier(self) -> &'static str {
        match self {
            Self::LocalHit | Self::LocalConfirmed | Self::LocalStale => "local",
            Self::SharedHit | Self::SharedStale => "shared",
            Self::Origin => "origin",
            Self::Fallback => "fallback",
        }
    }
}
