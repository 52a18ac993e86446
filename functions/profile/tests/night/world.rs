//! A night's stores in a folder, and objects that die at a chosen write.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use embedded::{EmbeddedObjects, EmbeddedTables};
use engine::event::Made;
use engine::{Event, EventKind, Index, Profile, UserId, UserState, Video, VideoId};
use guard::{Clock, Deadline, ManualClock};
use jiff::civil::Date;
use lake::{Lake, LakeRow};
use profile::{Job, Options, Parts};
use store::{
    Catalogue, Control, Error, ErrorKind, GenerationReader, Generations, ObjectMeta, Objects, Read,
    Tables, Users,
};

pub const DAY_MS: i64 = 24 * 3_600_000;
/// 2026-11-20, midnight.
pub const FIRST_MS: i64 = 1_795_132_800_000;

/// Objects whose owner is killed at a chosen write.
pub struct Mortal {
    inner: EmbeddedObjects,
    lives: AtomicI64,
}

impl Mortal {
    pub fn dies_at(&self, n: i64) {
        self.lives.store(n, Ordering::SeqCst);
    }

    pub fn is_dead(&self) -> bool {
        self.lives.load(Ordering::SeqCst) <= 0
    }

    fn spend(&self) -> Result<(), Error> {
        if self.lives.fetch_sub(1, Ordering::SeqCst) > 1 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, "killed"))
    }
}

#[async_trait]
impl Objects for Mortal {
    async fn put(&self, key: &str, bytes: Bytes, deadline: &Deadline) -> Result<(), Error> {
        self.spend()?;
        self.inner.put(key, bytes, deadline).await
    }
    async fn put_file(&self, key: &str, file: &Path, deadline: &Deadline) -> Result<(), Error> {
        self.spend()?;
        self.inner.put_file(key, file, deadline).await
    }
    async fn get(&self, key: &str, bytes_max: u64, deadline: &Deadline) -> Result<Bytes, Error> {
        self.inner.get(key, bytes_max, deadline).await
    }
    async fn fetch(&self, key: &str, file: &Path, deadline: &Deadline) -> Result<(), Error> {
        self.inner.fetch(key, file, deadline).await
    }
    async fn list(&self, prefix: &str, deadline: &Deadline) -> Result<Vec<ObjectMeta>, Error> {
        self.inner.list(prefix, deadline).await
    }
    async fn delete(&self, keys: &[String], deadline: &Deadline) -> Result<(), Error> {
        self.inner.delete(keys, deadline).await
    }
}

pub struct World {
    pub objects: Arc<Mortal>,
    pub lake: Arc<Lake>,
    pub users: Arc<Users>,
    pub control: Arc<Control>,
    pub reader: GenerationReader,
    pub generations: Arc<Generations>,
    pub clock: Arc<ManualClock>,
    pub deadline: Deadline,
    parts: Parts,
    _dir: tempfile::TempDir,
}

impl World {
    /// Stores with 30 videos, at noon of the third day.
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::starting_at(FIRST_MS + 2 * DAY_MS + DAY_MS / 2));
        let ticking: Arc<dyn Clock> = clock.clone();
        let tables: Arc<dyn Tables> =
            Arc::new(EmbeddedTables::open(&dir.path().join("tables")).unwrap());
        let inner = EmbeddedObjects::open(&dir.path().join("objects")).unwrap();
        let objects = Arc::new(Mortal {
            inner,
            lives: AtomicI64::new(i64::MAX),
        });
        let kept: Arc<dyn Objects> = objects.clone();
        let lake = Arc::new(Lake::new(kept.clone()));
        let users = Arc::new(Users::new(tables.clone()));
        let catalogue = Arc::new(Catalogue::new(tables.clone(), ticking.clone()));
        let generations = Arc::new(Generations::new(kept.clone()));
        let control = Arc::new(Control::new(tables, ticking.clone()));
        let reader = GenerationReader::new(
            kept.clone(),
            dir.path().join("generations"),
            ticking.clone(),
        );
        let deadline = Deadline::after(ticking.clone(), Duration::from_secs(600));
        catalogue.put(videos(), &deadline).await.unwrap();
        let parts = Parts {
            lake: lake.clone(),
            catalogue,
            users: users.clone(),
            generations: generations.clone(),
            objects: kept,
            control: control.clone(),
            work_dir: dir.path().join("work"),
            owner: "test".to_owned(),
            clock: ticking,
        };
        Self {
            objects,
            lake,
            users,
            control,
            reader,
            generations,
            clock,
            deadline,
            parts,
            _dir: dir,
        }
    }

    pub fn work_dir(&self) -> &Path {
        &self.parts.work_dir
    }

    pub fn job(&self) -> Job {
        self.job_with(Options::default())
    }

    pub fn job_with(&self, options: Options) -> Job {
        Job::new(self.parts.clone(), options)
    }

    /// A day on which everybody is shown every video and watches one category long, mostly.
    pub async fn shown(&self, day: i64, sequence: u64) {
        self.shown_by(None, day, sequence).await;
    }

    /// The same, and a generation is named that served it.
    pub async fn shown_by(&self, generation: Option<&str>, day: i64, sequence: u64) {
        let made = generation.and_then(|name| Made::new(name, Made::CERTAIN_PPB));
        let events = (0..600).flat_map(|n: usize| {
            let watched = watch(n, (n / 30) as u64, day);
            let long = (n % 2 == (n / 30) % 2) != n.is_multiple_of(7);
            let told = Event {
                video_id: video(n % 30),
                watch_ms: Some(if long { 19_000 } else { 500 }),
                ..watched
            };
            let met = Event {
                kind: EventKind::Impression,
                event_id: format!("d{day}i{n}").into(),
                watch_ms: None,
                recommendation_id: format!("d{day}s{n}").into(),
                ..told.clone()
            };
            let served = made.clone().map(|made| Event {
                kind: EventKind::Served,
                event_id: format!("d{day}s{n}").into(),
                made: Some(made),
                ..met.clone()
            });
            [Some(met), Some(told), served].into_iter().flatten()
        });
        let row = |(n, event): (u32, Event)| LakeRow {
            event,
            shard: "shard-000".into(),
            sequence: sequence.to_string().into(),
            index: n,
        };
        let rows = (0..).zip(events).map(row).collect();
        self.lake.write(rows, &self.deadline).await.unwrap();
    }

    /// A day of `total` watches by 20 users, in one object named by `sequence`.
    pub async fn day(&self, day: i64, total: usize, sequence: u64) -> Vec<LakeRow> {
        let row = |n: usize| LakeRow {
            event: watch(n, (n % 20) as u64, day),
            shard: "shard-000".into(),
            sequence: sequence.to_string().into(),
            index: n as u32,
        };
        let rows: Vec<LakeRow> = (0..total).map(row).collect();
        self.lake.write(rows.clone(), &self.deadline).await.unwrap();
        rows
    }

    /// Opens a generation by name, and the profiles of its day.
    pub async fn past(&self, name: &str, day: i64) -> (Arc<Index>, Vec<(UserId, Profile)>) {
        let files = self.lake.profile_files(date(day), &self.deadline).await;
        let mut profiles = Vec::new();
        for file in files.unwrap() {
            let rows = self.lake.open_profiles(&file.key, &self.deadline).await;
            let rows = rows.unwrap().flat_map(Result::unwrap);
            profiles.extend(rows.map(|row| (row.user_id, row.profile)));
        }
        let index = self.reader.open(name, &self.deadline).await.unwrap();
        (index, profiles)
    }

    /// Everything in the lake.
    pub async fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for day in self.lake.days(&self.deadline).await.unwrap() {
            for file in self.lake.files(day, &self.deadline).await.unwrap() {
                let rows = self.lake.open(&file.key, &self.deadline).await.unwrap();
                events.extend(rows.flat_map(Result::unwrap).map(|row| row.event));
            }
        }
        events
    }

    pub async fn pointer(&self) -> Option<String> {
        let pointer = self.generations.pointer(&self.deadline).await.unwrap();
        pointer.map(|pointer| pointer.generation.to_string())
    }

    pub async fn user(&self, n: u64) -> UserState {
        let states = self
            .users
            .load(&[user(n)], Read::Consistent, &self.deadline)
            .await
            .unwrap();
        states.into_iter().next().unwrap().unwrap_or_default()
    }
}

/// The catalogue.
pub fn videos() -> Vec<Video> {
    let film = |n: usize| Video {
        categories: vec![
            if n.is_multiple_of(2) {
                "music"
            } else {
                "sport"
            }
            .into(),
        ],
        duration_ms: 20_000,
        ..Video::new(video(n))
    };
    (0..30).map(film).collect()
}

pub fn date(day: i64) -> Date {
    jiff::civil::date(2026, 11, 20).saturating_add(jiff::Span::new().days(day))
}

pub fn user(n: u64) -> UserId {
    UserId::parse(&format!("u{n}")).unwrap()
}

pub fn video(n: usize) -> VideoId {
    VideoId::parse(&format!("v{n}")).unwrap()
}

pub fn watch(n: usize, by: u64, day: i64) -> Event {
    Event {
        event_id: format!("d{day}e{n}").into(),
        kind: EventKind::Watch,
        user_id: user(by),
        video_id: video((n * 7 + by as usize) % 30),
        ts_ms: FIRST_MS + day * DAY_MS + n as i64,
        watch_ms: Some(19_000),
        duration_ms: Some(20_000),
        scene: "home".into(),
        market: "".into(),
        creator_id: None,
        undo: false,
        recommendation_id: "".into(),
        slate_position: None,
        arms: "".into(),
        made: None,
    }
}
