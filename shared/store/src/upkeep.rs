//! What passing requests keep fresh: the generation, the tuning file, the realtime table.
//!
//! Nothing runs between the requests of a Lambda environment, so the requests that pass look at the
//! ages, and the first one that finds something too old starts one detached task for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use guard::{Clock, Deadline, Tasks};

use crate::{GenerationReader, LiveTuning, Realtime, TuningFile};

/// How long one round may take; a generation of a gigabyte has to be fetched within it.
const ROUND_BUDGET: Duration = Duration::from_secs(120);

/// How long the counters may take to be read; they are due again a moment later.
const COUNTS_BUDGET: Duration = Duration::from_secs(5);

/// Keeps the generation, the tuning and the realtime table fresh. Clones share one account.
#[derive(Clone)]
pub struct Upkeep {
    inner: Arc<Inner>,
}

struct Inner {
    generations: Arc<GenerationReader>,
    tuning: Arc<LiveTuning>,
    file: Option<TuningFile>,
    realtime: Arc<Realtime>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    looking: AtomicBool,
    counting: AtomicBool,
    fetching: AtomicBool,
}

impl Upkeep {
    /// Keeps these fresh; `file` is where the tuning comes from, if anywhere.
    #[must_use]
    pub fn new(
        generations: Arc<GenerationReader>,
        tuning: Arc<LiveTuning>,
        file: Option<TuningFile>,
        realtime: Arc<Realtime>,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                generations,
                tuning,
                file,
                realtime,
                clock,
                tasks,
                looking: AtomicBool::new(false),
                counting: AtomicBool::new(false),
                fetching: AtomicBool::new(false),
            }),
        }
    }

    /// Reads both now, as init does. What cannot be read is logged where it fails; serving starts
    /// with what there is.
    pub async fn start(&self, deadline: &Deadline) {
        if let Some(file) = &self.inner.file
            && let Err(error) = file.refresh(deadline).await
        {
            tracing::error!(error = %error, "the tuning file is not in force, defaults are");
        }
        // A failure is counted and logged by the reader itself.
        let _ = self.inner.generations.refresh(deadline).await;
        self.inner.look_around(deadline).await;
    }

    /// Starts rounds in the background unless they are running; cheap when nothing is due.
    ///
    /// Fetching a generation may take minutes, and a table may not answer. Each has a task of its
    /// own, so that what is tuned is in force within a second all the same.
    pub fn pass(&self) {
        let inner = &self.inner;
        if let Some(round) = Round::begin(inner, |inner| &inner.looking) {
            inner.tasks.spawn(async move { round.inner.look().await });
        }
        if let Some(round) = Round::begin(inner, |inner| &inner.counting) {
            let deadline = Deadline::after(Arc::clone(&inner.clock), COUNTS_BUDGET);
            inner.tasks.spawn(async move {
                let counted = deadline.limit(round.inner.look_around(&deadline)).await;
                if counted.is_err() {
                    tracing::warn!("the realtime table did not answer, the last one stays");
                }
            });
        }
        if let Some(round) = Round::begin(inner, |inner| &inner.fetching) {
            inner.tasks.spawn(async move { round.inner.fetch().await });
        }
    }
}

impl Inner {
    async fn look(&self) {
        let deadline = Deadline::after(Arc::clone(&self.clock), ROUND_BUDGET);
        if let Some(file) = &self.file
            && let Err(error) = file.refresh_if_due(&deadline).await
        {
            tracing::error!(error = %error, "the tuning file was not applied, the last good one stays");
        }
    }

    async fn fetch(&self) {
        let deadline = Deadline::after(Arc::clone(&self.clock), ROUND_BUDGET);
        let every = self.tuning.snapshot().store.generation_every();
        // A failure is counted and logged by the reader itself, which keeps the old generation.
        let _ = self.generations.refresh_if_due(every, &deadline).await;
    }

    /// Without it answers are as fresh as the generation.
    async fn look_around(&self, deadline: &Deadline) {
        if let Err(error) = self.realtime.refresh_if_due(deadline).await {
            tracing::warn!(error = %error, "the realtime table was not refreshed, the last one stays");
        }
    }
}

/// A running round; its end, however it comes, lets the next one start.
struct Round {
    inner: Arc<Inner>,
    busy: fn(&Inner) -> &AtomicBool,
}

impl Round {
    fn begin(inner: &Arc<Inner>, busy: fn(&Inner) -> &AtomicBool) -> Option<Self> {
        let begins = !busy(inner).swap(true, Ordering::AcqRel);
        begins.then(|| Self {
            inner: Arc::clone(inner),
            busy,
        })
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        (self.busy)(&self.inner).store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MemoryObjects, MemoryTables, clock};

    #[tokio::test]
    async fn a_generation_that_never_arrives_holds_up_no_tuning() {
        let (manual, folder) = (clock(), tempfile::tempdir().unwrap());
        let clock: Arc<dyn Clock> = manual.clone();
        let objects = Arc::new(MemoryObjects::default());
        objects.stalled.store(true, Ordering::SeqCst);
        let document = folder.path().join("tuning.json");
        std::fs::write(&document, "{}").unwrap();
        let (tuning, file) = TuningFile::follow(Some(document.clone()), &clock);
        let index_dir = folder.path().join("generations");
        let generations = Arc::new(GenerationReader::new(objects, index_dir, clock.clone()));
        let tables = Arc::new(MemoryTables::default());
        let realtime = Realtime::new(tables, Arc::clone(&generations), clock.clone());
        let upkeep = Upkeep::new(
            generations,
            Arc::clone(&tuning),
            file,
            Arc::new(realtime),
            clock,
            Tasks::new(),
        );
        let every = || tuning.snapshot().store.generation_every_ms;
        for wanted in [5_000, 6_000] {
            let changed = format!(r#"{{"store":{{"generation_every_ms":{wanted}}}}}"#);
            std::fs::write(&document, changed).unwrap();
            let applied = async {
                while every() != wanted {
                    manual.advance(Duration::from_secs(1));
                    upkeep.pass();
                    tokio::task::yield_now().await;
                }
            };
            let applied = tokio::time::timeout(Duration::from_secs(10), applied).await;
            assert!(applied.is_ok(), "{} instead of {wanted}", every());
        }
        assert!(
            upkeep.inner.fetching.load(Ordering::SeqCst),
            "it still waits"
        );
    }
}
