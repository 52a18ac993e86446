//! The one place that spawns.

use std::future::Future;
use std::time::Duration;

#[cfg(feature = "interleavings")]
use shuttle::future::JoinHandle;
#[cfg(not(feature = "interleavings"))]
use tokio::{runtime::Handle, task::JoinHandle};
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
    /// Where they run; where they are spawned, if none is named.
    #[cfg(not(feature = "interleavings"))]
    runtime: Option<Handle>,
}

impl Tasks {
    /// An empty account.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same account, for tasks that run on threads of another runtime.
    ///
    /// What computes for long keeps a runtime from looking at its sockets: what arrives then waits
    /// where nobody sees it. On threads of its own the operating system shares the cores out.
    #[cfg(not(feature = "interleavings"))]
    #[must_use]
    pub fn on(&self, runtime: Handle) -> Self {
        Self {
            tracker: self.tracker.clone(),
            runtime: Some(runtime),
        }
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
        match &self.runtime {
            Some(runtime) => runtime.spawn(self.tracker.track_future(work)),
            None => tokio::spawn(self.tracker.track_future(work)),
        }
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

    #[cfg(not(feature = "interleavings"))]
    #[tokio::test]
    async fn what_runs_elsewhere_is_on_the_same_account() {
        let elsewhere = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let here = std::thread::current().id();
        let tasks = Tasks::new();
        let there = tasks.on(elsewhere.handle().clone());
        let at = there.spawn(async { std::thread::current().id() });
        assert_ne!(at.await.unwrap(), here);
        let stuck = there.spawn(pending::<()>());
        assert_eq!(tasks.running(), 1);
        stuck.abort();
        elsewhere.shutdown_background();
    }

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
