//! Disk work on blocking threads, bounded and under a deadline.

use std::sync::Arc;

use guard::Deadline;
use store::{Error, ErrorKind};
use tokio::sync::Semaphore;

/// Calls of one adapter that may hold a blocking thread at a time; the rest wait their turn.
pub(crate) const CALLS_IN_FLIGHT_MAX: usize = 64;

/// Bounds how many blocking threads one adapter holds.
#[derive(Debug, Clone)]
pub(crate) struct Blocking(Arc<Semaphore>);

impl Blocking {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CALLS_IN_FLIGHT_MAX)))
    }

    /// Runs `work` on a blocking thread. When the deadline ends the wait, work that has begun
    /// still finishes: a caller that retries must expect to find it done.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        deadline: &Deadline,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let waiting = async {
            let permit = Arc::clone(&self.0)
                .acquire_owned()
                .await
                .map_err(|closed| Error::because(ErrorKind::Unavailable, what, closed))?;
            tokio::task::spawn_blocking(move || {
                let _held_until_done = permit;
                work()
            })
            .await
            .map_err(|failed| Error::because(ErrorKind::Unavailable, what, failed))?
        };
        deadline
            .limit(waiting)
            .await
            .map_err(|elapsed| Error::elapsed(elapsed, what))?
    }
}

/// Refuses to start work whose deadline is already over.
pub(crate) async fn check(what: &'static str, deadline: &Deadline) -> Result<(), Error> {
    let begun = deadline.limit(std::future::ready(())).await;
    begun.map_err(|elapsed| Error::elapsed(elapsed, what))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use guard::ManualClock;

    use super::*;

    fn deadline(budget: Duration) -> Deadline {
        Deadline::after(Arc::new(ManualClock::starting_at(0)), budget)
    }

    #[tokio::test]
    async fn nothing_starts_after_the_deadline() {
        let ran = Blocking::new()
            .run("try", &deadline(Duration::ZERO), || -> Result<(), Error> {
                panic!("it ran")
            })
            .await;
        assert_eq!(ran.unwrap_err().kind, ErrorKind::Timeout);
    }

    #[tokio::test]
    async fn a_panic_on_the_blocking_thread_is_an_error() {
        let ran = Blocking::new()
            .run(
                "try",
                &deadline(Duration::from_secs(5)),
                || -> Result<(), Error> { panic!("on purpose") },
            )
            .await;
        assert_eq!(ran.unwrap_err().kind, ErrorKind::Unavailable);
    }
}
