use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use super::sample::{any_row, row};
use super::*;
use crate::profile_rows::encode_profiles;
use crate::table::{BATCH_ROWS, FILE_ROWS_MAX};

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

/// A file of our table with columns of the caller's choice.
fn forged(version: &str, columns: Vec<(Field, ArrayRef)>) -> Bytes {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let pair = KeyValue::new("reelway.schema".to_owned(), version.to_owned());
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![pair]))
        .set_compression(parquet::basic::Compression::ZSTD(Default::default()))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    Bytes::from(writer.into_inner().unwrap())
}

fn columns_of(rows: &[LakeRow]) -> Vec<(Field, ArrayRef)> {
    let batch = LakeRow::to_batch(rows).unwrap();
    let fields = batch
        .schema()
        .fields()
        .iter()
        .map(|f| f.as_ref().clone())
        .collect::<Vec<_>>();
    fields.into_iter().zip(batch.columns().to_vec()).collect()
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
        prop_assert_eq!(read(encode_events(&rows).unwrap()).unwrap(), rows);
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
fn files_larger_than_a_batch_are_handed_out_in_order() {
    let count = BATCH_ROWS as u32 * 2 + 5;
    let rows: Vec<LakeRow> = (0..count).map(|n| row(n, "shard-000", "7", n)).collect();
    let file = EventFile::from_bytes(encode_events(&rows).unwrap()).unwrap();
    assert_eq!(file.rows(), u64::from(count));
    let batches: Vec<Vec<LakeRow>> = file.map(Result::unwrap).collect();
    assert_eq!(
        batches.iter().map(Vec::len).collect::<Vec<_>>(),
        [BATCH_ROWS, BATCH_ROWS, 5]
    );
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
    assert_eq!(first.pop().unwrap().0.name(), "arms");
    assert_eq!(read(forged("events/1", first)).unwrap(), rows, "of version 1");
    let mut without = columns_of(&rows);
    without.remove(4);
    assert!(refused(forged("events/1", without)).contains("without column ts_ms"));
    let mut retyped = columns_of(&rows);
    retyped[4] = (
        Field::new("ts_ms", DataType::Int32, false),
        Arc::new(Int32Array::from(vec![1])),
    );
    assert!(refused(forged("events/1", retyped)).contains("without column ts_ms"));
    assert!(refused(encode_profiles(&[]).unwrap()).contains("version"));
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
    let texts = arrow_array::StringViewArray::from_iter_values(rows.iter().map(|_| long.as_str()));
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
