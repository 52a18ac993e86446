//! What the log keeps, for how long, and what it does before it loses anything.

use super::*;

const HOUR_MS: i64 = 3_600_000;

/// A record per segment.
fn one_each(retention: Duration, bytes_max: u64) -> StreamOptions {
    StreamOptions {
        segment_bytes: 100,
        retention,
        bytes_max,
        ..StreamOptions::default()
    }
}

async fn append(stream: &EmbeddedStream, hour: i64) -> Result<String, ErrorKind> {
    let records = vec![record("k", vec![0; 100])];
    let soon = deadline_at(hour * HOUR_MS);
    let answer = stream.append(records, &soon).await.unwrap().remove(0);
    answer.map(|at| at.sequence).map_err(|error| error.kind)
}

async fn applied(stream: &EmbeddedStream, sequence: u64, hour: i64) {
    let (sequence, soon) = (sequence.to_string(), deadline_at(hour * HOUR_MS));
    let told = stream.expire("shard-000", &sequence, &soon);
    told.await.unwrap();
}

async fn left(stream: &EmbeddedStream) -> Vec<u64> {
    let all = read_all(stream, "shard-000", 5).await;
    let sequences = all.iter().map(|r| r.position.sequence.parse().unwrap());
    sequences.collect()
}

#[tokio::test]
async fn old_segments_go_and_sequences_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = one_each(DAY, u64::MAX);
    let stream = EmbeddedStream::open_with(folder.path(), 1, &options).unwrap();
    for hour in 0..48 {
        append(&stream, hour).await.unwrap();
        applied(&stream, hour as u64 + 1, hour).await;
    }
    assert_eq!(left(&stream).await, (24..=48).collect::<Vec<u64>>());
    drop(stream);
    let stream = EmbeddedStream::open_with(folder.path(), 1, &options).unwrap();
    assert_eq!(append(&stream, 48).await.unwrap(), "49");
}

#[tokio::test]
async fn what_a_consumer_has_not_applied_outlives_the_retention() {
    let folder = tempfile::tempdir().unwrap();
    let options = one_each(DAY, u64::MAX);
    let stream = EmbeddedStream::open_with(folder.path(), 1, &options).unwrap();
    for hour in 0..96 {
        append(&stream, hour).await.unwrap();
        // The consumer stands still behind its tenth record.
        applied(&stream, (hour as u64 + 1).min(10), hour).await;
    }
    assert_eq!(left(&stream).await, (11..=96).collect::<Vec<u64>>());
    // Nobody knows of any consumer: nothing may go, also after a restart.
    drop(stream);
    let stream = EmbeddedStream::open_with(folder.path(), 1, &options).unwrap();
    for hour in 96..120 {
        append(&stream, hour).await.unwrap();
    }
    assert_eq!(left(&stream).await, (11..=120).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_full_log_gives_up_what_is_applied_and_refuses_before_it_loses_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    // Room for five records, by far not for a year.
    let options = one_each(365 * DAY, 700);
    let stream = EmbeddedStream::open_with(folder.path(), 1, &options).unwrap();
    for sequence in 1..=20_u64 {
        append(&stream, 1).await.unwrap();
        applied(&stream, sequence, 1).await;
    }
    let before = left(&stream).await;
    assert!(before.len() >= 5 && before.len() < 8, "{before:?}");
    // The consumer stands still.
    let (mut taken, mut refused) = (20, 0);
    for _ in 0..20 {
        match append(&stream, 1).await {
            Ok(sequence) => taken = sequence.parse().unwrap(),
            Err(kind) => {
                assert_eq!(kind, ErrorKind::Unavailable);
                refused += 1;
            }
        }
    }
    assert!(refused >= 14, "{refused} of 20 refused");
    let kept = left(&stream).await;
    assert_eq!(kept.last(), Some(&taken));
    assert!(
        (21..=taken).all(|sequence| kept.contains(&sequence)),
        "{kept:?}"
    );
    // It goes on, and so do appends.
    applied(&stream, taken, 1).await;
    assert_eq!(append(&stream, 1).await.unwrap(), (taken + 1).to_string());
}

#[tokio::test]
async fn what_is_too_old_goes_once_everybody_has_applied_it() {
    let folder = tempfile::tempdir().unwrap();
    acknowledged(folder.path(), &[vec![1], vec![2]]).await;
    let stream = EmbeddedStream::open(folder.path(), 1).unwrap();
    // A segment that was there before is as old as its file.
    let written = fs::metadata(last_segment(folder.path()))
        .unwrap()
        .modified();
    let age = written.unwrap().duration_since(std::time::UNIX_EPOCH);
    let written_ms = age.unwrap().as_millis() as i64;
    let (soon, late) = (
        deadline_at(written_ms + 1_000),
        deadline_at(written_ms + 8 * DAY.as_millis() as i64),
    );
    for (applied, now, left) in [("2", &soon, 2), ("1", &late, 2), ("2", &late, 0)] {
        stream.expire("shard-000", applied, now).await.unwrap();
        let read = read_all(&stream, "shard-000", 9).await;
        assert_eq!(read.len(), left, "after {applied}");
    }
    let next = stream.append(vec![record("k", "x")], &late).await.unwrap();
    assert_eq!(next[0].as_ref().unwrap().sequence, "3");
}
