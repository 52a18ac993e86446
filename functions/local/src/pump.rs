//! Drives the stream's consumers in this process, as the event-source mappings do on Lambda.
//!
//! ```text
//! route (a task) ─► every shard: read behind the offset ─► consume ─► keep the offset
//!   clickstream: all the time          archive: once a minute, or when flushed
//! ```
//!
//! An offset is kept after its batch is applied, so a killed process applies a batch again at most;
//! consumers do not mind. A batch that fails or panics is tried again after a growing pause, and its shard
//! waits for it: order is what makes counting once possible.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use guard::{Clock, Deadline, Tasks};
use store::{BatchOutcome, Consumer, Control, Error, ErrorKind, Position, Stream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How long one batch may take.
pub const BATCH_BUDGET: Duration = Duration::from_secs(60);
/// The longest pause after a failure.
pub const PAUSE_MAX: Duration = Duration::from_secs(10);

const PAUSE_MIN: Duration = Duration::from_millis(200);
const FLUSHES_MAX: usize = 16;

/// What the pump works with.
#[derive(Clone)]
pub struct Parts {
    /// What is read.
    pub stream: Arc<dyn Stream>,
    /// Where offsets are kept.
    pub control: Arc<Control>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// One consumer and how it is fed.
pub struct Route {
    /// Its name, in offsets and flushes.
    pub name: &'static str,
    /// What takes the batches.
    pub consumer: Arc<dyn Consumer>,
    /// Records of one batch at most.
    pub records_max: usize,
    /// How often the stream is looked at; what arrives in between travels together.
    pub every: Duration,
}

impl Route {
    /// Small windows: what a user does shows within a second.
    #[must_use]
    pub fn prompt(name: &'static str, consumer: Arc<dyn Consumer>) -> Self {
        Self {
            name,
            consumer,
            records_max: 1_000,
            every: Duration::from_millis(100),
        }
    }

    /// Wide windows: few, large batches.
    #[must_use]
    pub fn wide(name: &'static str, consumer: Arc<dyn Consumer>) -> Self {
        Self {
            name,
            consumer,
            records_max: 20_000,
            every: Duration::from_secs(60),
        }
    }
}

/// The running pump.
#[derive(Clone)]
pub struct Pump {
    clock: Arc<dyn Clock>,
    flushes: Arc<HashMap<&'static str, mpsc::Sender<Flush>>>,
}

type Flush = oneshot::Sender<Result<(), Error>>;

impl Pump {
    /// Starts a task per route; all end when `stop` is cancelled, each after the batch it is at.
    #[must_use]
    pub fn start(
        parts: &Parts,
        routes: Vec<Route>,
        tasks: &Tasks,
        stop: &CancellationToken,
    ) -> Self {
        let mut flushes = HashMap::new();
        for route in routes {
            let (sender, receiver) = mpsc::channel(FLUSHES_MAX);
            flushes.insert(route.name, sender);
            let worker = Worker {
                parts: parts.clone(),
                route,
                stop: stop.clone(),
                offsets: HashMap::new(),
            };
            tasks.spawn(worker.run(receiver));
        }
        Self {
            clock: Arc::clone(&parts.clock),
            flushes: Arc::new(flushes),
        }
    }

    /// Waits until a route has applied everything that was in the stream when this was called.
    ///
    /// # Errors
    /// `NotFound` for an unknown route, `Unavailable` when the pump has stopped, `Timeout`;
    /// otherwise why a batch failed.
    pub async fn flush(&self, route: &str, deadline: &Deadline) -> Result<(), Error> {
        let what = || format!("flush {route}");
        let sender = self.flushes.get(route);
        let sender = sender.ok_or_else(|| Error::new(ErrorKind::NotFound, what()))?;
        let flushed = async {
            let (answer, answered) = oneshot::channel();
            sender.send(answer).await.ok()?;
            answered.await.ok()
        };
        let flushed = deadline
            .limit(flushed)
            .await
            .map_err(|e| Error::elapsed(e, what()))?;
        flushed.unwrap_or_else(|| Err(Error::new(ErrorKind::Unavailable, what())))
    }

    /// What time it is to the pump.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

/// One route's task.
struct Worker {
    parts: Parts,
    route: Route,
    stop: CancellationToken,
    offsets: HashMap<String, Option<String>>,
}

impl Worker {
    async fn run(mut self, mut flushes: mpsc::Receiver<Flush>) {
        let mut pause = self.route.every;
        loop {
            let flush = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                flush = flushes.recv() => flush,
                () = tokio::time::sleep(pause) => None,
            };
            let drained = self.drain().await;
            pause = match (&drained, pause) {
                (Ok(()), _) => self.route.every,
                (Err(_), before) => (before * 2).clamp(PAUSE_MIN, PAUSE_MAX),
            };
            match (flush, drained) {
                // Whoever asked may have gone.
                (Some(flush), drained) => drop(flush.send(drained)),
                (None, Err(error)) if self.stop.is_cancelled() => {
                    tracing::debug!(consumer = self.route.name, error = %error, "the pump stops");
                }
                (None, Err(error)) => {
                    tracing::warn!(consumer = self.route.name, error = %error, "the pump pauses");
                }
                (None, Ok(())) => {}
            }
        }
    }

    /// Applies everything that had arrived when this began, all shards side by side.
    async fn drain(&mut self) -> Result<(), Error> {
        let until_ms = self.parts.clock.now().wall_ms;
        let deadline = Deadline::after(Arc::clone(&self.parts.clock), BATCH_BUDGET);
        for shard in self.parts.stream.shards(&deadline).await? {
            if !self.offsets.contains_key(&shard) {
                let control = &self.parts.control;
                let offset = offset(control, self.route.name, &shard, &deadline).await?;
                self.offsets.insert(shard, offset);
            }
        }
        let offsets = std::mem::take(&mut self.offsets);
        let this = &*self;
        let shards = offsets.into_iter().map(|(shard, mut offset)| async move {
            let drained = this.drain_shard(&shard, &mut offset, until_ms).await;
            (shard, offset, drained)
        });
        let mut failed = Ok(());
        for (shard, offset, drained) in join_all(shards).await {
            self.offsets.insert(shard, offset);
            failed = failed.and(drained);
        }
        failed
    }

    async fn drain_shard(
        &self,
        shard: &str,
        offset: &mut Option<String>,
        until_ms: i64,
    ) -> Result<(), Error> {
        loop {
            if self.stop.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "pump a shard"));
            }
            let deadline = Deadline::after(Arc::clone(&self.parts.clock), BATCH_BUDGET);
            let after = offset.as_deref();
            let read = self
                .parts
                .stream
                .read(shard, after, self.route.records_max, &deadline);
            let batch = read.await?;
            let positions: Vec<Position> =
                batch.iter().map(|record| record.position.clone()).collect();
            let Some(newest_ms) = batch.last().map(|record| record.arrived_ms) else {
                return Ok(());
            };
            // A panic is that batch's, not the end of the route: nobody would notice before the log
            // is full.
            let consumed = AssertUnwindSafe(self.route.consumer.consume(batch, &deadline));
            let outcome = consumed.catch_unwind().await.unwrap_or_else(|_| {
                let consumer = self.route.name;
                tracing::error!(
                    consumer,
                    shard,
                    "a consumer panicked, its batch comes again"
                );
                BatchOutcome {
                    failed_from: positions.first().cloned(),
                }
            });
            let failed_at = outcome.failed_from.map(|from| {
                // A position that is not of this batch fails all of it.
                positions
                    .iter()
                    .position(|position| *position == from)
                    .unwrap_or(0)
            });
            let applied = positions
                .get(..failed_at.unwrap_or(positions.len()))
                .unwrap_or_default();
            if let Some(last) = applied.last() {
                self.keep(last, &deadline).await?;
                *offset = Some(last.sequence.clone());
            }
            if failed_at.is_some() {
                let what = format!("apply a batch of {} to {}", shard, self.route.name);
                return Err(Error::new(ErrorKind::Unavailable, what));
            }
            if newest_ms > until_ms {
                return Ok(());
            }
        }
    }

    async fn keep(&self, position: &Position, deadline: &Deadline) -> Result<(), Error> {
        let (control, Position { shard, sequence }) = (&self.parts.control, position);
        keep_offset(control, self.route.name, shard, sequence, deadline).await
    }
}

/// How far a consumer has applied a shard: the sequence of the last record.
///
/// # Errors
/// The store's.
pub async fn offset(
    control: &Control,
    consumer: &str,
    shard: &str,
    deadline: &Deadline,
) -> Result<Option<String>, Error> {
    let kept = control
        .checkpoint(&offset_name(consumer, shard), deadline)
        .await?;
    Ok(kept.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Remembers how far a consumer has applied a shard.
pub(crate) async fn keep_offset(
    control: &Control,
    consumer: &str,
    shard: &str,
    sequence: &str,
    deadline: &Deadline,
) -> Result<(), Error> {
    let name = offset_name(consumer, shard);
    control
        .save_checkpoint(&name, sequence.as_bytes(), deadline)
        .await
}

fn offset_name(consumer: &str, shard: &str) -> String {
    format!("pump/{consumer}/{shard}")
}

#[cfg(test)]
mod tests;
