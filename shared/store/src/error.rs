//! The one error of every store.

use std::error::Error as StdError;

use guard::{Elapsed, Outcome};

/// What a caller may branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// It is known not to exist.
    NotFound,
    /// The caller asked for something that cannot be.
    Invalid,
    /// The deadline passed first.
    Timeout,
    /// The caller went away first.
    Cancelled,
    /// The store asked to be asked less.
    Throttled,
    /// The store could not be reached or failed.
    Unavailable,
    /// Bytes came back that are not what was written.
    Corrupt,
}

impl ErrorKind {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retryable(self) -> bool {
        matches!(self, Self::Timeout | Self::Throttled | Self::Unavailable)
    }

    /// What a breaker counts.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::NotFound | Self::Invalid | Self::Cancelled => Outcome::Excluded,
            Self::Timeout => Outcome::Timeout,
            Self::Throttled | Self::Unavailable | Self::Corrupt => Outcome::Failure,
        }
    }

    /// The word in logs, metric labels and `degraded`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
        }
    }
}

/// A store failed: how, at what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {}", kind.as_str())]
pub struct Error {
    /// What a caller may branch on.
    pub kind: ErrorKind,
    /// What was being done, naming the thing: `load users`.
    pub what: String,
    /// The cause underneath.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a cause underneath.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            source: None,
        }
    }

    /// An error with its cause.
    pub fn because(
        kind: ErrorKind,
        what: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            what: what.into(),
            source: Some(source.into()),
        }
    }

    /// The error of a wait that ended without its value.
    pub fn elapsed(elapsed: Elapsed, what: impl Into<String>) -> Self {
        let kind = match elapsed {
            Elapsed::Timeout => ErrorKind::Timeout,
            Elapsed::Cancelled => ErrorKind::Cancelled,
        };
        Self::new(kind, what)
    }
}
