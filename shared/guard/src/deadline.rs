//! An instant that is passed down and never grows.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use tokio_util::sync::CancellationToken;

use crate::Clock;

/// No stage starts with less than this left.
pub const STAGE_MIN: Duration = Duration::from_millis(5);

/// An instant by which an answer must exist, and the cancellation of everybody who works for it.
///
/// Clones share both. A child ends no later than its parent and is cancelled with it.
///
/// ```
/// use guard::{Deadline, Elapsed, ManualClock};
/// use std::{future::pending, sync::Arc, time::Duration};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let request = Deadline::after(Arc::new(ManualClock::default()), Duration::from_millis(200));
/// let stage = request.child(Duration::from_secs(5));
/// assert_eq!(stage.remaining(), Duration::from_millis(200));
///
/// request.cancel(); // the client went away
/// assert_eq!(stage.limit(pending::<()>()).await, Err(Elapsed::Cancelled));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Deadline {
    clock: Arc<dyn Clock>,
    at: Duration,
    cancelled: CancellationToken,
}

/// Why a wait ended without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elapsed {
    /// The instant passed.
    Timeout,
    /// The caller went away.
    Cancelled,
}

impl Deadline {
    /// A deadline `budget` from now.
    #[must_use]
    pub fn after(clock: Arc<dyn Clock>, budget: Duration) -> Self {
        let at = clock.now().mono.saturating_add(budget);
        Self {
            clock,
            at,
            cancelled: CancellationToken::new(),
        }
    }

    /// A deadline `budget` from now or at the parent's instant, whichever is earlier.
    #[must_use]
    pub fn child(&self, budget: Duration) -> Self {
        let at = self.clock.now().mono.saturating_add(budget).min(self.at);
        Self {
            clock: Arc::clone(&self.clock),
            at,
            cancelled: self.cancelled.child_token(),
        }
    }

    /// A deadline for this part (0 to 1) of what is left.
    ///
    /// ```
    /// # use guard::{Deadline, ManualClock};
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// let request = Deadline::after(clock.clone(), Duration::from_millis(200));
    /// clock.advance(Duration::from_millis(40));
    /// assert_eq!(request.share(0.5).remaining(), Duration::from_millis(80));
    /// ```
    #[must_use]
    pub fn share(&self, part: f64) -> Self {
        let part = if part.is_nan() {
            0.0
        } else {
            part.clamp(0.0, 1.0)
        };
        self.child(self.remaining().mul_f64(part))
    }

    /// What is left; zero when past or cancelled.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        if self.cancelled.is_cancelled() {
            return Duration::ZERO;
        }
        self.at.saturating_sub(self.clock.now().mono)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Whether enough is left ([`STAGE_MIN`]) to start another stage.
    #[must_use]
    pub fn allows_stage(&self) -> bool {
        self.remaining() >= STAGE_MIN
    }

    /// Cancels this deadline and its children.
    pub fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// The clock this deadline is read against.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Waits for `work` no longer than the deadline. Where nothing is left it is never polled: a call
    /// that was polled once may have been sent. What begins before it is polled (a spawned task)
    /// belongs into an `async` block.
    ///
    /// # Errors
    /// [`Elapsed`] says whether the instant passed or the caller went away; `work` is dropped.
    pub async fn limit<T>(&self, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        let remaining = self.remaining();
        if remaining.is_zero() && !self.cancelled.is_cancelled() {
            return Err(Elapsed::Timeout);
        }
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(Elapsed::Cancelled),
            done = tokio::time::timeout(remaining, work) => done.map_err(|_| Elapsed::Timeout),
        }
    }

    /// As [`Deadline::limit`], but takes what is ready at once, whatever is left: for work that sends
    /// nothing. It does not touch the runtime's timer then.
    ///
    /// ```
    /// # use guard::{Deadline, Elapsed, ManualClock};
    /// # use std::{future::{pending, ready}, sync::Arc, time::Duration};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let passed = Deadline::after(Arc::new(ManualClock::default()), Duration::ZERO);
    /// assert_eq!(passed.limit(ready(7)).await, Err(Elapsed::Timeout));
    /// assert_eq!(passed.limit_unless_ready(ready(7)).await, Ok(7));
    /// assert_eq!(passed.limit_unless_ready(pending::<u8>()).await, Err(Elapsed::Timeout));
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Deadline::limit`].
    pub async fn limit_unless_ready<T>(&self, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut work = pin!(work);
        match poll!(work.as_mut()) {
            Poll::Ready(done) => Ok(done),
            Poll::Pending => self.limit(work).await,
        }
    }
}

#[cfg(test)]
mod tests;
