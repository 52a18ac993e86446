use std::sync::Mutex;

use async_trait::async_trait;
use embedded::{EmbeddedObjects, EmbeddedStream, EmbeddedTables};
use engine::{Event, EventKind, UserId, VideoId};
use guard::{Clock, ManualClock};
use jiff::civil::date;
use lake::{Dedupe, Lake};
use store::{BatchOutcome, Consumer, DeadLetters, Objects, Record};

use super::*;

const DAY_MS: i64 = 24 * 3_600 * 1_000;

#[derive(Default)]
struct Witness(Mutex<Vec<String>>);

#[async_trait]
impl Consumer for Witness {
    async fn consume(&self, batch: Vec<StreamRecord>, _: &Deadline) -> BatchOutcome {
        let sequences = batch.into_iter().map(|record| record.position.sequence);
        self.0.lock().unwrap().extend(sequences);
        BatchOutcome::done()
    }
}

#[tokio::test]
async fn a_replay_never_passes_what_the_consumer_has_applied() {
    let folder = tempfile::tempdir().unwrap();
    let day = day_ms(date(2026, 11, 21)).unwrap();
    let clock = Arc::new(ManualClock::starting_at(day.start - DAY_MS));
    let deadline = Deadline::after(clock.clone(), 10 * BUDGET);
    let stream = EmbeddedStream::open(&folder.path().join("log"), 1).unwrap();
    let tables = Arc::new(EmbeddedTables::open(&folder.path().join("tables")).unwrap());
    let control = Control::new(tables, Arc::clone(&clock) as Arc<dyn Clock>);
    // Two records the day before, six on the day; the consumer is behind by four.
    for records in [2, 6] {
        let record = Record {
            partition_key: "k".to_owned(),
            data: "x".into(),
        };
        let appended = stream.append(vec![record; records], &deadline).await;
        assert!(appended.unwrap().iter().all(Result::is_ok));
        clock.advance(Duration::from_millis(DAY_MS as u64));
    }
    let witness = Arc::new(Witness::default());
    let consumer: Arc<dyn Consumer> = witness.clone();
    let replay = Replay {
        stream: &stream,
        control: &control,
        route: Route::prompt("witness", consumer),
        day,
    };
    let report = replay.run(&deadline).await.unwrap();
    let expected = Report {
        unknown: 6,
        ..Report::default()
    };
    assert_eq!(report, expected, "nobody knows how far the consumer is");

    pump::keep_offset(&control, "witness", "shard-000", "4", &deadline)
        .await
        .unwrap();
    let report = replay.run(&deadline).await.unwrap();
    assert_eq!((report.records, report.left, report.unknown), (2, 4, 0));
    assert_eq!(*witness.0.lock().unwrap(), ["3", "4"]);
}

#[test]
fn a_day_is_replayed_only_while_its_counts_are_remembered() {
    let day = day_ms(date(2026, 11, 21)).unwrap();
    assert_eq!(day.end - day.start, DAY_MS);
    let last_ms = day.start + KEPT_S * 1_000 - BUDGET.as_millis() as i64;
    assert!(still_remembered(&day, last_ms).is_ok());
    let refused = still_remembered(&day, last_ms + 1).unwrap_err();
    assert!(refused.to_string().contains("2026-11-21"), "{refused}");
}

/// Every row of the lake, and those that a reader keeps of them.
async fn rows(lake: &Lake, objects: &dyn Objects, deadline: &Deadline) -> (usize, Vec<String>) {
    let (mut all, mut once, mut seen) = (0, Vec::new(), Dedupe::new());
    for meta in objects.list("lake/", deadline).await.unwrap() {
        for batch in lake.open(&meta.key, deadline).await.unwrap() {
            for row in batch.unwrap() {
                all += 1;
                if seen.admit(&row) {
                    once.push(format!("{row:?}"));
                }
            }
        }
    }
    once.sort();
    (all, once)
}

#[tokio::test]
async fn a_replay_to_the_archive_adds_no_row_that_deduplication_lets_through() {
    let folder = tempfile::tempdir().unwrap();
    let day = day_ms(date(2026, 11, 21)).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(day.start));
    let deadline = Deadline::after(Arc::clone(&clock), 10 * BUDGET);
    let stream = EmbeddedStream::open(&folder.path().join("log"), 1).unwrap();
    let tables = Arc::new(EmbeddedTables::open(&folder.path().join("tables")).unwrap());
    let control = Control::new(tables, Arc::clone(&clock));
    let objects = EmbeddedObjects::open(&folder.path().join("objects")).unwrap();
    let objects: Arc<dyn Objects> = Arc::new(objects);
    let lake = Arc::new(Lake::new(Arc::clone(&objects)));
    let consumer: Arc<dyn Consumer> = Arc::new(archive::Archive::new(archive::Parts {
        lake: Arc::clone(&lake),
        dead: DeadLetters::new(Arc::clone(&objects), archive::Archive::NAME),
        clock,
    }));
    for number in 0..40 {
        let event = demo_event(number, day.start);
        let answers = store::publish_events(&stream, &[event], &deadline).await;
        assert!(answers.iter().all(Result::is_ok));
    }
    // As the pump delivered it: in batches of seven.
    let records = stream
        .read("shard-000", None, 100, &deadline)
        .await
        .unwrap();
    assert_eq!(records.len(), 40);
    for batch in records.chunks(7) {
        let outcome = consumer.consume(batch.to_vec(), &deadline).await;
        assert_eq!(outcome, BatchOutcome::done());
    }
    pump::keep_offset(
        &control,
        archive::Archive::NAME,
        "shard-000",
        "40",
        &deadline,
    )
    .await
    .unwrap();
    let (all, once) = rows(&lake, &*objects, &deadline).await;
    assert_eq!((all, once.len()), (40, 40));
    let replay = Replay {
        stream: &stream,
        control: &control,
        route: Route::wide(archive::Archive::NAME, consumer),
        day,
    };
    // The batch is cut otherwise, so there are further objects; again, and there are no more.
    for all in [80, 80] {
        let report = replay.run(&deadline).await.unwrap();
        assert_eq!((report.events, report.batches, report.left), (40, 1, 0));
        let after = rows(&lake, &*objects, &deadline).await;
        assert_eq!(after, (all, once.clone()));
    }
}

fn demo_event(number: usize, ts_ms: i64) -> Event {
    Event {
        event_id: format!("e{number}").into(),
        kind: EventKind::Click,
        user_id: UserId::parse(&format!("u{}", number % 9)).unwrap(),
        video_id: VideoId::parse("v1").unwrap(),
        ts_ms: ts_ms + number as i64,
        watch_ms: None,
        duration_ms: None,
        scene: "home".into(),
        market: "DE".into(),
        creator_id: None,
        undo: false,
        recommendation_id: "".into(),
        slate_position: None,
        arms: "".into(),
        made: None,
    }
}
