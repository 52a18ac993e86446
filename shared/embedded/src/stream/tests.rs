use std::path::PathBuf;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use guard::ManualClock;
use proptest::prelude::*;

use super::*;

mod recovery;
mod retention;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn deadline_at(wall_ms: i64) -> Deadline {
    Deadline::after(
        Arc::new(ManualClock::starting_at(wall_ms)),
        Duration::from_secs(60),
    )
}

fn deadline() -> Deadline {
    deadline_at(1_000)
}

fn record(key: &str, data: impl Into<Bytes>) -> Record {
    Record {
        partition_key: key.to_owned(),
        data: data.into(),
    }
}

async fn read_all(stream: &EmbeddedStream, shard: &str, limit: usize) -> Vec<StreamRecord> {
    let (mut all, mut after) = (Vec::<StreamRecord>::new(), None::<String>);
    loop {
        let page = stream
            .read(shard, after.as_deref(), limit, &deadline())
            .await
            .unwrap();
        let Some(last) = page.last() else { return all };
        after = Some(last.position.sequence.clone());
        all.extend(page);
    }
}

fn last_segment(dir: &Path) -> PathBuf {
    segment::Segment::all(&dir.join("shard-000"))
        .unwrap()
        .pop()
        .unwrap()
        .path
}

#[tokio::test]
async fn records_of_one_key_stay_in_order_on_one_shard() {
    let folder = tempfile::tempdir().unwrap();
    let stream = EmbeddedStream::open(folder.path(), 4).unwrap();
    for round in 0..20 {
        let records: Vec<_> = (0..50)
            .map(|user| record(&format!("user-{user}"), format!("{user} {round}")))
            .collect();
        let answers = stream.append(records, &deadline()).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
    }
    let mut seen = std::collections::HashMap::<String, (String, usize)>::new();
    for shard in stream.shards(&deadline()).await.unwrap() {
        let records = read_all(&stream, &shard, 7).await;
        assert!(
            records.len() > 50,
            "{shard} holds {}: keys are spread",
            records.len()
        );
        for (number, record) in records.into_iter().enumerate() {
            assert_eq!(record.position.sequence, (number + 1).to_string());
            assert_eq!(record.arrived_ms, 1_000);
            let (home, rounds) = seen
                .entry(record.partition_key)
                .or_insert((shard.clone(), 0));
            assert_eq!(*home, shard);
            let user_and_round = String::from_utf8(record.data.to_vec()).unwrap();
            assert!(
                user_and_round.ends_with(&format!(" {rounds}")),
                "{user_and_round}"
            );
            *rounds += 1;
        }
    }
    assert!(seen.len() == 50 && seen.values().all(|(_, rounds)| *rounds == 20));
}

#[tokio::test]
async fn a_bad_record_fails_alone_and_unknown_places_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stream = EmbeddedStream::open(folder.path(), 1).unwrap();
    let large = record("k", vec![0; RECORD_BYTES_MAX]);
    let records = vec![
        record("", "x"),
        record("k", "good"),
        large,
        record(&"ä".repeat(257), "x"),
    ];
    let answers = stream.append(records, &deadline()).await.unwrap();
    let kinds: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.map_err(|e| e.kind))
        .collect();
    let good = Position {
        shard: "shard-000".to_owned(),
        sequence: "1".to_owned(),
    };
    let invalid = Err(ErrorKind::Invalid);
    assert_eq!(kinds, [invalid.clone(), Ok(good), invalid.clone(), invalid]);
    assert_eq!(read_all(&stream, "shard-000", 10).await.len(), 1);

    let unknown = stream
        .read("shard-001", None, 1, &deadline())
        .await
        .unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::NotFound);
    for sequence in ["", "01", "-1", "x", "18446744073709551616"] {
        let refused = stream
            .read("shard-000", Some(sequence), 1, &deadline())
            .await
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid, "{sequence}");
    }
    let refused = EmbeddedStream::open(folder.path(), 2).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("it has 1 shards, 2 are asked for"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_from_many_sides_are_all_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = StreamOptions {
        segment_bytes: 2_000,
        ..StreamOptions::default()
    };
    let stream = EmbeddedStream::open_with(folder.path(), 1, &options).unwrap();
    let tasks = guard::Tasks::new();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let stream = stream.clone();
            tasks.spawn(async move {
                for number in 0..20 {
                    let records = vec![record("k", format!("{writer} {number}"))];
                    stream
                        .append(records, &deadline())
                        .await
                        .unwrap()
                        .remove(0)
                        .unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for stream in [
        stream,
        EmbeddedStream::open_with(folder.path(), 1, &options).unwrap(),
    ] {
        let all = read_all(&stream, "shard-000", 9).await;
        let distinct: std::collections::HashSet<_> = all.iter().map(|r| r.data.clone()).collect();
        assert_eq!((all.len(), distinct.len()), (160, 160));
    }
}

/// Writes records, each acknowledged; answers where each one's frame ends.
async fn acknowledged(dir: &Path, payloads: &[Vec<u8>]) -> Vec<u64> {
    let stream = EmbeddedStream::open(dir, 1).unwrap();
    let mut ends = Vec::new();
    for payload in payloads {
        let answers = stream
            .append(vec![record("k", payload.clone())], &deadline())
            .await
            .unwrap();
        assert!(answers[0].is_ok());
        ends.push(fs::metadata(last_segment(dir)).unwrap().len());
    }
    ends
}

#[tokio::test]
async fn a_log_that_is_written_to_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let missing = EmbeddedStream::open_to_read(folder.path()).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    let payloads: Vec<Vec<u8>> = (0..5u8).map(|n| vec![n; 9]).collect();
    acknowledged(folder.path(), &payloads).await;
    let path = last_segment(folder.path());
    let torn = [&fs::read(&path).unwrap()[..], &[7; 20]].concat();
    fs::write(&path, &torn).unwrap();

    let looking = EmbeddedStream::open_to_read(folder.path()).unwrap();
    assert_eq!(read_all(&looking, "shard-000", 2).await.len(), 5);
    assert_eq!(fs::read(&path).unwrap(), torn, "nothing is cut");
    let refused = looking.append(vec![record("k", "x")], &deadline()).await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn what_the_system_has_is_acknowledged_without_a_sync_if_that_is_asked_for() {
    for (durability, syncs) in [(Durability::Synced, 3), (Durability::Buffered, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let options = StreamOptions {
            durability,
            ..StreamOptions::default()
        };
        let stream = EmbeddedStream::open_with(folder.path(), 1, &options).unwrap();
        for number in 0..3 {
            let records = vec![record("k", format!("{number}"))];
            let answers = stream.append(records, &deadline()).await.unwrap();
            assert!(answers.iter().all(Result::is_ok));
        }
        assert_eq!(stream.shards[0].syncs.load(Ordering::Relaxed), syncs);
        assert_eq!(read_all(&stream, "shard-000", 10).await.len(), 3);
        drop(stream);
        let stream = EmbeddedStream::open_with(folder.path(), 1, &options).unwrap();
        assert_eq!(read_all(&stream, "shard-000", 10).await.len(), 3);
    }
}
