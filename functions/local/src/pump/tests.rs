use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use embedded::{EmbeddedStream, EmbeddedTables};
use guard::ManualClock;
use store::{BatchOutcome, Record, StreamRecord};

use super::*;

/// Remembers what it applied; fails a chosen number of batches, from their middle.
#[derive(Default)]
struct Witness {
    applied: Mutex<Vec<(String, u64)>>,
    failures: AtomicUsize,
    panics: AtomicUsize,
}

#[async_trait]
impl Consumer for Witness {
    async fn consume(&self, batch: Vec<StreamRecord>, _deadline: &Deadline) -> BatchOutcome {
        let panics = self
            .panics
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        assert!(panics.is_err(), "told to panic");
        let fails = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        let good = if fails.is_ok() {
            batch.len() / 2
        } else {
            batch.len()
        };
        let mut applied = self.applied.lock().unwrap();
        for record in &batch[..good] {
            applied.push((
                record.position.shard.clone(),
                record.position.sequence.parse().unwrap(),
            ));
        }
        BatchOutcome {
            failed_from: batch.get(good).map(|record| record.position.clone()),
        }
    }
}

struct World {
    parts: Parts,
    deadline: Deadline,
    tasks: Tasks,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(1_700_000_000_000));
        let tables = EmbeddedTables::open(&dir.path().join("tables")).unwrap();
        let parts = Parts {
            stream: Arc::new(EmbeddedStream::open(&dir.path().join("log"), 2).unwrap()),
            control: Arc::new(Control::new(Arc::new(tables), clock.clone())),
            clock: clock.clone(),
        };
        let deadline = Deadline::after(clock, Duration::from_secs(60));
        Self {
            parts,
            deadline,
            tasks: Tasks::new(),
            _dir: dir,
        }
    }

    async fn append(&self, total: usize) {
        let record = |n: usize| Record {
            partition_key: format!("k{n}"),
            data: Bytes::from_static(b"x"),
        };
        let appended = self
            .parts
            .stream
            .append((0..total).map(record).collect(), &self.deadline)
            .await;
        assert!(appended.unwrap().iter().all(Result::is_ok));
    }

    fn start(&self, witness: &Arc<Witness>) -> (Pump, CancellationToken) {
        let stop = CancellationToken::new();
        let consumer: Arc<dyn Consumer> = witness.clone();
        // Only flushes wake it: what is tested is what it applies, not when.
        let every = Duration::from_secs(3_600);
        let route = Route {
            name: "witness",
            consumer,
            records_max: 7,
            every,
        };
        (
            Pump::start(&self.parts, vec![route], &self.tasks, &stop),
            stop,
        )
    }

    async fn stop(&self, stop: &CancellationToken) {
        stop.cancel();
        assert!(
            self.tasks.drain(Duration::from_secs(10)).await,
            "every route ends"
        );
    }
}

impl Witness {
    fn sorted(&self) -> Vec<(String, u64)> {
        let mut applied = self.applied.lock().unwrap().clone();
        let in_order = |shard: &str| {
            applied
                .iter()
                .filter(|(of, _)| of == shard)
                .map(|(_, n)| *n)
                .is_sorted()
        };
        assert!(in_order("shard-000") && in_order("shard-001"));
        applied.sort_unstable();
        applied
    }
}

#[tokio::test]
async fn a_flush_applies_everything_once_and_a_restart_goes_on_behind_it() {
    let (world, witness) = (World::new(), Arc::new(Witness::default()));
    world.append(40).await;
    let (pump, stop) = world.start(&witness);
    pump.flush("witness", &world.deadline).await.unwrap();
    assert_eq!(witness.sorted().len(), 40);
    world.stop(&stop).await;
    world.append(10).await;
    let (pump, stop) = world.start(&witness);
    pump.flush("witness", &world.deadline).await.unwrap();
    let mut applied = witness.sorted();
    applied.dedup();
    assert_eq!(applied.len(), 50, "nothing is lost");
    assert_eq!(witness.sorted().len(), 50, "nothing is applied twice");
    world.stop(&stop).await;
}

#[tokio::test]
async fn a_batch_that_fails_goes_on_from_where_it_failed() {
    let (world, witness) = (World::new(), Arc::new(Witness::default()));
    witness.failures.store(3, Ordering::SeqCst);
    world.append(40).await;
    let (pump, stop) = world.start(&witness);
    let mut flushes = 0;
    while pump.flush("witness", &world.deadline).await.is_err() {
        flushes += 1;
    }
    assert!((1..=3).contains(&flushes), "{flushes}");
    let applied = witness.sorted();
    let mut distinct = applied.clone();
    distinct.dedup();
    assert_eq!((distinct.len(), applied.len()), (40, 40));
    world.stop(&stop).await;
}

#[tokio::test]
async fn a_batch_that_panics_comes_again() {
    let (world, witness) = (World::new(), Arc::new(Witness::default()));
    witness.panics.store(2, Ordering::SeqCst);
    world.append(40).await;
    let (pump, stop) = world.start(&witness);
    // At most one flush per panic fails, and the task goes on.
    let mut flushed = Vec::new();
    for _ in 0..3 {
        flushed.push(pump.flush("witness", &world.deadline).await.is_ok());
    }
    assert_eq!((flushed[0], flushed[2]), (false, true));
    assert_eq!(witness.sorted().len(), 40);
    world.stop(&stop).await;
}

#[tokio::test]
async fn a_prompt_route_needs_no_flush() {
    let (world, witness) = (World::new(), Arc::new(Witness::default()));
    let stop = CancellationToken::new();
    let route = Route::prompt("witness", witness.clone());
    let _pump = Pump::start(&world.parts, vec![route], &world.tasks, &stop);
    world.append(5).await;
    let arrived = async {
        while witness.applied.lock().unwrap().len() < 5 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), arrived)
        .await
        .unwrap();
    world.stop(&stop).await;
}

#[tokio::test]
async fn flushing_what_is_not_there_says_so() {
    let (world, witness) = (World::new(), Arc::new(Witness::default()));
    let (pump, stop) = world.start(&witness);
    let unknown = pump.flush("nobody", &world.deadline).await.unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::NotFound);
    world.stop(&stop).await;
    let stopped = pump.flush("witness", &world.deadline).await.unwrap_err();
    assert_eq!(stopped.kind, ErrorKind::Unavailable);
}
