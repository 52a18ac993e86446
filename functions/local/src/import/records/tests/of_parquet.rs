//! Parquet files of others, as arrow and old writers make them.

use std::fs::File;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::data_type::{Int32Type, Int64Type, Int96, Int96Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::types::Int32Type as ArrowInt32;
use arrow_array::*;
use arrow_schema::{DataType, Field, Schema};

use super::*;

const MICROS: i64 = 1_650_812_741_436_789;

/// A file that arrow wrote.
fn file_of(dir: &tempfile::TempDir, group_rows: usize, arrays: Vec<(&str, ArrayRef)>) -> PathBuf {
    let field =
        |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let fields: Vec<Field> = arrays.iter().map(field).collect();
    let arrays = arrays.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let path = dir.path().join("a.parquet");
    let file = File::create(&path).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(group_rows))
        .build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn lists(of: [Option<&[Option<&str>]>; 2]) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for list in of {
        match list {
            Some(parts) => builder.append_value(parts.iter().copied()),
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

#[test]
fn parquet_columns_of_every_plain_type_are_text() {
    let numbers = [Some(vec![Some(1), Some(2)]), None];
    let numbers = ListArray::from_iter_primitive::<ArrowInt32, _, _>(numbers);
    let (null, empty) = ([Some("a"), None, Some("b")], []);
    let cases: Vec<(&str, ArrayRef, [&str; 2])> = vec![
        (
            "id",
            Arc::new(StringArray::from(vec![Some("x"), None])),
            ["x", ""],
        ),
        (
            "long",
            Arc::new(LargeStringArray::from(vec!["é", " a "])),
            ["é", "a"],
        ),
        (
            "flag",
            Arc::new(BooleanArray::from(vec![true, false])),
            ["true", "false"],
        ),
        (
            "i8",
            Arc::new(Int8Array::from(vec![-128, 127])),
            ["-128", "127"],
        ),
        (
            "i16",
            Arc::new(Int16Array::from(vec![-32_768, 7])),
            ["-32768", "7"],
        ),
        (
            "i32",
            Arc::new(Int32Array::from(vec![Some(i32::MIN), None])),
            ["-2147483648", ""],
        ),
        (
            "i64",
            Arc::new(Int64Array::from(vec![i64::MIN, 7])),
            ["-9223372036854775808", "7"],
        ),
        ("u8", Arc::new(UInt8Array::from(vec![255, 0])), ["255", "0"]),
        (
            "u16",
            Arc::new(UInt16Array::from(vec![65_535, 0])),
            ["65535", "0"],
        ),
        (
            "u32",
            Arc::new(UInt32Array::from(vec![u32::MAX, 0])),
            ["4294967295", "0"],
        ),
        (
            "u64",
            Arc::new(UInt64Array::from(vec![u64::MAX, 0])),
            ["18446744073709551615", "0"],
        ),
        (
            "f32",
            Arc::new(Float32Array::from(vec![0.1, -2.0])),
            ["0.1", "-2"],
        ),
        (
            "f64",
            Arc::new(Float64Array::from(vec![0.5, f64::NAN])),
            ["0.5", "NaN"],
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![-1, 19_106])),
            ["1969-12-31T00:00:00Z", "2022-04-24T00:00:00Z"],
        ),
        (
            "second",
            Arc::new(TimestampSecondArray::from(vec![0, 1_650_812_741])),
            ["0", "1650812741"], // Parquet has no such unit; arrow writes numbers
        ),
        (
            "milli",
            Arc::new(TimestampMillisecondArray::from(vec![-1, MICROS / 1_000])),
            ["1969-12-31T23:59:59.999Z", "2022-04-24T15:05:41.436Z"],
        ),
        (
            "micro",
            Arc::new(TimestampMicrosecondArray::from(vec![0, MICROS])),
            ["1970-01-01T00:00:00Z", "2022-04-24T15:05:41.436789Z"],
        ),
        (
            "nano",
            Arc::new(
                TimestampNanosecondArray::from(vec![1, MICROS * 1_000 + 5]).with_timezone("UTC"),
            ),
            [
                "1970-01-01T00:00:00.000000001Z",
                "2022-04-24T15:05:41.436789005Z",
            ],
        ),
        (
            "never",
            Arc::new(TimestampMillisecondArray::from(vec![i64::MAX, i64::MIN])),
            ["", ""],
        ),
        ("nothing", Arc::new(NullArray::new(2)), ["", ""]),
        ("tags", Arc::new(numbers), ["1|2", ""]),
        ("words", lists([Some(&null), Some(&empty)]), ["a||b", ""]),
    ];
    let dir = tempfile::tempdir().unwrap();
    let mut arrays: Vec<(&str, ArrayRef)> =
        vec![("unused", Arc::new(Int64Array::from(vec![7, 7])))];
    arrays.extend(cases.iter().map(|(name, array, _)| (*name, array.clone())));
    let path = file_of(&dir, 1, arrays);
    let mut columns: Vec<Column> = cases
        .iter()
        .map(|(name, _, _)| Column::required(name))
        .collect();
    columns.reverse();
    let cells = |row: usize| {
        cases
            .iter()
            .rev()
            .map(|(_, _, text)| text[row])
            .collect::<Vec<_>>()
    };
    let expected = [ok(1, &cells(0)), ok(2, &cells(1))];
    assert_eq!(read(&path, Layout::Parquet, &columns), expected);

    assert!(open(&path, Layout::Parquet, &[Column::required("none")]).is_err());
    let text = file(&dir, "no.parquet", "not parquet at all");
    let error = open(&text, Layout::Parquet, &columns).err().unwrap();
    assert!(
        error
            .to_string()
            .ends_with("no.parquet cannot be read as Parquet"),
        "{error}"
    );
}

#[test]
fn columns_of_other_types_are_refused_by_name() {
    let pair: ArrayRef = Arc::new(Int64Array::from(vec![7, 7]));
    let field = Arc::new(Field::new("x", DataType::Int64, false));
    let mut nested = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
    nested.append(false);
    nested.append(false);
    let decimals = Decimal128Array::from(vec![1, 2]).with_precision_and_scale(9, 2);
    let cases: Vec<(&str, ArrayRef)> = vec![
        (
            "bytes",
            Arc::new(BinaryArray::from(vec![b"a".as_ref(), b"b"])),
        ),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![1, 2]))),
        ("decimal", Arc::new(decimals.unwrap())),
        ("struct", Arc::new(StructArray::from(vec![(field, pair)]))),
        ("lists", Arc::new(nested.finish())),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = file_of(&dir, 2, cases.clone());
    for (name, _) in cases {
        let error = open(&path, Layout::Parquet, &[Column::required(name)])
            .err()
            .unwrap();
        let expected = format!("column {name} is of a type that is not read");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
}

#[test]
fn times_and_lists_of_old_writers_are_read() {
    let schema = "message old {
        required int96 at;
        repeated int32 plain;
        optional group tags (LIST) { repeated int64 array; }
    }";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.parquet");
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();

    let day_ns: u64 = 54_341_436_789_005;
    let mut at = Int96::new();
    at.set_data(day_ns as u32, (day_ns >> 32) as u32, 2_440_588 + 19_106);
    let mut column = group.next_column().unwrap().unwrap();
    let times = [at, Int96::from(vec![0, 0, 2_440_588])];
    column
        .typed::<Int96Type>()
        .write_batch(&times, None, None)
        .unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let plain = column.typed::<Int32Type>();
    plain
        .write_batch(&[4, 5], Some(&[1, 1, 0]), Some(&[0, 1, 0]))
        .unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let tags = column.typed::<Int64Type>();
    tags.write_batch(&[6, 7], Some(&[0, 2, 2]), Some(&[0, 0, 1]))
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();

    let columns = ["at", "plain", "tags"].map(Column::required);
    let expected = [
        ok(1, &["2022-04-24T15:05:41.436789005Z", "4|5", ""]),
        ok(2, &["1970-01-01T00:00:00Z", "", "6|7"]),
    ];
    assert_eq!(read(&path, Layout::Parquet, &columns), expected);
}

#[test]
fn files_longer_than_a_batch_are_read_in_order_and_damaged_ones_end_in_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
    let lists = (0..10_000).map(|n| Some(vec![Some(n); n as usize % 3]));
    let lists = Arc::new(ListArray::from_iter_primitive::<ArrowInt32, _, _>(lists));
    let path = file_of(&dir, 9_000, vec![("n", numbers), ("lists", lists)]);
    let columns = ["n", "lists"].map(Column::required);
    let found = read(&path, Layout::Parquet, &columns);
    assert_eq!(found.len(), 10_000);
    for (n, (row, cells)) in found.iter().enumerate() {
        let list = vec![n.to_string(); n % 3].join("|");
        assert_eq!(
            (*row, cells),
            (n as u64 + 1, &Ok(vec![n.to_string(), list]))
        );
    }

    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 3;
    bytes[4..middle].fill(0xff);
    let damaged = file(&dir, "damaged.parquet", bytes);
    let mut records = open(&damaged, Layout::Parquet, &columns).unwrap();
    while let Ok(step) = records.next() {
        assert!(!matches!(step, Step::End), "its damage was not seen");
    }
}
