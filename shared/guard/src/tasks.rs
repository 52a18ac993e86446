//! The one place that spawns.

use std::future::Future;
use std::time::Duration;

#[cfg(feature = "interleavings")]
use shuttle::future::JoinHandle;
#[cfg(not(feature = "interleavings"))]
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Spawns tasks and knows how many are still running. Clones share one account.
///
/// ```
/// use guard::Tasks;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let tasks = Tasks::new();
/// tasks.spawn(async { /* a load that outlives its request */ });
/// assert_eq!(tasks.running(), 1);
/// assert!(tasks.drain(Duration::from_millis(100)).await);
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
}

impl Tasks {
    /// An empty account.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` on its own.
    #[cfg_attr(
        not(feature = "interleavings"),
        expect(
            clippy::disallowed_methods,
            reason = "this is the one place that spawns"
        )
    )]
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        #[cfg(feature = "interleavings")]
        return shuttle::future::spawn(self.tracker.track_future(work));
        #[cfg(not(feature = "interleavings"))]
        tokio::spawn(self.tracker.track_future(work))
    }

    /// How many tasks are still running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until nothing runs, at most `limit`; returns whether nothing runs any more.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.tracker.close();
        let drained = tokio::time::timeout(limit, self.tracker.wait())
            .await
            .is_ok();
        self.tracker.reopen();
        drained
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_runs_is_counted_until_it_ends_and_draining_does_not_wait_for_ever() {
        let tasks = Tasks::new();
        let quick = tasks.spawn(async { 7 });
        let stuck = tasks.spawn(pending::<()>());
        assert_eq!(tasks.clone().running(), 2);
        assert_eq!(quick.await.unwrap(), 7);
        assert!(!tasks.drain(Duration::from_millis(100)).await);
        assert_eq!(tasks.running(), 1);
        stuck.abort();
        assert!(tasks.drain(Duration::from_millis(100)).await);
        assert_eq!(tasks.running(), 0);
        tasks.spawn(pending::<()>());
        assert!(!tasks.drain(Duration::ZERO).await, "it may be used again");
    }
}
