//! A process that serves, on stores in memory: what its requests cost is ours alone.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use embedded::EmbeddedObjects;
use engine::{Event, Pipeline, UserState};
use guard::{Breaker, BreakerTuning, Clock, Deadline, Tasks};
use ops::RealClock;
use serde_json::json;
use smol_str::{SmolStr, format_smolstr};
use store::{
    Catalogue, Change, Error, Expect, GenerationReader, Generations, LiveTuning, Origin,
    OriginParts, Outbox, Position, Read, Record, Row, ScanPage, Shared, Stream, StreamRecord,
    Table, Tables, Tiered, TieredParts, Users, Write, Written, apply_event,
};
use web::Signer;

use crate::world;

/// A rate that no benchmark reaches.
const UNLIMITED: u32 = 1_000_000;

/// Rows in memory, counted.
#[derive(Default)]
pub struct Rows {
    rows: RwLock<HashMap<(Table, String), Row>>,
    /// Calls of `load`.
    pub loads: AtomicU64,
    /// The largest row that was read, in bytes.
    pub bytes_max: AtomicU64,
    newcomers: RwLock<Newcomers>,
}

/// Users who exist without a row of their own: each has one of these.
#[derive(Default)]
struct Newcomers {
    numbers: Range<usize>,
    rows: Vec<Row>,
}

/// A stream that takes everything.
#[derive(Default)]
pub struct Sink {
    taken: Mutex<u64>,
}

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
        self.tuning["engine"]["budgets"] = json!({"request_ms": 10_000, "recall_ms": 10_000});
        self.tuning["store"]["budgets"] = json!({"redis_ms": 1_000, "load_ms": 10_000});
        self
    }

    /// The same town with so many tuned scenes beside `home`, each as `home` is: one that is not
    /// tuned would be served like it, under its key.
    #[must_use]
    pub fn with_scenes(mut self, scenes: usize) -> Self {
        let scenes = (0..scenes).map(scene).chain(["home".into()]);
        let scenes = scenes.map(|scene| (scene.to_string(), json!({})));
        self.tuning["engine"]["scenes"] = scenes.collect::<serde_json::Map<_, _>>().into();
        self
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

impl Rows {
    fn newcomers(&self) -> RwLockWriteGuard<'_, Newcomers> {
        let newcomers = &self.newcomers;
        newcomers.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn newcomer(&self, id: &str) -> Option<Row> {
        let newcomers = &self.newcomers;
        let newcomers = newcomers.read().unwrap_or_else(PoisonError::into_inner);
        let number = id.strip_prefix("user-")?.parse().ok()?;
        let known = newcomers.numbers.contains(&number);
        let rows = known.then_some(&newcomers.rows)?;
        rows.get(number % rows.len().max(1)).cloned()
    }

    fn apply(&self, table: Table, write: Write) -> Written {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let key = (table, write.id);
        let now = rows.get(&key).map(|row| row.version);
        let holds = match write.expect {
            Expect::Any => true,
            Expect::Absent => now.is_none(),
            Expect::Version(version) => now == Some(version),
        };
        if !holds {
            return Written::Conflict;
        }
        let version = now.unwrap_or(0) + 1;
        match write.change {
            Change::Put { bytes, .. } => {
                rows.insert(key, Row { bytes, version });
                Written::Done(version)
            }
            Change::Delete => {
                rows.remove(&key);
                Written::Done(0)
            }
        }
    }
}

#[async_trait]
impl Tables for Rows {
    async fn load(
        &self,
        table: Table,
        ids: &[String],
        _: Read,
        _: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Option<Row>> = ids
            .iter()
            .map(|id| rows.get(&(table, id.clone())).cloned())
            .collect();
        if table == Table::Users {
            for (row, id) in found.iter_mut().zip(ids) {
                *row = row.take().or_else(|| self.newcomer(id));
            }
            self.loads.fetch_add(1, Ordering::Relaxed);
            let largest = found
                .iter()
                .flatten()
                .map(|row| row.bytes.len() as u64)
                .max();
            self.bytes_max
                .fetch_max(largest.unwrap_or(0), Ordering::Relaxed);
        }
        Ok(found)
    }

    async fn write(
        &self,
        table: Table,
        writes: Vec<Write>,
        _: &Deadline,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        Ok(writes
            .into_iter()
            .map(|write| Ok(self.apply(table, write)))
            .collect())
    }

    async fn scan(
        &self,
        table: Table,
        after: Option<String>,
        limit: usize,
        _: &Deadline,
    ) -> Result<ScanPage, Error> {
        let after = after.unwrap_or_default();
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let behind: BTreeMap<&String, &Row> = rows
            .iter()
            .filter(|((of, id), _)| *of == table && *id > after)
            .map(|((_, id), row)| (id, row))
            .collect();
        let page = behind.into_iter().take(limit);
        let rows: Vec<(String, Row)> = page.map(|(id, row)| (id.clone(), row.clone())).collect();
        let next = rows
            .last()
            .filter(|_| rows.len() == limit)
            .map(|(id, _)| id.clone());
        Ok(ScanPage { rows, next })
    }
}

#[async_trait]
impl Stream for Sink {
    async fn append(
        &self,
        records: Vec<Record>,
        _: &Deadline,
    ) -> Result<Vec<Result<Position, Error>>, Error> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let positions = records.iter().map(|_| {
            *taken += 1;
            Ok(Position {
                shard: "0".to_owned(),
                sequence: taken.to_string(),
            })
        });
        Ok(positions.collect())
    }

    async fn shards(&self, _: &Deadline) -> Result<Vec<String>, Error> {
        Ok(vec!["0".to_owned()])
    }

    async fn read(
        &self,
        _: &str,
        _: Option<&str>,
        _: usize,
        _: &Deadline,
    ) -> Result<Vec<StreamRecord>, Error> {
        Ok(Vec::new())
    }
}
