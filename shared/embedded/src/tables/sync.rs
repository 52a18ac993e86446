//! One sync for everybody who waits at the same time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Lets the calls that wait together share one sync.
///
/// A ticket is taken after the write it stands for, so a sync that starts later covers it.
#[derive(Debug, Default)]
pub(super) struct GroupSync {
    tickets: AtomicU64,
    covered: Mutex<u64>,
}

impl GroupSync {
    /// Returns when a sync that began after this call has succeeded.
    pub(super) fn wait<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let ticket = self.tickets.fetch_add(1, Ordering::SeqCst) + 1;
        let mut covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        if *covered >= ticket {
            return Ok(());
        }
        let covers = self.tickets.load(Ordering::SeqCst);
        sync()?;
        *covered = covers;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn who_waits_together_shares_a_sync_and_a_failure_covers_nobody() {
        let group = GroupSync::default();
        let syncs = AtomicU64::new(0);
        let (inside, queued) = (Barrier::new(2), Barrier::new(9));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                group.wait(|| {
                    inside.wait();
                    queued.wait();
                    while group.tickets.load(Ordering::SeqCst) < 9 {
                        std::thread::yield_now();
                    }
                    syncs.fetch_add(1, Ordering::SeqCst);
                    Ok::<(), ()>(())
                })
            });
            inside.wait();
            for _ in 0..8 {
                scope.spawn(|| {
                    queued.wait();
                    group.wait(|| {
                        syncs.fetch_add(1, Ordering::SeqCst);
                        Ok::<(), ()>(())
                    })
                });
            }
        });
        assert_eq!(
            syncs.load(Ordering::SeqCst),
            2,
            "one for the first, one for all the others"
        );

        assert_eq!(group.wait(|| Err("disk")), Err("disk"));
        assert_eq!(
            group.wait(|| Err("still")),
            Err("still"),
            "nobody took it for done"
        );
    }
}
