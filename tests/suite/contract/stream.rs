//! Order, positions, limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use store::{ErrorKind, Position, Record, Stream, StreamRecord};

use super::{Backend, SHARDS, kind, soon, within};

over_every_backend! {
    records_of_a_key_stay_in_order_on_one_shard,
    answers_say_where_each_record_lies,
    reading_goes_on_behind_a_position,
    more_records_than_one_request_takes_are_all_kept,
    a_record_may_be_a_mebibyte_and_not_a_byte_more,
    keys_are_1_to_256_characters,
    nothing_appended_is_nothing_answered,
    the_end_of_a_shard_is_no_error,
    a_record_knows_when_it_arrived,
    a_deadline_that_has_passed_ends_every_call,
}

/// How often an empty answer is asked again before it is believed.
const EMPTY_READS_MAX: usize = 3;

fn record(key: &str, text: impl Into<Bytes>) -> Record {
    Record {
        partition_key: key.to_owned(),
        data: text.into(),
    }
}

async fn append(stream: &dyn Stream, records: Vec<Record>) -> Vec<Position> {
    let count = records.len();
    let answers = stream.append(records, &soon()).await.unwrap();
    assert_eq!(answers.len(), count);
    answers.into_iter().map(Result::unwrap).collect()
}

/// Everything on a shard, read in portions.
async fn all_of(stream: &dyn Stream, shard: &str, portion: usize) -> Vec<StreamRecord> {
    let mut records: Vec<StreamRecord> = Vec::new();
    let mut empty = 0;
    while empty < EMPTY_READS_MAX {
        let after = records
            .last()
            .map(|record| record.position.sequence.clone());
        let read = stream
            .read(shard, after.as_deref(), portion, &soon())
            .await
            .unwrap();
        assert!(read.len() <= portion);
        empty = if read.is_empty() { empty + 1 } else { 0 };
        records.extend(read);
    }
    records
}

async fn everything(stream: &dyn Stream, portion: usize) -> Vec<StreamRecord> {
    let mut records = Vec::new();
    for shard in stream.shards(&soon()).await.unwrap() {
        records.extend(all_of(stream, &shard, portion).await);
    }
    records
}

fn text(record: &StreamRecord) -> &str {
    std::str::from_utf8(&record.data).unwrap()
}

async fn records_of_a_key_stay_in_order_on_one_shard(backend: Backend) {
    let stream = &*backend.stream;
    for round in 0..4 {
        let keyed = |n| record(&format!("u{}", n % 7), format!("{:04}", round * 35 + n));
        append(stream, (0..35).map(keyed).collect()).await;
    }
    let records = everything(stream, 50).await;
    assert_eq!(records.len(), 140);
    let mut shard_of_key = BTreeMap::new();
    let mut last_of_key: BTreeMap<&str, &str> = BTreeMap::new();
    for record in &records {
        let key = record.partition_key.as_str();
        let shard = shard_of_key.entry(key).or_insert(&record.position.shard);
        assert_eq!(*shard, &record.position.shard, "{key} stays on its shard");
        let before = last_of_key.insert(key, text(record));
        assert!(
            before.is_none_or(|before| before < text(record)),
            "{key} in order"
        );
    }
    for pair in records.windows(2) {
        let (a, b) = (&pair[0].position, &pair[1].position);
        let rises = Position::compare_sequences(&a.sequence, &b.sequence).is_lt();
        assert!(a.shard != b.shard || rises, "{a:?} before {b:?}");
    }
}

async fn answers_say_where_each_record_lies(backend: Backend) {
    let stream = &*backend.stream;
    let shards: BTreeSet<String> = stream.shards(&soon()).await.unwrap().into_iter().collect();
    assert_eq!(shards.len(), usize::from(SHARDS));
    let named = |n: usize| record(&format!("key-{n}"), format!("record {n}"));
    let positions = append(stream, (0..40).map(named).collect()).await;
    let found: BTreeMap<(String, String), String> = everything(stream, 1_000)
        .await
        .iter()
        .map(|record| {
            let Position { shard, sequence } = record.position.clone();
            ((shard, sequence), text(record).to_owned())
        })
        .collect();
    for (n, position) in positions.into_iter().enumerate() {
        assert!(shards.contains(&position.shard));
        let digits = position.sequence.bytes().all(|b| b.is_ascii_digit());
        assert!(digits && (position.sequence == "0" || !position.sequence.starts_with('0')));
        let lies = found.get(&(position.shard, position.sequence));
        assert_eq!(
            lies.map(String::as_str),
            Some(format!("record {n}").as_str())
        );
    }
}

async fn reading_goes_on_behind_a_position(backend: Backend) {
    let stream = &*backend.stream;
    let positions = append(
        stream,
        (0..20).map(|n| record("u1", format!("{n}"))).collect(),
    )
    .await;
    let shard = &positions[0].shard;
    for (after, expected) in [(None, 0), (Some(0), 1), (Some(9), 10), (Some(18), 19)] {
        let sequence = after.map(|at: usize| positions[at].sequence.as_str());
        let read = stream.read(shard, sequence, 3, &soon()).await.unwrap();
        let first = read.first().map(text).map(str::to_owned);
        assert_eq!(first, Some(format!("{expected}")), "after {after:?}");
    }
    let portions = all_of(stream, shard, 3).await;
    let texts: Vec<String> = portions
        .iter()
        .map(|record| text(record).to_owned())
        .collect();
    let expected: Vec<String> = (0..20).map(|n| format!("{n}")).collect();
    assert_eq!(texts, expected, "portions neither skip nor repeat");
}

async fn more_records_than_one_request_takes_are_all_kept(backend: Backend) {
    let stream = &*backend.stream;
    let numbered = |n: usize| record(&format!("u{}", n % 50), format!("{n}"));
    append(stream, (0..1_203).map(numbered).collect()).await;
    let numbers: BTreeSet<usize> = everything(stream, 1_000)
        .await
        .iter()
        .map(|record| text(record).parse().unwrap())
        .collect();
    assert!(numbers.into_iter().eq(0..1_203));
}

async fn a_record_may_be_a_mebibyte_and_not_a_byte_more(backend: Backend) {
    const MEBIBYTE: usize = 1024 * 1024;
    let stream = &*backend.stream;
    let records = vec![
        record("u1", "before"),
        record("u1", vec![b'x'; MEBIBYTE - 2]),
        record("u1", vec![b'y'; MEBIBYTE - 1]),
        record("u1", "after"),
    ];
    let answers = stream.append(records, &soon()).await.unwrap();
    let kinds: Vec<Option<ErrorKind>> = answers.into_iter().map(kind).collect();
    assert_eq!(kinds, [None, None, Some(ErrorKind::Invalid), None]);
    let sizes: Vec<usize> = everything(stream, 10)
        .await
        .iter()
        .map(|record| record.data.len())
        .collect();
    assert_eq!(sizes, [6, MEBIBYTE - 2, 5]);
}

async fn keys_are_1_to_256_characters(backend: Backend) {
    for (key, fits) in [
        ("k".to_owned(), true),
        ("é".repeat(256), true),
        (String::new(), false),
        ("k".repeat(257), false),
    ] {
        let answers = backend
            .stream
            .append(vec![record(&key, "x")], &soon())
            .await
            .unwrap();
        let expected = (!fits).then_some(ErrorKind::Invalid);
        let kinds: Vec<_> = answers.into_iter().map(kind).collect();
        assert_eq!(kinds, [expected], "{} characters", key.chars().count());
    }
}

async fn nothing_appended_is_nothing_answered(backend: Backend) {
    assert!(
        backend
            .stream
            .append(vec![], &soon())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(everything(&*backend.stream, 10).await.is_empty());
}

async fn the_end_of_a_shard_is_no_error(backend: Backend) {
    let stream = &*backend.stream;
    let positions = append(stream, vec![record("u1", "only")]).await;
    let Position { shard, sequence } = &positions[0];
    assert!(
        stream
            .read(shard, Some(sequence), 10, &soon())
            .await
            .unwrap()
            .is_empty()
    );
    append(stream, vec![record("u1", "next")]).await;
    let read = stream
        .read(shard, Some(sequence), 10, &soon())
        .await
        .unwrap();
    assert_eq!(read.iter().map(text).collect::<Vec<_>>(), ["next"]);
}

async fn a_record_knows_when_it_arrived(backend: Backend) {
    let before_ms = soon().clock().now().wall_ms;
    append(&*backend.stream, vec![record("u1", "x")]).await;
    let records = everything(&*backend.stream, 10).await;
    let off_ms = records[0].arrived_ms - before_ms;
    // Kinesis keeps milliseconds, some emulators whole seconds.
    assert!(
        (-1_000..60_000).contains(&off_ms),
        "{off_ms} ms after it was sent"
    );
}

async fn a_deadline_that_has_passed_ends_every_call(backend: Backend) {
    let stream = &*backend.stream;
    let shards = stream.shards(&soon()).await.unwrap();
    let passed = within(Duration::ZERO);
    assert_eq!(
        kind(stream.read(&shards[0], None, 1, &passed).await),
        Some(ErrorKind::Timeout)
    );
    let appended = stream.append(vec![record("u1", "x")], &passed).await;
    let appended = appended.and_then(|mut answers| answers.remove(0));
    assert_eq!(kind(appended), Some(ErrorKind::Timeout));
}
