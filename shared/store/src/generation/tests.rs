use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use engine::{Video, VideoId};
use guard::ManualClock;
use learn::{BuildOptions, GenerationBuilder};
use tempfile::TempDir;

use super::*;
use crate::testing::{MemoryObjects, NOW_MS, clock, deadline};

mod next;

struct House {
    objects: Arc<MemoryObjects>,
    clock: Arc<ManualClock>,
    deadline: Deadline,
    folder: TempDir,
}

impl House {
    fn new() -> Self {
        let clock = clock();
        let (deadline, folder) = (deadline(&clock), tempfile::tempdir().unwrap());
        Self {
            objects: Arc::default(),
            clock,
            deadline,
            folder,
        }
    }

    fn generations(&self) -> Generations {
        Generations::new(self.objects.clone())
    }

    /// A reader with a folder of its own; the same name is the same folder.
    fn reader(&self, name: &str) -> GenerationReader {
        let dir = self.folder.path().join(name);
        GenerationReader::new(self.objects.clone(), dir, self.clock.clone())
    }

    fn local_files(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join(name)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    async fn publish(&self, generation: &str) -> Result<Manifest, Error> {
        self.publish_bytes(generation, &built(generation)).await
    }

    async fn publish_bytes(&self, generation: &str, bytes: &[u8]) -> Result<Manifest, Error> {
        let file = self.folder.path().join("built");
        std::fs::write(&file, bytes).unwrap();
        self.generations()
            .publish(generation, &file, &self.deadline)
            .await
    }

    fn damage(&self, key: &str, damage: impl Fn(&mut Vec<u8>)) {
        let mut kept = self.objects.kept.lock().unwrap();
        let mut bytes = kept[key].to_vec();
        damage(&mut bytes);
        kept.insert(key.to_owned(), Bytes::from(bytes));
    }
}

fn built(generation: &str) -> Vec<u8> {
    let number = generation.bytes().map(i64::from).sum::<i64>();
    let mut builder = GenerationBuilder::new(BuildOptions::new(generation, NOW_MS + number));
    for name in ["v1", "v2"] {
        builder
            .add_video(&Video::new(VideoId::parse(name).unwrap()))
            .unwrap();
    }
    builder.finish().unwrap().to_bytes()
}

fn mapped(reader: &GenerationReader) -> Option<String> {
    reader.current().map(|index| index.generation().to_owned())
}

#[tokio::test]
async fn the_pointer_is_swapped_last_and_only_the_newest_generations_stay() {
    let house = House::new();
    assert_eq!(
        house.generations().pointer(&house.deadline).await.unwrap(),
        None
    );
    let published = [
        "2026-11-20.9",
        "2026-11-20.10",
        "2026-11-21.1",
        "2026-11-21.2",
        "2026-11-21.3",
        "2026-11-21.4",
        "2026-11-22.1",
        "2026-11-23.1",
        "2026-11-24.1",
    ];
    for generation in published {
        let manifest = house.publish(generation).await.unwrap();
        assert_eq!(manifest.bytes, built(generation).len() as u64);
        let pointer = house
            .generations()
            .pointer(&house.deadline)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(pointer.generation, generation);
    }
    let written = house.objects.written.lock().unwrap().clone();
    let last = [
        "index/2026-11-24.1/index.bin",
        "index/2026-11-24.1/manifest.json",
    ];
    assert_eq!(
        written[written.len() - 3..],
        [last[0], last[1], "index/current.json"]
    );
    let kept = &published[1..];
    assert_eq!(kept.len(), GENERATIONS_KEPT);
    let files = |g: &&str| {
        [
            format!("index/{g}/index.bin"),
            format!("index/{g}/manifest.json"),
        ]
    };
    let mut expected: Vec<String> = kept.iter().flat_map(files).collect();
    expected.push("index/current.json".to_owned());
    assert_eq!(house.objects.keys(), expected);
}

#[tokio::test]
async fn publishing_again_is_harmless_and_a_current_generation_never_changes() {
    let house = House::new();
    let first = house.publish("g1").await.unwrap();
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(house.publish("g1").await.unwrap(), first);
    let error = house.publish_bytes("g1", &built("g2")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    house.damage("index/current.json", Vec::clear);
    house.publish("g1").await.unwrap();
    for bad in ["", "..", ".g1", "a/b", "a b", &"g".repeat(65)] {
        assert_eq!(
            house.publish(bad).await.unwrap_err().kind,
            ErrorKind::Invalid,
            "{bad:?}"
        );
    }
}

#[tokio::test]
async fn a_staged_generation_is_opened_by_name_before_the_pointer_moves() {
    let house = House::new();
    house.publish("2026-01-01.1").await.unwrap();
    let (job, server) = (house.reader("job"), house.reader("server"));
    let file = house.folder.path().join("next");
    std::fs::write(&file, built("2026-01-02.1")).unwrap();
    let generations = house.generations();
    let staged = generations.stage("2026-01-02.1", &file, &house.deadline);
    let staged = staged.await.unwrap();
    assert!(server.refresh(&house.deadline).await.unwrap());
    assert_eq!(mapped(&server).as_deref(), Some("2026-01-01.1"));
    let opened = job.open("2026-01-02.1", &house.deadline).await.unwrap();
    assert_eq!(opened.generation(), "2026-01-02.1");
    assert_eq!(mapped(&job).as_deref(), Some("2026-01-02.1"));
    assert!(
        !job.refresh(&house.deadline).await.unwrap(),
        "the pointer has not moved since"
    );
    assert_eq!(mapped(&job).as_deref(), Some("2026-01-02.1"));
    let fetches = house.objects.fetches.load(Ordering::SeqCst);
    job.open("2026-01-02.1", &house.deadline).await.unwrap();
    assert_eq!(
        house.objects.fetches.load(Ordering::SeqCst),
        fetches,
        "mapped already"
    );

    generations.point(&staged, &house.deadline).await.unwrap();
    assert!(server.refresh(&house.deadline).await.unwrap());
    assert!(
        !job.refresh(&house.deadline).await.unwrap(),
        "it is there already"
    );
    assert_eq!(mapped(&server), mapped(&job));
    let missing = job.open("2026-01-03.1", &house.deadline).await;
    assert_eq!(
        missing.err().map(|error| error.kind),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        mapped(&job).as_deref(),
        Some("2026-01-02.1"),
        "what was mapped stays"
    );
}

#[tokio::test]
async fn a_reader_follows_the_pointer_and_keeps_the_previous_file() {
    let house = House::new();
    let reader = house.reader("a");
    assert!(
        !reader.refresh(&house.deadline).await.unwrap(),
        "nothing is published"
    );
    house.publish("g1").await.unwrap();
    assert!(reader.refresh(&house.deadline).await.unwrap());
    let held = reader.current().unwrap();
    assert!(
        !reader.refresh(&house.deadline).await.unwrap(),
        "mapped already"
    );
    assert_eq!(house.objects.fetches.load(Ordering::SeqCst), 1);
    for generation in ["g2", "g3"] {
        house.publish(generation).await.unwrap();
        assert!(reader.refresh(&house.deadline).await.unwrap());
        assert_eq!(mapped(&reader).as_deref(), Some(generation));
    }
    assert_eq!(house.local_files("a"), ["g2.idx", "g3.idx"]);
    let file = house.folder.path().join("a/g3.idx");
    assert!(std::fs::metadata(file).unwrap().permissions().readonly());
    assert_eq!(
        (held.generation(), held.video_id(1)),
        ("g1", "v2"),
        "unlinked, still readable"
    );
}

#[tokio::test]
async fn a_generation_that_is_local_already_is_not_fetched() {
    let house = House::new();
    house.publish("g1").await.unwrap();
    house.reader("a").refresh(&house.deadline).await.unwrap();
    let restarted = house.reader("a");
    assert!(restarted.refresh(&house.deadline).await.unwrap());
    assert_eq!(house.objects.fetches.load(Ordering::SeqCst), 1);
    let file = house.folder.path().join("a/g1.idx");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, built("g2")).unwrap();
    let restarted = house.reader("a");
    assert!(restarted.refresh(&house.deadline).await.unwrap());
    assert_eq!(
        house.objects.fetches.load(Ordering::SeqCst),
        2,
        "it was another file"
    );
    assert_eq!(mapped(&restarted).as_deref(), Some("g1"));
}

#[tokio::test]
async fn whatever_is_wrong_with_a_new_generation_the_old_one_stays() {
    type Damage = fn(&House);
    let cases: [(&str, Damage); 8] = [
        ("pointer is no JSON", |h| {
            h.damage("index/current.json", |b| b.truncate(5))
        }),
        ("pointer of a newer schema", |h| {
            let newer = br#"{"schema":2,"generation":"g2","swapped_ms":0}"#;
            h.damage("index/current.json", |b| *b = newer.to_vec());
        }),
        ("pointer out of the folder", |h| {
            let outside = br#"{"schema":1,"generation":"../g2","swapped_ms":0}"#;
            h.damage("index/current.json", |b| *b = outside.to_vec());
        }),
        ("manifest missing", |h| {
            h.objects
                .kept
                .lock()
                .unwrap()
                .remove("index/g2/manifest.json");
        }),
        ("file truncated", |h| {
            h.damage("index/g2/index.bin", |b| b.truncate(b.len() / 2))
        }),
        ("a flipped bit", |h| {
            h.damage("index/g2/index.bin", |b| b[100] ^= 1)
        }),
        ("a valid index that is not the one published", |h| {
            let other = GenerationBuilder::new(BuildOptions::new("g2", NOW_MS));
            let other = other.finish().unwrap().to_bytes();
            h.damage("index/g2/index.bin", |b| *b = other.clone());
        }),
        ("everything down", |h| {
            h.objects.down.store(true, Ordering::SeqCst)
        }),
    ];
    for (name, damage) in cases {
        let house = House::new();
        let reader = house.reader("a");
        house.publish("g1").await.unwrap();
        reader.refresh(&house.deadline).await.unwrap();
        house.publish("g2").await.unwrap();
        damage(&house);
        assert!(reader.refresh(&house.deadline).await.is_err(), "{name}");
        assert_eq!(mapped(&reader).as_deref(), Some("g1"), "{name}");
        assert_eq!(house.local_files("a"), ["g1.idx"], "{name}");
        house.objects.down.store(false, Ordering::SeqCst);
        house.publish("g3").await.unwrap();
        assert!(
            reader.refresh(&house.deadline).await.unwrap(),
            "{name}: recovers"
        );
    }
}

#[tokio::test]
async fn a_file_that_arrives_whole_and_is_no_index_is_fetched_once() {
    let house = House::new();
    let reader = house.reader("a");
    let cases = [("g2", b"no index".to_vec()), ("g3", built("another name"))];
    for (generation, bytes) in cases {
        house.publish_bytes(generation, &bytes).await.unwrap();
        let before = house.objects.fetches.load(Ordering::SeqCst);
        for _ in 0..5 {
            let error = reader.refresh(&house.deadline).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Corrupt);
        }
        assert_eq!(
            house.objects.fetches.load(Ordering::SeqCst),
            before + 1,
            "{generation}"
        );
        assert_eq!(house.local_files("a"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn without_the_store_the_newest_valid_local_file_stands_in() {
    let house = House::new();
    let reader = house.reader("a");
    for generation in ["g1", "g2"] {
        house.publish(generation).await.unwrap();
        reader.refresh(&house.deadline).await.unwrap();
    }
    std::fs::write(house.folder.path().join("a/g9.idx"), b"torn").unwrap();
    house.objects.down.store(true, Ordering::SeqCst);
    let restarted = house.reader("a");
    assert!(restarted.refresh(&house.deadline).await.unwrap());
    assert_eq!(mapped(&restarted).as_deref(), Some("g2"));
    assert!(
        house
            .reader("empty")
            .refresh(&house.deadline)
            .await
            .is_err()
    );
    house.objects.down.store(false, Ordering::SeqCst);
    house.publish("g3").await.unwrap();
    assert!(
        restarted.refresh(&house.deadline).await.unwrap(),
        "and follows the pointer again"
    );
}

#[tokio::test]
async fn a_refresh_is_due_by_age_and_one_caller_does_it() {
    let house = House::new();
    let reader = house.reader("a");
    let every = Duration::from_secs(30);
    house.publish("g1").await.unwrap();
    let (a, b) = tokio::join!(
        reader.refresh_if_due(every, &house.deadline),
        reader.refresh_if_due(every, &house.deadline),
    );
    assert_eq!((a.unwrap(), b.unwrap()), (true, false));
    house.publish("g2").await.unwrap();
    house.clock.advance(every - Duration::from_millis(1));
    assert!(
        !reader.refresh_if_due(every, &house.deadline).await.unwrap(),
        "not due"
    );
    house.clock.advance(Duration::from_millis(1));
    let deadline = deadline(&house.clock);
    assert!(reader.refresh_if_due(every, &deadline).await.unwrap());
    assert_eq!(mapped(&reader).as_deref(), Some("g2"));
}

#[tokio::test]
async fn what_a_killed_process_left_behind_is_removed() {
    let house = House::new();
    let reader = house.reader("a");
    house.publish("g1").await.unwrap();
    std::fs::create_dir_all(house.folder.path().join("a")).unwrap();
    std::fs::write(house.folder.path().join("a/.g0.1.tmp"), b"half").unwrap();
    // The file's time is the machine's; the clock stands far in its future.
    house.clock.step_wall_ms(100 * 365 * 24 * 3_600 * 1_000);
    reader.refresh(&house.deadline).await.unwrap();
    assert_eq!(house.local_files("a"), ["g1.idx"]);
}
