//! A read of a table on the way of a request: within its budget, and not at all for a moment after
//! too many have failed.

use std::future::Future;
use std::time::Duration;

use guard::{Breaker, Deadline, Outcome};
use smol_str::{SmolStr, format_smolstr};

use crate::tuning::Tuning;
use crate::{Error, ErrorKind};

/// Why a guarded read brought nothing.
#[derive(Debug)]
pub enum Unread {
    /// The table is left alone for a moment.
    Open,
    /// It was asked, or there was no time to.
    Failed(Error),
}

impl Unread {
    /// The cause, for `degraded`: `users_open`, `users_timeout`.
    #[must_use]
    pub fn cause(&self, table: &str) -> SmolStr {
        match self {
            Self::Open => format_smolstr!("{table}_open"),
            Self::Failed(error) => format_smolstr!("{table}_{}", error.kind.as_str()),
        }
    }

    /// The kind of error that a caller is told.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Open => ErrorKind::Unavailable,
            Self::Failed(error) => error.kind,
        }
    }
}

/// Reads behind a breaker and within the tables' budget; `read` is handed its own deadline.
///
/// # Errors
/// [`Unread`] says whether the table was asked at all.
pub async fn guarded<T, R>(
    breaker: &Breaker,
    tuning: &Tuning,
    deadline: &Deadline,
    read: impl FnOnce(Deadline) -> R,
) -> Result<T, Unread>
where
    R: Future<Output = Result<T, Error>>,
{
    let deadline = deadline.child(Duration::from_millis(tuning.store.budgets.tables_ms.into()));
    if deadline.expired() {
        return Err(Unread::Failed(Error::new(
            ErrorKind::Timeout,
            "read a table",
        )));
    }
    breaker.tune(tuning.guard.breaker);
    let permit = breaker.acquire().map_err(|_| Unread::Open)?;
    let read = deadline.limit(read(deadline.clone())).await;
    let read = read.unwrap_or_else(|elapsed| Err(Error::elapsed(elapsed, "read a table")));
    permit.report(
        read.as_ref()
            .map_or_else(|error| error.kind.outcome(), |_| Outcome::Success),
    );
    read.map_err(Unread::Failed)
}
