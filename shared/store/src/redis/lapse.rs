//! Why the shared tier gave nothing.

use guard::Elapsed;

use crate::{Error, ErrorKind};

/// Why the shared tier gave nothing; a miss, a metric label and a cause in `degraded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum Lapse {
    /// It is left alone for a moment.
    Open,
    /// The deadline passed first.
    Timeout,
    /// The caller went away first.
    Cancelled,
    /// It could not be reached, or refused.
    Unavailable,
    /// It answered something else than it was asked.
    Corrupt,
}

impl Lapse {
    /// The metric label and the cause.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "redis_open",
            Self::Timeout => "redis_timeout",
            Self::Cancelled => "redis_cancelled",
            Self::Unavailable => "redis_unavailable",
            Self::Corrupt => "redis_corrupt",
        }
    }

    /// The same as this crate's error, for callers whose work it stops.
    #[must_use]
    pub fn into_error(self, what: &str) -> Error {
        let kind = match self {
            Self::Timeout => ErrorKind::Timeout,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Open | Self::Unavailable => ErrorKind::Unavailable,
            Self::Corrupt => ErrorKind::Corrupt,
        };
        Error::new(kind, what)
    }
}

impl From<Elapsed> for Lapse {
    fn from(elapsed: Elapsed) -> Self {
        match elapsed {
            Elapsed::Timeout => Self::Timeout,
            Elapsed::Cancelled => Self::Cancelled,
        }
    }
}
