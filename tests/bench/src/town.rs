//! A process that serves, on stores in memory: what its requests cost is ours alone.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Router;
use embedded::EmbeddedObjects;
use engine::{Event, Pipeline, UserState};
use guard::{Breaker, BreakerTuning, Clock, Deadline, Tasks};
use ops::RealClock;
use serde_json::json;
use smol_str::{SmolStr, format_smolstr};
use store::{
    Catalogue, GenerationReader, Generations, LiveTuning, Origin, OriginParts, Outbox, Shared,
    Tiered, TieredParts, Users, apply_event,
};
use web::Signer;

use crate::world;

mod memory;

pub use memory::Rows;
use memory::{Newcomers, Sink};

/// A rate that no benchmark reaches.
const UNLIMITED: u32 = 1_000_000;

/// What processes share.
pub struct Town {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The tables.
    pub tables: Arc<Rows>,
    objects: Arc<EmbeddedObjects>,
    folder: tempfile::TempDir,
    processes: AtomicU64,
    tuning: serde_json::Value,
}

/// What serves.
pub struct Process {
    /// Slates.
    pub tiered: Tiered,
    /// The mapped generation.
    pub generations: Arc<GenerationReader>,
    /// Everything that runs on its own.
    pub tasks: Tasks,
    parts: recommend::Parts,
}

impl Town {
    /// A town whose users have these diaries, without a generation.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub async fn new(diaries: &[Vec<Event>]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let town = Self {
            clock: Arc::new(RealClock::new()),
            tables: Arc::default(),
            objects: Arc::new(EmbeddedObjects::open(&folder.path().join("objects"))?),
            folder,
            processes: AtomicU64::new(0),
            tuning: unlimited(),
        };
        town.write(&town.tables, diaries).await?;
        Ok(town)
    }

    /// The same town with users of these numbers, who take no room: each has one of these histories.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn with_newcomers(
        self,
        numbers: Range<usize>,
        histories: &[Vec<Event>],
    ) -> anyhow::Result<Self> {
        let written = Arc::new(Rows::default());
        self.write(&written, histories).await?;
        let mut rows = written.rows.write().unwrap_or_else(PoisonError::into_inner);
        let rows = rows.drain().map(|(_, row)| row).collect();
        *self.tables.newcomers() = Newcomers { numbers, rows };
        Ok(self)
    }

    async fn write(&self, tables: &Arc<Rows>, diaries: &[Vec<Event>]) -> anyhow::Result<()> {
        let (users, deadline) = (Users::new(tables.clone()), self.deadline(600_000));
        for (number, diary) in diaries.iter().enumerate() {
            let change = |state: &mut UserState| {
                diary.iter().for_each(|event| {
                    apply_event(state, event);
                });
                true
            };
            users
                .update(&world::user(number), &deadline, change)
                .await?;
        }
        Ok(())
    }

    /// The same town with budgets that no busy machine uses up: what is counted must not depend on
    /// them.
    #[must_use]
    pub fn patient(mut self) -> Self {
        let engine = json!({"request_ms": 10_000, "recall_ms": 10_000});
        let store = json!({"redis_ms": 1_000, "load_ms": 10_000});
        self.tune("engine", "budgets", engine);
        self.tune("store", "budgets", store);
        self
    }

    /// The same town with so many tuned scenes beside `home`, each as `home` is: one that is not
    /// tuned would be served like it, under its key.
    #[must_use]
    pub fn with_scenes(mut self, scenes: usize) -> Self {
        let scenes = (0..scenes).map(scene).chain(["home".into()]);
        let scenes = scenes.map(|scene| (scene.to_string(), json!({})));
        self.tune("engine", "scenes", scenes.collect());
        self
    }

    fn tune(&mut self, section: &str, part: &str, value: serde_json::Value) {
        if let Some(document) = self.tuning.as_object_mut() {
            let section = document.entry(section).or_insert_with(|| json!({}));
            if let Some(section) = section.as_object_mut() {
                section.insert(part.to_owned(), value);
            }
        }
    }

    /// Publishes a generation.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn publish(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let file = self.folder.path().join("built");
        std::fs::write(&file, bytes)?;
        let generations = Generations::new(self.objects.clone());
        generations
            .publish(name, &file, &self.deadline(60_000))
            .await?;
        Ok(())
    }

    /// A deadline from now.
    #[must_use]
    pub fn deadline(&self, ms: u64) -> Deadline {
        Deadline::after(Arc::clone(&self.clock), Duration::from_millis(ms))
    }

    /// A process with the current generation mapped and an empty tier.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn process(&self, shared: Option<Shared>, tier_mib: u64) -> anyhow::Result<Process> {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let dir = self.folder.path().join(format!("mapped-{number}"));
        let clock = Arc::clone(&self.clock);
        let generations = GenerationReader::new(self.objects.clone(), dir, clock);
        let generations = Arc::new(generations);
        generations.refresh(&self.deadline(60_000)).await?;
        let tuning = Arc::new(LiveTuning::default());
        let offered = tuning.offer(&self.tuning.to_string());
        offered.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let (users, tasks) = (Users::new(self.tables.clone()), Tasks::new());
        let catalogue = Catalogue::new(self.tables.clone(), Arc::clone(&self.clock));
        let catalogue = Arc::new(catalogue);
        let breaker = BreakerTuning::default();
        let origin = Origin::new(OriginParts {
            users: users.clone(),
            catalogue: Arc::clone(&catalogue),
            generations: Arc::clone(&generations),
            pipeline: Arc::new(Pipeline::standard()),
            breaker: Breaker::new("users", breaker, Arc::clone(&self.clock)),
            clock: Arc::clone(&self.clock),
            builtin: Vec::new(),
        });
        let tiered = Tiered::new(TieredParts {
            origin,
            shared,
            tuning: Arc::clone(&tuning),
            clock: Arc::clone(&self.clock),
            tasks: tasks.clone(),
            local_bytes_max: tier_mib << 20,
        });
        let parts = recommend::Parts {
            tiered: tiered.clone(),
            catalogue,
            users,
            generations: Arc::clone(&generations),
            tuning,
            upkeep: None,
            outbox: Arc::new(Outbox::new(
                Arc::new(Sink::default()),
                Arc::clone(&self.clock),
            )),
            signer: Signer::ephemeral(7),
            dependencies: Vec::new(),
            clock: Arc::clone(&self.clock),
            seed: 7,
        };
        Ok(Process {
            tiered,
            generations,
            tasks,
            parts,
        })
    }
}

/// The name of a scene of [`Town::with_scenes`].
#[must_use]
pub fn scene(number: usize) -> SmolStr {
    format_smolstr!("scene{number}")
}

/// No limit refuses what a benchmark asks for.
fn unlimited() -> serde_json::Value {
    let rate = json!({"per_second": UNLIMITED, "burst": UNLIMITED});
    json!({"guard": {"limits": {"interface": rate, "user": rate, "region": rate}}})
}

impl Process {
    /// Where its `served` events wait.
    #[must_use]
    pub fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.parts.outbox)
    }

    /// Its routes, with `more` beside them behind the same middleware.
    pub fn serve(self, more: Router) -> Router {
        let clock = Arc::clone(&self.parts.clock);
        let app = recommend::App::new(self.parts);
        let routes = recommend::routes(app).merge(more);
        let shell = Arc::new(web::Shell::new(clock, 7));
        web::host(routes, vec![recommend::openapi()], shell)
    }
}
