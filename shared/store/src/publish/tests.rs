use std::collections::HashMap;

use engine::EventKind;
use guard::Deadline;

use super::*;
use crate::testing::{MemoryStream, Step, event};

fn events(users: usize, each: usize) -> Vec<Event> {
    let all = (0..users * each).map(|i| {
        event(
            EventKind::Click,
            &format!("u{}", i % users),
            &format!("v{i}"),
            i as i64,
        )
    });
    all.collect()
}

async fn published(
    stream: &MemoryStream,
    events: &[Event],
    budget: Duration,
) -> Vec<Result<(), ErrorKind>> {
    // The real clock's part here is played by tokio's paused one.
    let deadline = Deadline::after(std::sync::Arc::new(ops::RealClock::new()), budget);
    let answers = publish_events(stream, events, &deadline).await;
    answers
        .into_iter()
        .map(|answer| answer.map_err(|error| error.kind))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_event_arrives_and_each_users_in_order() {
    let stream = MemoryStream::default();
    let events = events(40, 25);
    let answers = published(&stream, &events, Duration::from_secs(1)).await;
    assert_eq!(answers, vec![Ok(()); 1_000]);
    let mut by_user: HashMap<UserId, Vec<Event>> = HashMap::new();
    for event in stream.events() {
        by_user
            .entry(event.user_id.clone())
            .or_default()
            .push(event);
    }
    assert_eq!(by_user.values().map(Vec::len).sum::<usize>(), 1_000);
    assert!(
        by_user
            .values()
            .all(|events| events.is_sorted_by_key(|event| event.ts_ms))
    );
    for record in stream.kept.lock().unwrap().iter() {
        let items = crate::aggregate::unpack(&record.data).unwrap();
        for (_, data) in items {
            let event = crate::events::decode(&data).unwrap();
            assert_eq!(bucket(&event.user_id), record.partition_key);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_failed_records_are_appended_again() {
    let failing = |kind| Step::FailRecords(vec![0, 2], kind);
    let stream = MemoryStream::following([
        failing(ErrorKind::Throttled),
        failing(ErrorKind::Unavailable),
    ]);
    let events = events(30, 3);
    let answers = published(&stream, &events, Duration::from_secs(5)).await;
    assert_eq!(answers, vec![Ok(()); 90]);
    let calls = stream.calls.lock().unwrap().clone();
    assert_eq!(calls[1..], [2, 1], "{calls:?}");
    let mut arrived: Vec<_> = stream
        .events()
        .into_iter()
        .map(|event| event.event_id)
        .collect();
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived.len(), 90, "each once");
}

#[tokio::test(start_paused = true)]
async fn an_event_is_answered_as_its_own_record_was() {
    let stream = MemoryStream::following([Step::FailRecords(vec![1], ErrorKind::Invalid)]);
    let events = events(2, 3);
    assert_ne!(bucket(&events[0].user_id), bucket(&events[1].user_id));
    let answers = published(&stream, &events, Duration::from_secs(5)).await;
    let refused = Err(ErrorKind::Invalid);
    assert_eq!(answers, [Ok(()), refused, Ok(()), refused, Ok(()), refused]);
    assert_eq!(
        stream.calls.lock().unwrap().len(),
        1,
        "what cannot pass is not tried again"
    );
}

#[tokio::test(start_paused = true)]
async fn trying_ends_after_some_attempts() {
    let steps = (0..100).map(|_| Step::Fail(ErrorKind::Throttled));
    let stream = MemoryStream::following(steps);
    let answers = published(&stream, &events(1, 2), Duration::from_secs(60)).await;
    assert_eq!(answers, [Err(ErrorKind::Throttled); 2]);
    assert_eq!(stream.calls.lock().unwrap().len(), ATTEMPTS_MAX as usize);
}

#[tokio::test(start_paused = true)]
async fn nothing_outlives_the_deadline() {
    let clock = ops::RealClock::new();
    let began = guard::Clock::now(&clock).mono;
    let stream = MemoryStream::following([Step::Fail(ErrorKind::Unavailable), Step::Hang]);
    let answers = published(&stream, &events(1, 2), Duration::from_millis(200)).await;
    assert_eq!(answers, [Err(ErrorKind::Timeout); 2]);
    let waited = guard::Clock::now(&clock).mono - began;
    assert_eq!(waited.as_millis() / 10, 20);
}

#[test]
fn buckets_lie_evenly_in_kinesis_hash_space() {
    use md5::{Digest, Md5};
    for slot in 0..BUCKETS {
        let first = Md5::digest(key_of(slot).as_bytes())[0];
        assert_eq!(u64::from(first), slot, "{}", key_of(slot));
    }
}

#[tokio::test(start_paused = true)]
async fn one_throttled_shard_keeps_the_answer_of_the_others_for_short_pauses_only() {
    let clock = ops::RealClock::new();
    let began = guard::Clock::now(&clock).mono;
    let failing = |places| Step::FailRecords(places, ErrorKind::Throttled);
    let again = (0..100).map(|_| failing(vec![0]));
    let stream = MemoryStream::following([failing(vec![1])].into_iter().chain(again));
    let events = events(3, 2);
    let answers = published(&stream, &events, Duration::from_secs(60)).await;
    let throttled = Err(ErrorKind::Throttled);
    let one = [Ok(()), throttled, Ok(())];
    assert_eq!(answers, [one, one].concat());
    assert_eq!(*stream.calls.lock().unwrap(), [3, 1, 1, 1, 1, 1]);
    let waited = guard::Clock::now(&clock).mono - began;
    assert!(waited <= 5 * PAUSE_MIN, "{waited:?}");
}
