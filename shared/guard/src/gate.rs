//! Bounds how much is in flight, and how much may wait for it.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::{Deadline, Elapsed};

/// Lets a limited number in at once; a limited number waits, first come, first served.
///
/// Clones share one gate.
///
/// ```
/// use guard::{Deadline, Gate, ManualClock, Shed};
/// use std::{sync::Arc, time::Duration};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let deadline = Deadline::after(Arc::new(ManualClock::default()), Duration::from_millis(10));
/// let gate = Gate::new(1, 0);
/// let inside = gate.enter(&deadline).await.expect("nobody is inside");
/// assert_eq!(gate.enter(&deadline).await.unwrap_err(), Shed::Full);
/// drop(inside);
/// assert!(gate.enter(&deadline).await.is_ok());
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Gate {
    shared: Arc<Shared>,
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// As many as may wait are waiting.
    Full,
    /// The deadline passed while waiting.
    Timeout,
    /// The caller went away while waiting.
    Cancelled,
}

/// Leave to be inside; dropping it lets the next one in.
#[derive(Debug)]
#[must_use = "a permit dropped at once guards nothing"]
pub struct GatePermit {
    shared: Arc<Shared>,
    seat: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Shared {
    seats: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: AtomicUsize,
    size: Mutex<Size>,
}

#[derive(Debug)]
struct Size {
    limit: usize,
    /// Seats to take away as soon as those who sit on them leave.
    owed: usize,
    inside: usize,
}

impl Gate {
    /// A gate for `limit` at once (at least 1), with up to `waiting_max` waiting.
    #[must_use]
    pub fn new(limit: usize, waiting_max: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Shared {
            seats: Arc::new(Semaphore::new(limit)),
            waiting: AtomicUsize::new(0),
            waiting_max: AtomicUsize::new(waiting_max),
            size: Mutex::new(Size {
                limit,
                owed: 0,
                inside: 0,
            }),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Waits to be let in, no longer than the deadline.
    ///
    /// # Errors
    /// [`Shed`] says why not.
    pub async fn enter(&self, deadline: &Deadline) -> Result<GatePermit, Shed> {
        if let Some(permit) = self.try_enter() {
            return Ok(permit);
        }
        let _place = self.shared.queue()?;
        let seat = deadline
            .limit(Arc::clone(&self.shared.seats).acquire_owned())
            .await;
        match seat {
            Ok(Ok(seat)) => Ok(self.shared.admit(seat)),
            Ok(Err(AcquireError { .. })) => Err(Shed::Full),
            Err(Elapsed::Timeout) => Err(Shed::Timeout),
            Err(Elapsed::Cancelled) => Err(Shed::Cancelled),
        }
    }

    /// Lets in at once or not at all; whoever waits goes first.
    #[must_use]
    pub fn try_enter(&self) -> Option<GatePermit> {
        let seat = Arc::clone(&self.shared.seats).try_acquire_owned().ok()?;
        Some(self.shared.admit(seat))
    }

    /// Changes how many are let in at once (at least 1). Nobody is thrown out: a smaller limit
    /// holds once enough have left.
    pub fn set_limit(&self, limit: usize) {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        let mut size = self.shared.size();
        if limit >= size.limit {
            let more = limit - size.limit;
            let forgiven = more.min(size.owed);
            size.owed -= forgiven;
            self.shared.seats.add_permits(more - forgiven);
        } else {
            let fewer = size.limit - limit;
            size.owed += fewer - self.shared.seats.forget_permits(fewer);
        }
        size.limit = limit;
    }

    /// Changes how many may wait. Who waits already goes on waiting.
    pub fn set_waiting_max(&self, waiting_max: usize) {
        self.shared
            .waiting_max
            .store(waiting_max, Ordering::Release);
    }

    /// How many are let in at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.shared.size().limit
    }

    /// How many are inside.
    #[must_use]
    pub fn inside(&self) -> usize {
        self.shared.size().inside
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Acquire)
    }
}

/// A place in the queue; dropping it, also by cancellation, leaves the queue.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(self: &Arc<Self>, seat: OwnedSemaphorePermit) -> GatePermit {
        self.size().inside += 1;
        GatePermit {
            shared: Arc::clone(self),
            seat: Some(seat),
        }
    }

    fn queue(&self) -> Result<Place<'_>, Shed> {
        let most = self.waiting_max.load(Ordering::Acquire);
        let one_more = |waiting| (waiting < most).then_some(waiting + 1);
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .map(|_| Place(&self.waiting))
            .map_err(|_| Shed::Full)
    }
}

impl Drop for GatePermit {
    fn drop(&mut self) {
        let Some(seat) = self.seat.take() else { return };
        let mut size = self.shared.size();
        size.inside -= 1;
        if size.owed > 0 {
            size.owed -= 1;
            seat.forget();
        }
    }
}

#[cfg(test)]
mod tests;
