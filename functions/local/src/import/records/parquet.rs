//! Rows of a Parquet file.

use std::fmt::Write;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use jiff::{SignedDuration, Timestamp};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::{Cells, Column, Records, Step, order};

const BATCH_ROWS: usize = 4_096;
const DAY_S: i64 = 86_400;

/// Rows of a Parquet file, of which only the named columns are read.
pub(super) struct ParquetRecords {
    reader: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    at: usize,
    row: u64,
    rows: u64,
    bytes: u64,
    cells: Cells,
}

impl ParquetRecords {
    pub(super) fn open(path: &Path, columns: &[Column]) -> anyhow::Result<Self> {
        let unreadable = || format!("{} cannot be read as Parquet", path.display());
        let file = File::open(path).with_context(unreadable)?;
        let bytes = file.metadata().with_context(unreadable)?.len();
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .with_context(unreadable)?;
        let fields = builder.schema().fields().clone();
        let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let order = order(path, columns, &names)?;
        let mut roots: Vec<usize> = order.iter().copied().flatten().collect();
        roots.sort_unstable();
        roots.dedup();
        for field in roots.iter().filter_map(|root| fields.get(*root)) {
            if !readable(field.data_type()) {
                bail!(
                    "{}: column {} is of a type that is not read",
                    path.display(),
                    field.name()
                );
            }
        }
        // The batches hold only the projected columns, in the order of the file.
        let place = |root: Option<usize>| root.and_then(|root| roots.binary_search(&root).ok());
        let cells = Cells::new(order.into_iter().map(place).collect());
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader = builder
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build();
        let reader = reader.with_context(unreadable)?;
        Ok(Self {
            reader,
            batch: None,
            at: 0,
            row: 0,
            rows,
            bytes,
            cells,
        })
    }
}

impl Records for ParquetRecords {
    fn next(&mut self) -> anyhow::Result<Step<'_>> {
        let batch = loop {
            match self.batch.take() {
                Some(batch) if self.at < batch.num_rows() => break self.batch.insert(batch),
                _ => match self.reader.next() {
                    Some(batch) => (self.batch, self.at) = (Some(batch?), 0),
                    None => return Ok(Step::End),
                },
            }
        };
        self.cells.clear();
        for column in batch.columns() {
            // Writing to a string does not fail.
            let _ = write(column, self.at, &mut self.cells.text);
            self.cells.end_field();
        }
        self.at += 1;
        self.row += 1;
        Ok(Step::Record {
            row: self.row,
            cells: &self.cells,
        })
    }

    fn raw(&self) -> String {
        let fields = (0..self.cells.fields()).map(|field| self.cells.field(field));
        fields.collect::<Vec<_>>().join("\t")
    }

    fn bytes_read(&self) -> u64 {
        let share = self.row as f64 / self.rows.max(1) as f64;
        (self.bytes as f64 * share) as u64
    }
}

fn readable(kind: &DataType) -> bool {
    match kind {
        DataType::List(item) | DataType::LargeList(item) => {
            readable(item.data_type()) && !item.data_type().is_nested()
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Boolean | DataType::Date32 => true,
        DataType::Timestamp(_, _) | DataType::Null => true,
        kind => kind.is_integer() || matches!(kind, DataType::Float32 | DataType::Float64),
    }
}

/// Writes a value as the text a cell would hold; the parts of a list are separated by `|`.
fn write(array: &ArrayRef, at: usize, text: &mut String) -> std::fmt::Result {
    if at >= array.len() || array.is_null(at) {
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8 => text.write_str(array.as_string::<i32>().value(at)),
        DataType::LargeUtf8 => text.write_str(array.as_string::<i64>().value(at)),
        DataType::Boolean => write!(text, "{}", array.as_boolean().value(at)),
        DataType::Int8 => write!(text, "{}", array.as_primitive::<Int8Type>().value(at)),
        DataType::Int16 => write!(text, "{}", array.as_primitive::<Int16Type>().value(at)),
        DataType::Int32 => write!(text, "{}", array.as_primitive::<Int32Type>().value(at)),
        DataType::Int64 => write!(text, "{}", array.as_primitive::<Int64Type>().value(at)),
        DataType::UInt8 => write!(text, "{}", array.as_primitive::<UInt8Type>().value(at)),
        DataType::UInt16 => write!(text, "{}", array.as_primitive::<UInt16Type>().value(at)),
        DataType::UInt32 => write!(text, "{}", array.as_primitive::<UInt32Type>().value(at)),
        DataType::UInt64 => write!(text, "{}", array.as_primitive::<UInt64Type>().value(at)),
        DataType::Float32 => write!(text, "{}", array.as_primitive::<Float32Type>().value(at)),
        DataType::Float64 => write!(text, "{}", array.as_primitive::<Float64Type>().value(at)),
        DataType::Date32 => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(at));
            write_time(SignedDuration::from_secs(days * DAY_S), text)
        }
        DataType::Timestamp(unit, _) => write_time(since_1970(array, at, *unit), text),
        DataType::List(_) => write_list(&array.as_list::<i32>().value(at), text),
        DataType::LargeList(_) => write_list(&array.as_list::<i64>().value(at), text),
        _ => Ok(()),
    }
}

fn write_list(parts: &ArrayRef, text: &mut String) -> std::fmt::Result {
    for part in 0..parts.len() {
        if part > 0 {
            text.push('|');
        }
        write(parts, part, text)?;
    }
    Ok(())
}

fn since_1970(array: &ArrayRef, at: usize, unit: TimeUnit) -> SignedDuration {
    match unit {
        TimeUnit::Second => {
            SignedDuration::from_secs(array.as_primitive::<TimestampSecondType>().value(at))
        }
        TimeUnit::Millisecond => {
            SignedDuration::from_millis(array.as_primitive::<TimestampMillisecondType>().value(at))
        }
        TimeUnit::Microsecond => {
            SignedDuration::from_micros(array.as_primitive::<TimestampMicrosecondType>().value(at))
        }
        TimeUnit::Nanosecond => {
            SignedDuration::from_nanos(array.as_primitive::<TimestampNanosecondType>().value(at))
        }
    }
}

/// A time outside the calendar is left empty, so that its row is malformed.
fn write_time(since_1970: SignedDuration, text: &mut String) -> std::fmt::Result {
    match Timestamp::from_duration(since_1970) {
        Ok(instant) => write!(text, "{instant}"),
        Err(_) => Ok(()),
    }
}
