//! What a crash or a broken disk leaves, and what becomes of it.

use super::*;

#[tokio::test]
async fn cut_anywhere_what_was_acknowledged_and_not_cut_is_read_back_and_nothing_else() {
    let whole = tempfile::tempdir().unwrap();
    let payloads: Vec<Vec<u8>> = (0..5u8).map(|n| vec![n; usize::from(n) * 3]).collect();
    let ends = acknowledged(whole.path(), &payloads).await;
    let bytes = fs::read(last_segment(whole.path())).unwrap();
    for cut in 0..=bytes.len() {
        // Cut short, or with what a disk may put there instead.
        for tail in [vec![], vec![0; 40], vec![0xff; 7]] {
            let mut left = bytes[..cut].to_vec();
            if cut >= 8 {
                left.extend(&tail);
            }
            fs::write(last_segment(whole.path()), &left).unwrap();
            let stream = EmbeddedStream::open(whole.path(), 1).unwrap();
            let survived = ends.iter().filter(|end| **end <= cut as u64).count();
            let read = read_all(&stream, "shard-000", 2).await;
            let data: Vec<&[u8]> = read.iter().map(|record| record.data.as_ref()).collect();
            assert_eq!(data, payloads[..survived], "cut at {cut}");

            let next = stream
                .append(vec![record("k", "next")], &deadline())
                .await
                .unwrap();
            let sequence = &next[0].as_ref().unwrap().sequence;
            assert_eq!(*sequence, (survived + 1).to_string(), "cut at {cut}");
            assert_eq!(read_all(&stream, "shard-000", 9).await.len(), survived + 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_flipped_bit_costs_only_the_record_it_is_in(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let ends = acknowledged(folder.path(), &payloads).await;
            let path = last_segment(folder.path());
            let mut bytes = fs::read(&path).unwrap();
            let at = 8 + at.index(bytes.len() - 8);
            bytes[at] ^= 1 << bit;
            fs::write(&path, bytes).unwrap();
            let hit = ends.iter().filter(|end| **end <= at as u64).count();
            let whole = payloads.iter().enumerate().filter(|(number, _)| *number != hit);
            let whole: Vec<_> = whole.map(|(n, data)| ((n + 1).to_string(), data.clone())).collect();
            // What was recovered once is recovered.
            for _ in 0..2 {
                let stream = EmbeddedStream::open(folder.path(), 1).unwrap();
                let read = read_all(&stream, "shard-000", 2).await;
                let read = read.into_iter().map(|r| (r.position.sequence, r.data.to_vec()));
                assert_eq!(read.collect::<Vec<_>>(), whole);
            }
            let stream = EmbeddedStream::open(folder.path(), 1).unwrap();
            let next = stream.append(vec![record("k", "next")], &deadline()).await.unwrap();
            let last = if hit + 1 == payloads.len() { hit } else { payloads.len() };
            assert_eq!(next[0].as_ref().unwrap().sequence, (last + 1).to_string());
            assert_eq!(read_all(&stream, "shard-000", 9).await.len(), whole.len() + 1);
        });
    }
}

#[tokio::test]
async fn two_damaged_places_cost_two_records_and_a_torn_end_is_still_cut() {
    let folder = tempfile::tempdir().unwrap();
    let payloads: Vec<Vec<u8>> = (0..8u8).map(|n| vec![n; 300]).collect();
    let ends = acknowledged(folder.path(), &payloads).await;
    let path = last_segment(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    for number in [1, 2, 5] {
        // Also the length of the frame: nobody knows where it would end.
        let begin = ends[number - 1] as usize;
        bytes[begin..begin + 200].fill(0xff);
    }
    bytes.extend([7; 20]);
    fs::write(&path, bytes).unwrap();
    let stream = EmbeddedStream::open(folder.path(), 1).unwrap();
    let read = read_all(&stream, "shard-000", 3).await;
    let left: Vec<u8> = read.iter().map(|record| record.data[0]).collect();
    assert_eq!(left, [0, 3, 4, 6, 7]);
    // A consumer that stands in front of a gap goes on behind it.
    let after = stream.read("shard-000", Some("2"), 1, &deadline()).await;
    assert_eq!(after.unwrap()[0].position.sequence, "4");
}

#[tokio::test]
async fn no_sequence_that_a_consumer_holds_is_given_again() {
    let folder = tempfile::tempdir().unwrap();
    acknowledged(folder.path(), &[vec![1], vec![2]]).await;
    let stream = EmbeddedStream::open(folder.path(), 1).unwrap();
    let behind = stream.go_on_after("shard-000", "2", &deadline()).await;
    assert!(!behind.unwrap(), "the log is as far as its consumer");
    // As if the log had been put back from an older copy.
    let behind = stream.go_on_after("shard-000", "70", &deadline()).await;
    assert!(behind.unwrap());
    drop(stream);
    let stream = EmbeddedStream::open(folder.path(), 1).unwrap();
    let next = stream.append(vec![record("k", "x")], &deadline()).await;
    let sequence = next.unwrap().remove(0).unwrap().sequence;
    assert_eq!(sequence, (70 + LEAP_RECORDS + 1).to_string());
    let behind = stream.go_on_after("shard-000", "70", &deadline()).await;
    assert!(!behind.unwrap(), "once is enough");
    for (after, records) in [(None, 3), (Some("2"), 1), (Some("70"), 1)] {
        let read = stream.read("shard-000", after, 9, &deadline()).await;
        assert_eq!(read.unwrap().len(), records, "{after:?}");
    }
    assert_eq!(read_all(&stream, "shard-000", 1).await.len(), 3);
}

/// Where the segments of the only shard are.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let all = segment::Segment::all(&dir.join("shard-000")).unwrap();
    all.into_iter().map(|segment| segment.path).collect()
}

fn three_a_segment() -> StreamOptions {
    StreamOptions {
        segment_bytes: 300,
        ..StreamOptions::default()
    }
}

/// Nine records in three segments.
async fn nine(dir: &Path) -> EmbeddedStream {
    let stream = EmbeddedStream::open_with(dir, 1, &three_a_segment()).unwrap();
    for number in 1..=9_u8 {
        let records = vec![record("k", vec![number; 100])];
        let answers = stream.append(records, &deadline()).await.unwrap();
        assert!(answers[0].is_ok());
    }
    assert_eq!(segments(dir).len(), 3);
    stream
}

async fn numbers(stream: &EmbeddedStream, limit: usize) -> Vec<u8> {
    let read = read_all(stream, "shard-000", limit).await;
    let number = |record: &StreamRecord| {
        assert_eq!(record.position.sequence, record.data[0].to_string());
        record.data[0]
    };
    read.iter().map(number).collect()
}

#[tokio::test]
async fn damage_before_the_tail_is_reported_and_skipped() {
    let folder = tempfile::tempdir().unwrap();
    nine(folder.path()).await;
    let segment_bytes = fs::metadata(&segments(folder.path())[0]).unwrap().len() as usize;
    let frame = (segment_bytes - 8) / 3;
    let at = move |record: usize| 8 + (record - 1) * frame;
    // Which segment, what becomes of it, which records that costs.
    type Harm = Box<dyn Fn(&mut Vec<u8>)>;
    let cases: [(usize, Harm, &[u8]); 9] = [
        (0, Box::new(move |b| b[at(1) + 50] ^= 1), &[1]),
        (0, Box::new(move |b| b[at(1)..at(3)].fill(0xff)), &[1, 2]),
        (0, Box::new(|b| b[3] ^= 1), &[]),
        (1, Box::new(move |b| b[at(2)] ^= 1), &[5]),
        (1, Box::new(move |b| b[at(3) + 60] ^= 1), &[6]),
        (1, Box::new(move |b| b.truncate(at(2) + 9)), &[5, 6]),
        (1, Box::new(|b| b.clear()), &[4, 5, 6]),
        (2, Box::new(move |b| b[at(2) + 50] ^= 1), &[8]),
        (2, Box::new(|b| b[3] ^= 1), &[]),
    ];
    for (number, (segment, harm, lost)) in cases.into_iter().enumerate() {
        for restarted in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut stream = nine(folder.path()).await;
            let path = segments(folder.path()).remove(segment);
            let mut bytes = fs::read(&path).unwrap();
            harm(&mut bytes);
            fs::write(&path, bytes).unwrap();

            let looking = EmbeddedStream::open_to_read(folder.path()).unwrap();
            let left: Vec<u8> = (1..=9).filter(|n| !lost.contains(n)).collect();
            assert_eq!(numbers(&looking, 2).await, left, "case {number}, looked at");
            assert_eq!(looking.lost(), lost.len() as u64);
            if restarted {
                drop(stream);
                stream = EmbeddedStream::open_with(folder.path(), 1, &three_a_segment()).unwrap();
            }
            // Two consumers and different strides: the loss is counted once.
            for limit in [1, 4, 9] {
                assert_eq!(numbers(&stream, limit).await, left, "case {number}");
                assert_eq!(stream.lost(), lost.len() as u64, "case {number}");
            }
            for after in 1..9 {
                let (sequence, soon) = (after.to_string(), deadline());
                let read = stream.read("shard-000", Some(&sequence), 1, &soon);
                let next = left.iter().find(|n| u64::from(**n) > after);
                assert_eq!(read.await.unwrap()[0].data[0], *next.unwrap());
            }
            let next = stream
                .append(vec![record("k", vec![10])], &deadline())
                .await;
            assert_eq!(next.unwrap()[0].as_ref().unwrap().sequence, "10");
            assert_eq!(numbers(&stream, 3).await, [left, vec![10]].concat());
        }
    }
}

#[tokio::test]
async fn a_damaged_end_is_told_once_something_follows_it() {
    let folder = tempfile::tempdir().unwrap();
    let stream = nine(folder.path()).await;
    let path = segments(folder.path()).remove(2);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(numbers(&stream, 9).await, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(stream.lost(), 0, "nobody can know yet");
    let next = stream
        .append(vec![record("k", vec![10])], &deadline())
        .await;
    assert_eq!(next.unwrap()[0].as_ref().unwrap().sequence, "10");
    assert_eq!(numbers(&stream, 9).await, [1, 2, 3, 4, 5, 6, 7, 8, 10]);
    assert_eq!(stream.lost(), 1);
}
