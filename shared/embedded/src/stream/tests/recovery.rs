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
