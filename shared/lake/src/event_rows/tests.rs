mod forged;

use std::sync::{Arc, LazyLock};

use arrow_array::{ArrayRef, Int32Array, Int64Array, StringArray, StringViewArray};
use arrow_schema::{DataType, Field};
use proptest::prelude::*;

use super::sample::{any_row, row};
use super::*;
use crate::profile_rows::encode_profiles;
use crate::table::{BATCH_ROWS, FILE_ROWS_MAX, GROUP_ROWS};
use forged::{columns_of, forged};

fn read(bytes: Bytes) -> Result<Vec<LakeRow>, Error> {
    let mut rows = Vec::new();
    for batch in EventFile::from_bytes(bytes)? {
        rows.extend(batch?);
    }
    Ok(rows)
}

fn refused(bytes: Bytes) -> String {
    let error = read(bytes).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    let because = error
        .source
        .as_ref()
        .map(|source| source.to_string())
        .unwrap_or_default();
    format!("{error}: {because}")
}

/// A file of a few hundred rows, whole.
static WHOLE: LazyLock<Bytes> = LazyLock::new(|| {
    let rows: Vec<LakeRow> = (0..200).map(|n| row(n, "shard-000", "7", n)).collect();
    encode_events(&rows).unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn events_come_back_as_they_went(rows in prop::collection::vec(any_row(), 0..60)) {
        prop_assert_eq!(&read(encode_events(&rows).unwrap()).unwrap(), &rows);
        let by_arrow = forged("events/2", columns_of(&rows));
        prop_assert_eq!(read(by_arrow).unwrap(), rows, "read and written again by arrow");
    }

    #[test]
    fn a_truncated_file_is_corrupt(cut: prop::sample::Index) {
        let error = read(WHOLE.slice(..cut.index(WHOLE.len()))).unwrap_err();
        prop_assert_eq!(error.kind, ErrorKind::Corrupt);
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_but_never_panic(
        at: prop::sample::Index,
        noise in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let mut bytes = WHOLE.to_vec();
        let at = at.index(bytes.len());
        for (byte, noise) in bytes[at..].iter_mut().zip(noise) {
            *byte ^= noise;
        }
        if let Err(error) = read(Bytes::from(bytes)) {
            prop_assert_eq!(error.kind, ErrorKind::Corrupt);
        }
    }

    #[test]
    fn garbage_is_corrupt(bytes: Vec<u8>) {
        prop_assert_eq!(read(Bytes::from(bytes)).unwrap_err().kind, ErrorKind::Corrupt);
    }
}

#[test]
fn files_larger_than_a_row_group_are_handed_out_in_order() {
    let count = GROUP_ROWS + BATCH_ROWS + 5;
    let numbered = |n| row(n, "shard-000", "7", n);
    let rows: Vec<LakeRow> = (0..count as u32).map(numbered).collect();
    let mut writer = EventWriter::new(Vec::new()).unwrap();
    for some in rows.chunks(BATCH_ROWS - 1) {
        writer.write(some).unwrap();
        assert!(writer.memory_bytes() < GROUP_ROWS * 200, "a group at most");
    }
    assert_eq!(writer.rows(), count as u64);
    let file = EventFile::from_bytes(writer.finish().unwrap().into()).unwrap();
    assert_eq!(file.rows(), count as u64);
    let batches: Vec<Vec<LakeRow>> = file.map(Result::unwrap).collect();
    let mut lengths = vec![BATCH_ROWS; GROUP_ROWS / BATCH_ROWS + 1];
    lengths.push(5);
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
    assert_eq!(batches.concat(), rows);
}

#[test]
fn the_next_version_is_read_and_strangers_are_not() {
    let rows = [row(1, "shard-000", "7", 0)];
    let more = || {
        let mut columns = columns_of(&rows);
        let new: ArrayRef = Arc::new(Int64Array::from(vec![5]));
        columns.push((Field::new("added_later", DataType::Int64, false), new));
        columns
    };
    assert_eq!(read(forged("events/3", more())).unwrap(), rows);
    for version in ["events/4", "events/0", "profiles/1", "events", ""] {
        assert!(
            refused(forged(version, columns_of(&rows))).contains("version"),
            "{version}"
        );
    }
    let mut first = columns_of(&rows);
    for added in ["propensity_ppb", "generation", "arms"] {
        assert_eq!(first.pop().unwrap().0.name(), added);
        let file = forged("events/1", first.clone());
        assert_eq!(read(file).unwrap(), rows, "from before {added}");
    }
    let mut without = columns_of(&rows);
    without.remove(4);
    assert!(refused(forged("events/1", without)).contains("without column ts_ms"));
    let mut retyped = columns_of(&rows);
    retyped[4] = (
        Field::new("ts_ms", DataType::Int32, false),
        Arc::new(Int32Array::from(vec![1])),
    );
    assert!(refused(forged("events/1", retyped)).contains("without column ts_ms"));
    assert!(refused(encode_profiles(&[], "g").unwrap()).contains("version"));
}

#[test]
fn values_a_row_may_not_hold_are_corrupt() {
    let bad: [(&str, ArrayRef); 7] = [
        ("kind", Arc::new(StringArray::from(vec!["dance"]))),
        ("user_id", Arc::new(StringArray::from(vec!["a b"]))),
        ("video_id", Arc::new(StringArray::from(vec![""]))),
        ("watch_ms", Arc::new(Int64Array::from(vec![-1]))),
        ("duration_ms", Arc::new(Int64Array::from(vec![1 << 40]))),
        ("record_index", Arc::new(Int32Array::from(vec![-1]))),
        (
            "sequence",
            Arc::new(StringArray::from(vec!["9".repeat(129)])),
        ),
    ];
    for (name, array) in bad {
        let mut columns = columns_of(&[row(1, "shard-000", "7", 0)]);
        let column = columns
            .iter_mut()
            .find(|(field, _)| field.name() == name)
            .unwrap();
        column.1 = array;
        assert!(
            refused(forged("events/1", columns)).contains(name),
            "{name}"
        );
    }
}

#[test]
fn a_bomb_is_refused_by_its_footer() {
    let rows = FILE_ROWS_MAX as usize + 1;
    let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; rows]));
    let bomb = forged(
        "events/1",
        vec![(Field::new("ts_ms", DataType::Int64, false), zeros)],
    );
    assert!(bomb.len() < 100_000, "small on disk: {}", bomb.len());
    assert!(refused(bomb).contains("too many"));
}

#[test]
fn one_long_text_in_a_dictionary_is_not_copied_once_per_row() {
    let rows: Vec<LakeRow> = (0..1_000).map(|n| row(n, "shard-000", "7", n)).collect();
    let mut columns = columns_of(&rows);
    let long = "x".repeat(900_000);
    // A thousand copies would be 900 MB.
    let texts = StringViewArray::from_iter_values(rows.iter().map(|_| long.as_str()));
    columns[7] = (
        Field::new("scene", DataType::Utf8View, true),
        Arc::new(texts),
    );
    assert!(refused(forged("events/1", columns)).contains("scene"));
}

#[test]
fn a_row_without_room_is_refused_when_written() {
    let mut long = row(1, "shard-000", "7", 0);
    long.event.event_id = SmolStr::new("e".repeat(65));
    let mut far = row(1, "shard-000", "7", u32::MAX);
    far.event.scene = SmolStr::new("home");
    for bad in [long, far, row(1, "", "7", 0)] {
        assert_eq!(encode_events(&[bad]).unwrap_err().kind, ErrorKind::Invalid);
    }
}

/// A day of the data: `cargo test --release -p lake -- --ignored --nocapture`.
#[test]
#[ignore = "shows how long rows take; a busy machine would fail it"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn a_day_of_rows_is_written_and_read() {
    const ROWS: u32 = 390_000;
    let numbered = |n: u32| {
        let mut row = row(n, "shard-000", &n.to_string(), 0);
        row.event.user_id = UserId::parse(&format!("{}", n / 40)).unwrap();
        row.event.video_id =
            VideoId::parse(&format!("{}", n.wrapping_mul(2_654_435_761) >> 20)).unwrap();
        row.event.watch_ms = Some(n % 60_000);
        row.event.scene = SmolStr::new_static("home");
        row
    };
    let rows: Vec<LakeRow> = (0..ROWS).map(numbered).collect();
    let mut took = [u128::MAX; 2];
    let mut bytes = 0;
    for _ in 0..5 {
        let start = std::time::Instant::now();
        let file = encode_events(&rows).unwrap();
        took[0] = took[0].min(start.elapsed().as_millis());
        bytes = file.len();
        let start = std::time::Instant::now();
        assert!(read(file).unwrap() == rows);
        took[1] = took[1].min(start.elapsed().as_millis());
    }
    let [wrote, read] = took;
    println!(
        "shown: {ROWS} rows, {bytes} bytes: written in {wrote} ms, read in {read} ms (best of 5)"
    );
}
