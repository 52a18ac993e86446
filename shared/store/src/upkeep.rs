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
    busy: AtomicBool,
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
        let busy = AtomicBool::new(false);
        Self {
            inner: Arc::new(Inner {
                generations,
                tuning,
                file,
                realtime,
                clock,
                tasks,
                busy,
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

    /// Starts a round in the background unless one is running; cheap when nothing is due.
    pub fn pass(&self) {
        if self.inner.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let round = Round(Arc::clone(&self.inner));
        self.inner.tasks.spawn(async move {
            let _ends_with_the_task = round;
            inner.round().await;
        });
    }
}

impl Inner {
    async fn round(&self) {
        let deadline = Deadline::after(Arc::clone(&self.clock), ROUND_BUDGET);
        if let Some(file) = &self.file
            && let Err(error) = file.refresh_if_due(&deadline).await
        {
            tracing::error!(error = %error, "the tuning file was not applied, the last good one stays");
        }
        let every = self.tuning.snapshot().store.generation_every();
        // A failure is counted and logged by the reader itself, which keeps the old generation.
        let _ = self.generations.refresh_if_due(every, &deadline).await;
        self.look_around(&deadline).await;
    }

    /// Without it answers are as fresh as the generation.
    async fn look_around(&self, deadline: &Deadline) {
        if let Err(error) = self.realtime.refresh_if_due(deadline).await {
            tracing::warn!(error = %error, "the realtime table was not refreshed, the last one stays");
        }
    }
}

/// A running round; its end, however it comes, lets the next one start.
struct Round(Arc<Inner>);

impl Drop for Round {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}
