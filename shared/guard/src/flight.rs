//! One load per key, however many ask.
//!
//! ```text
//! first caller ──┬─ starts ─▶ leader: a task of its own, with its own budget
//! other callers ─┤                        │
//!                └──── wait, each with ◀──┘ answers everybody, leaves the table
//!                      its own deadline
//! ```
//!
//! The leader is detached because a load that is tied to its first caller's deadline collapses
//! under a hot key: when the load takes longer than the callers may wait, every leader is cut and
//! nobody is ever served.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::{Deadline, Elapsed, Tasks};

/// Loads in flight at once, over all keys of one table.
pub const FLIGHTS_MAX: usize = 16_384;

/// Joins concurrent loads of one key into one. Clones share one table.
///
/// Look into the cache again inside `load`: it may have been filled between the miss and the
/// flight.
///
/// ```
/// use guard::{Deadline, Flight, ManualClock, Tasks};
/// use std::{sync::Arc, time::Duration};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let flight = Flight::<&str, u32>::new(Tasks::new());
/// let deadline = Deadline::after(Arc::new(ManualClock::default()), Duration::from_millis(30));
/// let budget = Duration::from_millis(200);
/// let answer = flight.run("v42", &deadline, budget, || async { 7 }).await;
/// assert_eq!(answer, Ok(7));
/// # }
/// ```
#[derive(Debug)]
pub struct Flight<K, V> {
    tasks: Tasks,
    table: Arc<Table<K, V>>,
}

/// Why a caller got no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlightError {
    /// The caller's own deadline passed; the load goes on.
    Timeout,
    /// The caller went away; the load goes on.
    Cancelled,
    /// The load outlived its budget and was dropped.
    Overran,
    /// The load panicked, or its runtime shut down.
    Panicked,
    /// [`FLIGHTS_MAX`] loads are in flight; this one was not begun.
    Full,
}

type Answer<V> = Option<Result<V, FlightError>>;

type Table<K, V> = Mutex<HashMap<K, watch::Receiver<Answer<V>>>>;

impl<K, V> Clone for Flight<K, V> {
    fn clone(&self) -> Self {
        Self {
            tasks: self.tasks.clone(),
            table: Arc::clone(&self.table),
        }
    }
}

impl<K, V> Flight<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty table; loads run in `tasks`.
    #[must_use]
    pub fn new(tasks: Tasks) -> Self {
        Self {
            tasks,
            table: Arc::default(),
        }
    }

    /// Waits for the load of `key` that is in flight, or starts one with `budget`, which then goes
    /// on whatever becomes of this caller. `load` runs at most once, in a task.
    ///
    /// # Errors
    /// [`FlightError`] says whose time was up, or what else went wrong.
    pub async fn run<F, Fut>(
        &self,
        key: K,
        deadline: &Deadline,
        budget: Duration,
        load: F,
    ) -> Result<V, FlightError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = V> + Send + 'static,
    {
        let mut answer = self.join(key, budget, load)?;
        let landed = async {
            let landed = answer.wait_for(Option::is_some).await;
            landed
                .ok()
                .and_then(|answer| answer.clone())
                .unwrap_or(Err(FlightError::Panicked))
        };
        match deadline.limit(landed).await {
            Ok(answer) => answer,
            Err(Elapsed::Timeout) => Err(FlightError::Timeout),
            Err(Elapsed::Cancelled) => Err(FlightError::Cancelled),
        }
    }

    /// How many loads are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        lock(&self.table).len()
    }

    /// Where the answer will appear; starts the load if nobody has.
    fn join<F, Fut>(
        &self,
        key: K,
        budget: Duration,
        load: F,
    ) -> Result<watch::Receiver<Answer<V>>, FlightError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = V> + Send + 'static,
    {
        let mut table = lock(&self.table);
        let full = table.len() >= FLIGHTS_MAX;
        let vacant = match table.entry(key) {
            Entry::Occupied(joined) => return Ok(joined.get().clone()),
            Entry::Vacant(_) if full => return Err(FlightError::Full),
            Entry::Vacant(vacant) => vacant,
        };
        let (sender, answer) = watch::channel(None);
        let key = vacant.key().clone();
        vacant.insert(answer.clone());
        drop(table);

        let landing = Landing {
            table: Arc::clone(&self.table),
            key,
            sender,
        };
        self.tasks.spawn(async move {
            // `load` is called inside, so that its own panic is caught as well.
            let loading = AssertUnwindSafe(async move { load().await }).catch_unwind();
            landing.land(match tokio::time::timeout(budget, loading).await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(_panic)) => Err(FlightError::Panicked),
                Err(_elapsed) => Err(FlightError::Overran),
            });
        });
        Ok(answer)
    }
}

/// A leader's duty to answer and to leave the table, also when its task is thrown away.
struct Landing<K: Hash + Eq, V> {
    table: Arc<Table<K, V>>,
    key: K,
    sender: watch::Sender<Answer<V>>,
}

impl<K: Hash + Eq, V> Landing<K, V> {
    /// Answers first and leaves the table after: in between, callers find the answer instead of
    /// starting another load.
    fn land(self, answer: Result<V, FlightError>) {
        self.sender.send_replace(Some(answer));
    }
}

impl<K: Hash + Eq, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        lock(&self.table).remove(&self.key);
    }
}

fn lock<K, V>(table: &Table<K, V>) -> MutexGuard<'_, HashMap<K, watch::Receiver<Answer<V>>>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
