//! Users, a catalogue and generations in memory, and processes that serve from them.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use engine::pipeline::Prepared;
use engine::source::trending::TrendingSource;
use engine::source::{Proposals, Source};
use engine::{EventKind, Interaction, Pipeline, Profile, ReasonKind, UserState, Video, VideoId};
use guard::{Breaker, BreakerTuning, Now};
use learn::{BuildOptions, GenerationBuilder};
use tokio::time::Instant;

use super::*;
use crate::ask::Kind;
use crate::catalogue::Catalogue;
use crate::generation::{GenerationReader, Generations};
use crate::origin::OriginParts;
use crate::ports::{Read, Row, ScanPage, Table, Tables, Write, Written};
use crate::testing::{MemoryObjects, MemoryTables, NOW_MS, event, user, video};
use crate::users::Users;
use crate::{Error, ErrorKind};

pub const VIDEOS: usize = 260;

/// Follows tokio's clock, paused or not; its wall clock can be moved.
#[derive(Debug)]
pub struct TestClock {
    start: Instant,
    stepped_ms: AtomicI64,
}

impl TestClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock of these tests"
    )]
    fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            stepped_ms: AtomicI64::new(0),
        })
    }

    /// Moves the wall clock only, as a freeze does.
    pub fn step_wall_ms(&self, by: i64) {
        self.stepped_ms.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        let mono = self.start.elapsed();
        let passed_ms = i64::try_from(mono.as_millis()).unwrap();
        Now {
            mono,
            wall_ms: NOW_MS + passed_ms + self.stepped_ms.load(Ordering::SeqCst),
        }
    }
}

/// Tables whose users are slow or down when told to, and counted.
#[derive(Default)]
pub struct TestTables {
    inner: MemoryTables,
    pub delay_ms: AtomicU64,
    pub down: AtomicBool,
    pub user_reads: AtomicUsize,
}

#[async_trait]
impl Tables for TestTables {
    async fn load(
        &self,
        table: Table,
        ids: &[String],
        read: Read,
        deadline: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error> {
        if table == Table::Users {
            self.user_reads.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(self.delay_ms.load(Ordering::SeqCst))).await;
            if self.down.load(Ordering::SeqCst) {
                return Err(Error::new(ErrorKind::Unavailable, "load users"));
            }
        }
        self.inner.load(table, ids, read, deadline).await
    }

    async fn write(
        &self,
        table: Table,
        writes: Vec<Write>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        self.inner.write(table, writes, deadline).await
    }

    async fn scan(
        &self,
        table: Table,
        after: Option<String>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<ScanPage, Error> {
        self.inner.scan(table, after, limit, deadline).await
    }
}

/// The trending source, counted, and panicking when told to: it takes part in every recipe that
/// these tests use.
#[derive(Clone, Default)]
pub struct Watched {
    pub runs: Arc<AtomicUsize>,
    pub panics: Arc<AtomicBool>,
    pub delay_ms: Arc<AtomicU64>,
}

#[async_trait]
impl Source for Watched {
    fn name(&self) -> &'static str {
        "trending"
    }

    fn reason(&self) -> ReasonKind {
        ReasonKind::Trending
    }

    async fn propose(&self, asked: &Prepared<'_>) -> Proposals {
        self.runs.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.load(Ordering::SeqCst), "told to panic");
        let delay_ms = self.delay_ms.load(Ordering::SeqCst);
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        TrendingSource.propose(asked).await
    }
}

/// What all processes share.
pub struct World {
    pub clock: Arc<TestClock>,
    pub tables: Arc<TestTables>,
    pub objects: Arc<MemoryObjects>,
    pub users: Users,
    dir: tempfile::TempDir,
    processes: AtomicUsize,
}

/// One process with its own local tier.
pub struct Process {
    pub tiered: Tiered,
    pub generations: Arc<GenerationReader>,
    pub tasks: Tasks,
    pub source: Watched,
}

impl World {
    /// A world with the generation `2026-01-01.1`.
    pub async fn new() -> Self {
        let world = Self::without_index();
        world.publish("2026-01-01.1").await;
        world
    }

    pub fn without_index() -> Self {
        let tables = Arc::new(TestTables::default());
        Self {
            clock: TestClock::new(),
            users: Users::new(tables.clone()),
            tables,
            objects: Arc::default(),
            dir: tempfile::tempdir().unwrap(),
            processes: AtomicUsize::new(0),
        }
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    pub fn deadline(&self, ms: u64) -> Deadline {
        Deadline::after(self.clock(), Duration::from_millis(ms))
    }

    pub async fn process(&self, shared: Option<Shared>) -> Process {
        self.process_tuned(shared, "{}").await
    }

    /// A process under this document.
    pub async fn process_tuned(&self, shared: Option<Shared>, document: &str) -> Process {
        let number = self.processes.fetch_add(1, Ordering::SeqCst);
        let dir = self.dir.path().join(format!("process-{number}"));
        let generations = Arc::new(GenerationReader::new(
            self.objects.clone(),
            dir,
            self.clock(),
        ));
        generations.refresh(&self.deadline(60_000)).await.unwrap();
        let (tasks, source, tuning) = (
            Tasks::new(),
            Watched::default(),
            Arc::<LiveTuning>::default(),
        );
        tuning.offer(document).unwrap();
        let mut pipeline = Pipeline::standard();
        assert!(pipeline.set_source(Box::new(source.clone())));
        let origin = Origin::new(OriginParts {
            users: self.users.clone(),
            catalogue: Arc::new(Catalogue::new(self.tables.clone(), self.clock())),
            generations: Arc::clone(&generations),
            pipeline: Arc::new(pipeline),
            breaker: Breaker::new("users", BreakerTuning::default(), self.clock()),
            clock: self.clock(),
            builtin: vec![video("b1"), video("b2")],
        });
        let tiered = Tiered::new(TieredParts {
            origin,
            shared,
            tuning,
            clock: self.clock(),
            tasks: tasks.clone(),
            local_bytes_max: LOCAL_BYTES_MAX,
        });
        Process {
            tiered,
            generations,
            tasks,
            source,
        }
    }

    /// Publishes a generation made of 260 videos in three categories and 30 users who each like
    /// one of them.
    pub async fn publish(&self, generation: &str) {
        let mut built = build(generation);
        let file = self.dir.path().join(format!("{generation}.build"));
        built.write_to(&file).unwrap();
        let generations = Generations::new(self.objects.clone());
        generations
            .publish(generation, &file, &self.deadline(60_000))
            .await
            .unwrap();
    }

    /// Changes a user's state as a consumer of the stream would; returns the version.
    pub async fn change(&self, name: &str, change: impl Fn(&mut UserState) + Send + Sync) -> u64 {
        let (user, deadline) = (user(name), self.deadline(10_000));
        let changing = self.users.update(&user, &deadline, |state| {
            change(state);
            true
        });
        let version = changing.await.unwrap();
        self.tables.user_reads.store(0, Ordering::SeqCst);
        version
    }

    pub async fn watched(&self, name: &str, videos: &[usize]) -> u64 {
        self.change(name, |state| {
            state.recent.extend(videos.iter().map(|number| Interaction {
                video_id: v(*number),
                kind: EventKind::Like,
                ts_ms: NOW_MS - 1_000 + i64::try_from(*number).unwrap(),
                watch_ratio: 1.0,
            }));
        })
        .await
    }

    pub fn user_reads(&self) -> usize {
        self.tables.user_reads.load(Ordering::SeqCst)
    }

    pub fn down(&self, down: bool) {
        self.tables.down.store(down, Ordering::SeqCst);
    }

    pub fn slow(&self, ms: u64) {
        self.tables.delay_ms.store(ms, Ordering::SeqCst);
    }
}

impl Process {
    pub async fn ask(&self, ask: Ask, world: &World) -> Answer {
        self.tiered.slate(ask, &world.deadline(200)).await
    }

    /// Waits until every detached load and write is done.
    pub async fn settle(&self) {
        assert!(
            self.tasks.drain(Duration::from_secs(5)).await,
            "something still runs"
        );
    }

    pub fn runs(&self) -> usize {
        self.source.runs.load(Ordering::SeqCst)
    }
}

pub fn v(number: usize) -> VideoId {
    video(&format!("v{number}"))
}

pub fn by(name: &str) -> Ask {
    Ask::new(Who::User(user(name)), Kind::Recommend)
}

pub fn anyone() -> Ask {
    Ask::new(Who::Anyone, Kind::Recommend)
}

pub fn ids(answer: &Answer) -> Vec<&str> {
    answer
        .slate
        .items
        .iter()
        .map(|item| item.video_id.as_str())
        .collect()
}

pub fn has_cause(answer: &Answer, cause: &str) -> bool {
    answer.slate.degraded.iter().any(|known| known == cause)
}

/// A profile that somebody in the generation has.
pub fn profile() -> Profile {
    let built = build("2026-01-01.1");
    Profile {
        long_term: Vec::new(),
        ..built.profiles[0].1.clone()
    }
}

fn build(generation: &str) -> learn::Built {
    let options = BuildOptions {
        cohort_users_min: 3,
        ..BuildOptions::new(generation, NOW_MS)
    };
    let mut builder = GenerationBuilder::new(options);
    for number in 0..VIDEOS {
        let categories = vec![format!("c{}", number % 3).into()];
        builder
            .add_video(&Video {
                categories,
                ..Video::new(v(number))
            })
            .unwrap();
    }
    for fan in 0..30 {
        for step in 0..12 {
            let liked = (fan % 3) + 3 * ((fan / 3 + step * (step + 1) / 2) % (VIDEOS / 3));
            let ts_ms = NOW_MS - 86_400_000 + i64::try_from(step * 60_000).unwrap();
            let like = event(
                EventKind::Like,
                &format!("fan{fan}"),
                v(liked).as_str(),
                ts_ms,
            );
            builder.add_event(&like).unwrap();
        }
    }
    builder.finish().unwrap()
}
