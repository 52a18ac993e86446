//! The one place that spawns.

use std::future::Future;
use std::time::Duration;

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
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that spawns"
    )]
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
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
