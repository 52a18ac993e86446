//! The whole job over the embedded adapters: which generation it walks, and when the pointer moves.

use std::path::Path;
use std::sync::Mutex;

use embedded::{Durability, EmbeddedObjects, EmbeddedStream, EmbeddedTables};
use engine::{Event, EventKind, UserId, Video, VideoId};
use guard::{ManualClock, Tasks};
use learn::{BuildOptions, GenerationBuilder};
use store::{Ask, Kind, Ports, Serving, ServingSettings, TierOutcome, Who};

use super::*;

const NOW_MS: i64 = 1_760_000_000_000;
const OLD: &str = "2025-10-08.1";
const NEW: &str = "2025-10-09.1";

struct House {
    dir: tempfile::TempDir,
    serving: Serving,
    published: Generations,
    job: Job,
    clock: Arc<dyn Clock>,
}

impl House {
    /// A house that serves from [`OLD`].
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(NOW_MS));
        let at = |name: &str| dir.path().join(name);
        let tables = EmbeddedTables::open_with(&at("tables"), Durability::Buffered).unwrap();
        let ports = Ports {
            tables: Arc::new(tables),
            stream: Arc::new(EmbeddedStream::open(&at("stream"), 2).unwrap()),
            objects: Arc::new(EmbeddedObjects::open(&at("objects")).unwrap()),
        };
        let published = Generations::new(Arc::clone(&ports.objects));
        let deadline = Deadline::after(Arc::clone(&clock), Duration::from_secs(60));
        let old = build(dir.path(), OLD);
        published.publish(OLD, &old, &deadline).await.unwrap();
        let settings = ServingSettings {
            index_dir: at("index"),
            tuning: None,
            local_tier_mib: 16,
            builtin: None,
            redis: None,
        };
        let tasks = Tasks::new();
        let opening = Serving::open(ports.clone(), &settings, &clock, &tasks, &tasks, &deadline);
        let serving = opening.await.unwrap();
        let job = Job::new(Parts {
            tiered: Arc::new(serving.tiered.clone()),
            generations: Arc::clone(&serving.generations),
            published: published.clone(),
            lake: Arc::new(Lake::new(ports.objects)),
            control: Arc::new(Control::new(ports.tables, Arc::clone(&clock))),
            owner: "test".to_owned(),
            clock: Arc::clone(&clock),
        });
        Self {
            dir,
            serving,
            published,
            job,
            clock,
        }
    }

    fn deadline(&self, budget: Duration) -> Deadline {
        Deadline::after(Arc::clone(&self.clock), budget)
    }

    async fn announce(&self) {
        let deadline = self.deadline(Duration::from_secs(60));
        let file = build(self.dir.path(), NEW);
        let staged = self.published.stage(NEW, &file, &deadline).await.unwrap();
        self.published.announce(&staged, &deadline).await.unwrap();
    }

    /// Where the pointer is, read without waiting.
    fn pointer(&self) -> String {
        let file = self.dir.path().join("objects/index/current.json");
        std::fs::read_to_string(file).unwrap()
    }

    async fn run(&self, budget: Duration) -> (Report, Vec<String>) {
        let seen = Mutex::new(Vec::new());
        let progress = |_: Progress| seen.lock().unwrap().push(self.pointer());
        let options = Options {
            resume: true,
            ..Options::default()
        };
        let deadline = self.deadline(budget);
        let ran = self.job.run(&options, &progress, &deadline);
        let report = ran.await.unwrap();
        (report, seen.into_inner().unwrap())
    }
}

fn build(dir: &Path, generation: &str) -> std::path::PathBuf {
    let options = BuildOptions {
        cohort_users_min: 3,
        ..BuildOptions::new(generation, NOW_MS)
    };
    let mut builder = GenerationBuilder::new(options);
    let video = |n: usize| VideoId::parse(&format!("v{n}")).unwrap();
    for n in 0..60 {
        let categories = vec![format!("c{}", n % 3).into()];
        let listed = Video {
            categories,
            ..Video::new(video(n))
        };
        builder.add_video(&listed).unwrap();
    }
    for n in 0..300 {
        let liked = Event {
            event_id: format!("e{n}").into(),
            kind: EventKind::Like,
            user_id: UserId::parse(&format!("u{}", n % 30)).unwrap(),
            video_id: video((n % 3) + 3 * (n / 15)),
            ts_ms: NOW_MS - 86_400_000 + n as i64,
            watch_ms: None,
            duration_ms: None,
            scene: "home".into(),
            market: "".into(),
            creator_id: None,
            undo: false,
            recommendation_id: "".into(),
            slate_position: None,
            arms: "".into(),
            made: None,
        };
        builder.add_event(&liked).unwrap();
    }
    let file = dir.join(format!("{generation}.built"));
    builder.finish().unwrap().write_to(&file).unwrap();
    file
}

#[tokio::test]
async fn the_pointer_moves_when_the_slates_of_the_new_generation_are_there() {
    let house = House::new().await;
    let (report, _) = house.run(Duration::from_secs(600)).await;
    assert_eq!((report.done, report.generation.as_str()), (true, OLD));
    house.announce().await;

    let (report, meanwhile) = house.run(Duration::from_secs(600)).await;
    assert_eq!((report.done, report.generation.as_str()), (true, NEW));
    assert!(!meanwhile.is_empty());
    assert!(meanwhile.iter().all(|pointer| pointer.contains(OLD)));
    assert!(house.pointer().contains(NEW));
    let ask = Ask::new(Who::Anyone, Kind::Recommend);
    let deadline = house.deadline(Duration::from_secs(5));
    let answer = house.serving.tiered.slate(ask, &deadline).await;
    assert_eq!(
        (answer.outcome, answer.slate.generation.as_str()),
        (TierOutcome::LocalHit, NEW)
    );
    assert!(!house.serving.generations.refresh(&deadline).await.unwrap());
}

#[tokio::test]
async fn a_run_that_hands_over_leaves_the_pointer_to_the_next_one() {
    let house = House::new().await;
    house.announce().await;
    let (cut, _) = house.run(HANDOVER_RESERVE / 2).await;
    assert!(!cut.done);
    assert!(house.pointer().contains(OLD));
    let (rest, _) = house.run(Duration::from_secs(600)).await;
    assert_eq!((rest.done, rest.generation.as_str()), (true, NEW));
    assert!(house.pointer().contains(NEW));
}

#[tokio::test]
async fn a_generation_that_cannot_be_opened_is_not_pointed_to() {
    let house = House::new().await;
    house.announce().await;
    let file = format!("objects/index/{NEW}/index.bin");
    std::fs::write(house.dir.path().join(file), b"damaged").unwrap();
    let deadline = house.deadline(Duration::from_secs(60));
    let ran = house.job.run(&Options::default(), &|_| (), &deadline).await;
    assert_eq!(ran.unwrap_err().kind, ErrorKind::Corrupt);
    assert!(house.pointer().contains(OLD));
    let serves = house.serving.generations.current().unwrap();
    assert_eq!(serves.generation(), OLD);
}
