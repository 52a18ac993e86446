use std::sync::Arc;

use guard::{Deadline, ManualClock};

use super::*;
use crate::ErrorKind;
use crate::testing::{clock, deadline};

#[test]
fn the_defaults_may_be_applied_and_an_empty_document_is_the_defaults() {
    assert_eq!(Tuning::default().problems(), Vec::<String>::new());
    assert_eq!(Tuning::parse("{}").unwrap(), Tuning::default());
    let whole = serde_json::to_string(&Tuning::default()).unwrap();
    assert_eq!(Tuning::parse(&whole).unwrap(), Tuning::default());
}

#[test]
fn every_problem_is_named_at_once_with_its_section() {
    let document = r#"{
        "engine": {"budgets": {"request_ms": 5}},
        "guard": {"breaker": {"half_open_max": 0}},
        "store": {"lives": {"personal_soft_ms": 700000, "absent_ms": 6000}, "generation_every_ms": 1}
    }"#;
    let problems = Tuning::parse(document).unwrap_err();
    let expected = [
        "engine.budgets.request_ms is not 10 to 10000",
        "guard.breaker.half_open_max is not 1 to 10000",
        "store.lives.personal_hard_ms is not 700000 to 86400000",
        "store.lives.absent_ms is not 0 to 5000",
        "store.generation_every_ms is not 1000 to 3600000",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn a_bad_document_is_refused_whole_and_the_last_good_one_stays() {
    let live = LiveTuning::default();
    live.offer(r#"{"store":{"generation_every_ms":5000}}"#)
        .unwrap();
    let good = live.snapshot();
    assert_eq!(good.store.generation_every(), Duration::from_secs(5));
    let huge = format!("{{}}{}", " ".repeat(TUNING_BYTES_MAX));
    let cases = [
        "",
        "[]",
        r#"{"store":[]}"#,
        r#"{"store":{"lives":[1,2,3,4,5]}}"#,
        "{",
        r#"{"store":{"generation_every_ms":"soon"}}"#,
        r#"{"store":{"generation_evry_ms":5000}}"#,
        r#"{"shop":{}}"#,
        // Was taken once, and did nothing.
        r#"{"engine":{"budgets":{"features_ms":30}}}"#,
        r#"{"store":{"generation_every_ms":2000},"guard":{"breaker":{"calls_min":0}}}"#,
        &huge,
    ];
    for bad in cases {
        assert!(!live.offer(bad).unwrap_err().is_empty());
        assert!(Arc::ptr_eq(&live.snapshot(), &good), "changed by {bad}");
    }
}

#[test]
fn the_schema_describes_every_section() {
    let schema = serde_json::to_value(Tuning::schema()).unwrap();
    for section in ["engine", "guard", "store"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    let text = schema.to_string();
    for name in [
        "half_open_max",
        "request_ms",
        "personal_soft_ms",
        "diversity_window",
    ] {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn what_a_section_on_redis_does_not_name_stays_as_it_is_for_redis() {
    let tuning = Tuning::parse(r#"{"guard":{"redis_breaker":{"open_ms":1000}}}"#).unwrap();
    let redis = tuning.guard.redis_breaker;
    assert_eq!(
        (redis.open_ms, redis.window_ms, redis.permit_ms),
        (1_000, 30_000, 1_000)
    );
    assert_eq!(tuning.guard.breaker, Tuning::default().guard.breaker);
    let schema = serde_json::to_value(Tuning::schema()).unwrap().to_string();
    assert!(schema.contains("redis_breaker"), "{schema}");
}

struct Watched {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    live: Arc<LiveTuning>,
    file: TuningFile,
    deadline: Deadline,
}

impl Watched {
    fn new() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
        let live = Arc::new(LiveTuning::default());
        let path = folder.path().join("tuning.json");
        let file = TuningFile::new(path, live.clone(), clock.clone());
        let deadline = deadline(&clock);
        Self {
            folder,
            clock,
            live,
            file,
            deadline,
        }
    }

    fn write(&self, document: &str) {
        std::fs::write(self.folder.path().join("tuning.json"), document).unwrap();
    }

    async fn look(&self) -> Result<bool, ErrorKind> {
        self.clock.advance(Duration::from_secs(1));
        self.file
            .refresh_if_due(&self.deadline)
            .await
            .map_err(|error| error.kind)
    }

    fn every_ms(&self) -> u32 {
        self.live.snapshot().store.generation_every_ms
    }
}

#[tokio::test]
async fn a_changed_file_is_in_force_within_a_second_and_a_bad_one_is_not() {
    let watched = Watched::new();
    assert_eq!(watched.look().await, Err(ErrorKind::NotFound));
    watched.write(r#"{"store":{"generation_every_ms":5000}}"#);
    assert_eq!(watched.look().await, Ok(true));
    assert_eq!(watched.look().await, Ok(false), "nothing new");
    watched.write(r#"{"store":{"generation_every_ms":5}}"#);
    assert_eq!(watched.look().await, Err(ErrorKind::Invalid));
    assert_eq!(watched.look().await, Ok(false), "refused once");
    assert_eq!(watched.every_ms(), 5_000);
    watched.write(r#"{"store":{"generation_every_ms":60000}}"#);
    let look = watched.file.refresh_if_due(&watched.deadline).await;
    assert!(!look.unwrap(), "not due");
    assert_eq!(watched.look().await, Ok(true));
    assert_eq!(watched.every_ms(), 60_000);
    std::fs::remove_file(watched.file.path()).unwrap();
    assert_eq!(watched.look().await, Err(ErrorKind::NotFound));
    assert_eq!(watched.every_ms(), 60_000, "the last good one stays");
    watched.write(&" ".repeat(TUNING_BYTES_MAX + 1));
    assert_eq!(watched.look().await, Err(ErrorKind::Unavailable));
}
