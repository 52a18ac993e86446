use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use embedded::{EmbeddedObjects, EmbeddedTables};
use engine::Profile;
use guard::{Clock, ManualClock};
use lake::ProfileRow;
use store::SlateKey;

use super::*;

const GENERATION: &str = "2026-11-21.1";
const USERS: u64 = 230;
const PARTS: u32 = 4;

/// A tier that remembers what was stored, and may be killed at a batch.
struct World {
    lake: Lake,
    control: Control,
    clock: Arc<ManualClock>,
    deadline: Deadline,
    stored: Mutex<BTreeMap<SlateKey, usize>>,
    batches: AtomicUsize,
    dies_at: AtomicUsize,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::starting_at(1_700_000_000_000));
        let ticking: Arc<dyn Clock> = clock.clone();
        let objects = Arc::new(EmbeddedObjects::open(&dir.path().join("objects")).unwrap());
        let tables = Arc::new(EmbeddedTables::open(&dir.path().join("tables")).unwrap());
        let deadline = Deadline::after(ticking.clone(), Duration::from_secs(900));
        let lake = Lake::new(objects);
        let day = jiff::civil::date(2026, 11, 21);
        for part in 0..PARTS {
            let of_part = (0..USERS).filter(|n| n % u64::from(PARTS) == u64::from(part));
            let rows = of_part.map(|n| ProfileRow {
                user_id: UserId::parse(&format!("u{n}")).unwrap(),
                profile: Profile::default(),
            });
            lake.write_profiles(day, part, GENERATION, rows.collect(), &deadline)
                .await
                .unwrap();
        }
        Self {
            lake,
            control: Control::new(tables, ticking),
            clock,
            deadline,
            stored: Mutex::default(),
            batches: AtomicUsize::new(0),
            dies_at: AtomicUsize::new(usize::MAX),
            _dir: dir,
        }
    }

    /// Runs as `owner`; a kill leaves the lease taken, as it would.
    async fn run(&self, owner: &str, options: &Options) -> Result<Report, Error> {
        let walk = Walk {
            control: &self.control,
            lake: &self.lake,
            options,
            generation: GENERATION,
            cohorts: 12,
        };
        let lease = self
            .control
            .acquire(&walk.name(), owner, LEASE_LIFE, &self.deadline)
            .await?;
        let busy = || Error::new(ErrorKind::Unavailable, "busy");
        let fill = |asks: Vec<Ask>| -> BoxFuture<'_, _> { Box::pin(self.fill(asks)) };
        walk.run(&mut lease.ok_or_else(busy)?, &fill, &|_| (), &self.deadline)
            .await
    }

    async fn fill(&self, asks: Vec<Ask>) -> Result<FillReport, Error> {
        let batch = self.batches.fetch_add(1, Ordering::SeqCst);
        self.clock.advance(Duration::from_secs(2));
        let mut stored = self.stored.lock().unwrap();
        for ask in &asks {
            *stored.entry(ask.key()).or_default() += 1;
        }
        if batch == self.dies_at.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "killed"));
        }
        Ok(FillReport {
            stored: asks.len(),
            ..FillReport::default()
        })
    }

    fn keys(&self) -> Vec<SlateKey> {
        self.stored.lock().unwrap().keys().copied().collect()
    }

    /// How many slates were stored more than once.
    fn redone(&self) -> usize {
        self.stored
            .lock()
            .unwrap()
            .values()
            .map(|times| times - 1)
            .sum()
    }
}

fn options() -> Options {
    Options {
        batch_size: 10,
        resume: true,
        ..Options::default()
    }
}

/// Everybody's four lists, twelve cohorts, every user.
const ALL: usize = 4 + 12 + USERS as usize;

async fn uninterrupted() -> Vec<SlateKey> {
    let world = World::new().await;
    let report = world.run("one", &options()).await.unwrap();
    assert!(report.done && report.checkpoint.is_none());
    assert_eq!(
        (report.shared, report.personal, report.stored),
        (16, USERS, ALL as u64)
    );
    assert_eq!((world.keys().len(), world.redone()), (ALL, 0));
    world.keys()
}

#[tokio::test]
async fn a_walk_killed_at_37_percent_goes_on_and_redoes_at_most_a_batch() {
    let whole = uninterrupted().await;
    let world = World::new().await;
    world.dies_at.store(ALL * 37 / 100 / 10, Ordering::SeqCst);
    world.run("one", &options()).await.unwrap_err();
    let other = world.run("two", &options()).await.unwrap_err();
    assert_eq!(
        other.kind,
        ErrorKind::Unavailable,
        "the dead one's lease has to run out"
    );
    world.clock.advance(LEASE_LIFE);
    let report = world.run("two", &options()).await.unwrap();
    assert!(report.done);
    assert_eq!(world.keys(), whole);
    assert!(world.redone() <= 10, "{}", world.redone());
    assert!(report.asked() < ALL as u64);
}

#[tokio::test]
async fn of_two_instances_one_walks() {
    let world = World::new().await;
    let asked = options();
    let (one, two) = tokio::join!(world.run("one", &asked), world.run("two", &asked));
    let refused = [&one, &two]
        .into_iter()
        .find_map(|ran| ran.as_ref().err())
        .unwrap();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!([one, two].into_iter().flatten().all(|report| report.done));
    assert_eq!((world.keys(), world.redone()), (uninterrupted().await, 0));
}

#[tokio::test]
async fn a_corrupt_checkpoint_costs_the_work_done_and_nothing_more() {
    for junk in [&b"{\"generation\":"[..], b"", b"\xff\xff"] {
        let world = World::new().await;
        world.dies_at.store(9, Ordering::SeqCst);
        world.run("one", &options()).await.unwrap_err();
        world
            .control
            .save_checkpoint("preload/local", junk, &world.deadline)
            .await
            .unwrap();
        let report = world.run("one", &options()).await.unwrap();
        assert_eq!((report.done, report.asked()), (true, ALL as u64));
        assert_eq!(world.keys(), uninterrupted().await);
    }
}

#[tokio::test]
async fn a_walk_hands_over_before_its_deadline_and_the_next_ends_it() {
    let mut world = World::new().await;
    let (mut runs, mut asked) = (0, 0);
    loop {
        let ticking: Arc<dyn Clock> = world.clock.clone();
        world.deadline = Deadline::after(ticking, Duration::from_secs(30));
        let report = world.run("one", &options()).await.unwrap();
        assert!(
            !world.deadline.expired(),
            "handed over before, not at, the end"
        );
        (runs, asked) = (runs + 1, asked + report.asked());
        assert_eq!(report.checkpoint.is_none(), report.done);
        if report.done {
            break;
        }
    }
    assert!(runs > 2, "{runs}");
    assert_eq!((asked, world.redone()), (ALL as u64, 0));
    assert_eq!(world.keys(), uninterrupted().await);
}

#[tokio::test]
async fn whoever_lost_the_lease_does_not_move_the_checkpoint() {
    let world = World::new().await;
    let walk = "preload/local";
    let stalled = Options {
        batch_size: 100,
        ..options()
    };
    let fill = |asks: Vec<Ask>| -> BoxFuture<'_, _> {
        // Another takes over while the first is at its first batch.
        let asked = asks.len();
        let world = &world;
        Box::pin(async move {
            world.clock.advance(LEASE_LIFE);
            let taken = world
                .control
                .acquire(walk, "two", LEASE_LIFE, &world.deadline)
                .await?;
            assert!(taken.is_some());
            Ok(FillReport {
                stored: asked,
                ..FillReport::default()
            })
        })
    };
    let lease = world
        .control
        .acquire(walk, "one", LEASE_LIFE, &world.deadline)
        .await
        .unwrap();
    let first = Walk {
        control: &world.control,
        lake: &world.lake,
        options: &stalled,
        generation: GENERATION,
        cohorts: 12,
    };
    let ran = first
        .run(&mut lease.unwrap(), &fill, &|_| (), &world.deadline)
        .await;
    assert_eq!(ran.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(
        world
            .control
            .checkpoint(walk, &world.deadline)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_tier_that_takes_nothing_ends_the_run() {
    let world = World::new().await;
    let walk = Walk {
        control: &world.control,
        lake: &world.lake,
        options: &options(),
        generation: GENERATION,
        cohorts: 12,
    };
    let mut lease = world
        .control
        .acquire("preload/local", "one", LEASE_LIFE, &world.deadline)
        .await
        .unwrap()
        .unwrap();
    let fill = |asks: Vec<Ask>| -> BoxFuture<'_, _> {
        Box::pin(async move {
            Ok(FillReport {
                failed: asks.len(),
                ..FillReport::default()
            })
        })
    };
    let ran = walk.run(&mut lease, &fill, &|_| (), &world.deadline).await;
    assert_eq!(ran.unwrap_err().kind, ErrorKind::Unavailable);
}
