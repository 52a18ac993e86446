//! Files that arrow wrote, for our reader, and ours, for arrow.

use arrow_array::types::Int32Type;
use arrow_array::{BooleanArray, ListArray, RecordBatch};
use arrow_schema::Schema;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{KeyValue, ParquetMetaDataBuilder, ParquetMetaDataWriter};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnPath;

use super::*;

type Columns = Vec<(Field, ArrayRef)>;

/// A file of our table with columns of the caller's choice.
pub(super) fn forged(version: &str, columns: Columns) -> Bytes {
    let zstd = Compression::ZSTD(Default::default());
    forged_as(
        WriterProperties::builder().set_compression(zstd),
        version,
        columns,
    )
}

fn forged_as(properties: WriterPropertiesBuilder, version: &str, columns: Columns) -> Bytes {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let pair = KeyValue::new("reelway.schema".to_owned(), version.to_owned());
    let properties = properties.set_key_value_metadata(Some(vec![pair])).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    Bytes::from(writer.into_inner().unwrap())
}

/// What arrow finds in a file of ours.
pub(super) fn columns_of(rows: &[LakeRow]) -> Columns {
    let builder = by_arrow(encode_events(rows).unwrap());
    let schema = builder.schema().clone();
    let mut reader: ParquetRecordBatchReader = builder.build().unwrap();
    let batch = reader.next().transpose().unwrap();
    let batch = batch.unwrap_or_else(|| RecordBatch::new_empty(schema.clone()));
    let fields = schema.fields().iter().map(|field| field.as_ref().clone());
    fields.zip(batch.columns().to_vec()).collect()
}

fn by_arrow(file: Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap()
}

/// The columns of version 1, as it declared them.
fn first_fields() -> Vec<Field> {
    use DataType::{Boolean, Int32, Int64, Utf8};
    let fields = [
        ("event_id", Utf8, false),
        ("kind", Utf8, false),
        ("user_id", Utf8, false),
        ("video_id", Utf8, false),
        ("ts_ms", Int64, false),
        ("watch_ms", Int64, true),
        ("duration_ms", Int64, true),
        ("scene", Utf8, true),
        ("market", Utf8, true),
        ("creator_id", Utf8, true),
        ("undo", Boolean, false),
        ("recommendation_id", Utf8, true),
        ("slate_position", Int32, true),
        ("shard", Utf8, false),
        ("sequence", Utf8, false),
        ("record_index", Int32, false),
    ];
    let fields = fields.map(|(name, kind, nullable)| Field::new(name, kind, nullable));
    fields.to_vec()
}

#[test]
fn files_of_the_first_writer_are_read() {
    let text = |texts: [&str; 2]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let known =
        |texts: [Option<&str>; 2]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let arrays: Vec<ArrayRef> = vec![
        text(["e1", "e2"]),
        text(["click", "watch"]),
        text(["u", "u"]),
        text(["v", "v"]),
        Arc::new(Int64Array::from(vec![1_650_812_741_437, 1_650_812_741_438])),
        Arc::new(Int64Array::from(vec![None, Some(900)])),
        Arc::new(Int64Array::from(vec![None, Some(30_000)])),
        known([None, Some("home")]),
        known([None, None]),
        known([None, Some("c")]),
        Arc::new(BooleanArray::from(vec![false, true])),
        known([None, Some("r")]),
        Arc::new(Int32Array::from(vec![None, Some(3)])),
        text(["shard-000", "shard-000"]),
        text(["7", "8"]),
        Arc::new(Int32Array::from(vec![0, 1])),
    ];
    let mut second = row(2, "shard-000", "8", 1);
    second.event.kind = EventKind::Watch;
    second.event.watch_ms = Some(900);
    second.event.duration_ms = Some(30_000);
    second.event.scene = SmolStr::new("home");
    second.event.creator_id = Some(CreatorId::parse("c").unwrap());
    second.event.undo = true;
    second.event.recommendation_id = SmolStr::new("r");
    second.event.slate_position = Some(3);
    let rows = [row(1, "shard-000", "7", 0), second];

    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_max_row_group_row_count(Some(1))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_dictionary_enabled(ColumnPath::from("event_id"), false)
        .set_column_dictionary_enabled(ColumnPath::from("ts_ms"), false);
    let columns: Columns = first_fields().into_iter().zip(arrays).collect();
    let file = EventFile::from_bytes(forged_as(properties, "events/1", columns)).unwrap();
    let batches: Vec<Vec<LakeRow>> = file.map(Result::unwrap).collect();
    assert_eq!(
        batches,
        [&rows[..1], &rows[1..]],
        "a batch ends with its row group"
    );
}

#[test]
fn others_see_strings_numbers_and_the_schema_of_the_table() {
    let file = encode_events(&[row(1, "shard-000", "7", 0)]).unwrap();
    let mut fields = first_fields();
    fields.push(Field::new("arms", DataType::Utf8, true));
    fields.push(Field::new("generation", DataType::Utf8, true));
    fields.push(Field::new("propensity_ppb", DataType::Int32, true));
    let found = by_arrow(file.clone()).schema().clone();
    assert_eq!(
        found
            .fields()
            .iter()
            .map(|f| f.as_ref().clone())
            .collect::<Vec<_>>(),
        fields
    );

    let metadata = SerializedFileReader::new(file).unwrap().metadata().clone();
    let pairs = metadata.file_metadata().key_value_metadata().unwrap();
    assert!(pairs.contains(&KeyValue::new(
        "reelway.schema".to_owned(),
        "events/2".to_owned()
    )));
    for column in metadata.row_group(0).columns() {
        let name = column.column_descr().name();
        let zstd = matches!(column.compression(), Compression::ZSTD(_));
        assert!(zstd && column.statistics().is_some(), "{name}");
        let unique = ["event_id", "ts_ms", "undo"].contains(&name);
        let dictionary = column.encodings().any(|e| e == Encoding::RLE_DICTIONARY);
        assert_eq!(dictionary, !unique, "{name}");
    }
}

#[test]
fn columns_are_found_in_any_order_and_nullability_but_not_nested() {
    let rows = [row(1, "shard-000", "7", 0), row(2, "shard-000", "7", 1)];
    let mut columns = columns_of(&rows);
    columns.reverse();
    for (field, _) in &mut columns {
        *field = field.clone().with_nullable(true);
    }
    assert_eq!(read(forged("events/2", columns.clone())).unwrap(), rows);

    for (name, null) in [
        (
            "event_id",
            Arc::new(StringArray::from(vec![Some("e1"), None])) as ArrayRef,
        ),
        ("ts_ms", Arc::new(Int64Array::from(vec![None, Some(7)]))),
        ("undo", Arc::new(BooleanArray::from(vec![Some(true), None]))),
    ] {
        let mut columns = columns.clone();
        let column = columns.iter_mut().find(|(field, _)| field.name() == name);
        column.unwrap().1 = null;
        assert!(
            refused(forged("events/2", columns)).contains(name),
            "{name}"
        );
    }

    let lists = [Some(vec![Some(1)]), None];
    let lists = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)) as ArrayRef;
    columns.push((
        Field::new("added_later", lists.data_type().clone(), true),
        lists,
    ));
    assert!(refused(forged("events/3", columns)).contains("nested"));
}

#[test]
fn texts_that_grow_when_decoded_or_are_none_are_refused() {
    let rows = [row(1, "shard-000", "7", 0)];
    let grows = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_column_encoding(ColumnPath::from("scene"), Encoding::DELTA_BYTE_ARRAY);
    let mut columns = columns_of(&rows);
    columns[7].1 = Arc::new(StringArray::from(vec!["home"]));
    let why = refused(forged_as(grows, "events/2", columns.clone()));
    assert!(why.contains("DELTA_BYTE_ARRAY"), "{why}");

    let file = forged_as(WriterProperties::builder(), "events/2", columns);
    let mut bytes = file.to_vec();
    let places = file
        .windows(4)
        .enumerate()
        .filter(|(_, text)| text == b"home");
    for (at, _) in places {
        bytes[at] = 0xff;
    }
    assert!(refused(bytes.into()).contains("scene"));
}

#[test]
fn a_footer_that_declares_more_rows_than_there_are_is_corrupt() {
    let file = WHOLE.clone();
    let metadata = SerializedFileReader::new(file.clone())
        .unwrap()
        .metadata()
        .clone();
    let group = metadata.row_group(0).clone().into_builder();
    let group = group.set_num_rows(201).build().unwrap();
    let metadata = ParquetMetaDataBuilder::new(metadata.file_metadata().clone())
        .add_row_group(group)
        .build();
    let end = file.len() - 8;
    let footer = u32::from_le_bytes(file[end..end + 4].try_into().unwrap()) as usize;
    let mut lying = file[..end - footer].to_vec();
    ParquetMetaDataWriter::new(&mut lying, &metadata)
        .finish()
        .unwrap();
    assert!(refused(lying.into()).contains("fewer rows"));
}
