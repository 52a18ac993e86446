//! The values of a column, as text.

use std::fmt::{Display, Write as _};

use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type,
    Int96, Int96Type,
};
use ::parquet::schema::types::ColumnDescriptor;
use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};

const DAY_S: i64 = 86_400;
/// The Julian day of 1970-01-01, from which the times of INT96 count.
const JULIAN_DAY_OF_1970: i64 = 2_440_588;

/// The values of a column, handed out row by row.
pub(super) trait Leaf {
    /// Which column of the file it is.
    fn place(&self) -> usize;

    /// Turns to the first row of a group.
    fn begin(&mut self, reader: ColumnReader) -> anyhow::Result<()>;

    /// Reads the next rows of the group, which must have so many.
    fn fill(&mut self, rows: usize) -> anyhow::Result<()>;

    /// Writes the next row as the text a cell would hold; the parts of a list are separated by
    /// `|`, and nothing stands for null.
    fn write(&mut self, text: &mut String) -> anyhow::Result<()>;
}

/// How a value is written.
type Write<V> = fn(&V, &mut String) -> anyhow::Result<()>;

struct Typed<T: DataType> {
    place: usize,
    write: Write<T::T>,
    reader: Option<ColumnReaderImpl<T>>,
    /// The definition level of a value that is there.
    value_level: i16,
    /// The definition level from which a part of a list is there, be it null.
    part_level: i16,
    /// The levels of what was read; none where all values must be there.
    levels: Vec<i16>,
    /// Greater than 0 where a list goes on; none where the column has no lists.
    repetitions: Vec<i16>,
    level_at: usize,
    values: Vec<T::T>,
    value_at: usize,
}

/// The values of a column of the file, `None` when they are not of a plain type.
pub(super) fn of(place: usize, column: &ColumnDescriptor) -> Option<Box<dyn Leaf>> {
    fn typed<T: DataType>(
        place: usize,
        column: &ColumnDescriptor,
        write: Write<T::T>,
    ) -> Option<Box<dyn Leaf>> {
        Some(Box::new(Typed::<T> {
            place,
            write,
            reader: None,
            value_level: column.max_def_level(),
            part_level: column.repeated_ancestor_def_level(),
            levels: Vec::new(),
            repetitions: Vec::new(),
            level_at: 0,
            values: Vec::new(),
            value_at: 0,
        }))
    }
    let (logical, converted) = (column.logical_type_ref(), column.converted_type());
    match column.physical_type() {
        Type::BOOLEAN => typed::<BoolType>(place, column, put),
        Type::INT32 => typed::<Int32Type>(place, column, int32(logical, converted)?),
        Type::INT64 => typed::<Int64Type>(place, column, int64(logical, converted)?),
        Type::INT96 => typed::<Int96Type>(place, column, put_int96),
        Type::FLOAT => typed::<FloatType>(place, column, put),
        Type::DOUBLE => typed::<DoubleType>(place, column, put),
        Type::BYTE_ARRAY if is_text(logical, converted) => {
            typed::<ByteArrayType>(place, column, put_text)
        }
        Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => None,
    }
}

fn is_text(logical: Option<&LogicalType>, converted: ConvertedType) -> bool {
    match logical {
        Some(LogicalType::String | LogicalType::Json | LogicalType::Unknown) => true,
        Some(_) => false,
        None => matches!(converted, ConvertedType::UTF8 | ConvertedType::JSON),
    }
}

fn int32(logical: Option<&LogicalType>, converted: ConvertedType) -> Option<Write<i32>> {
    let unsigned: Write<i32> = |number, text| put(&number.cast_unsigned(), text);
    let date: Write<i32> =
        |days, text| put_time(SignedDuration::from_secs(i64::from(*days) * DAY_S), text);
    match (logical, converted) {
        (Some(LogicalType::Integer(integer)), _) if integer.is_signed => Some(put),
        (Some(LogicalType::Integer(_)), _) => Some(unsigned),
        (Some(LogicalType::Date), _) | (None, ConvertedType::DATE) => Some(date),
        (Some(LogicalType::Unknown), _) => Some(put),
        (
            None,
            ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32,
        ) => Some(put),
        (None, ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32) => {
            Some(unsigned)
        }
        _ => None,
    }
}

fn int64(logical: Option<&LogicalType>, converted: ConvertedType) -> Option<Write<i64>> {
    let millis: Write<i64> = |at, text| put_time(SignedDuration::from_millis(*at), text);
    let micros: Write<i64> = |at, text| put_time(SignedDuration::from_micros(*at), text);
    let nanos: Write<i64> = |at, text| put_time(SignedDuration::from_nanos(*at), text);
    let unsigned: Write<i64> = |number, text| put(&number.cast_unsigned(), text);
    match (logical, converted) {
        (Some(LogicalType::Integer(integer)), _) if integer.is_signed => Some(put),
        (Some(LogicalType::Integer(_)), _) | (None, ConvertedType::UINT_64) => Some(unsigned),
        (Some(LogicalType::Timestamp(time)), _) => Some(match time.unit {
            TimeUnit::MILLIS => millis,
            TimeUnit::MICROS => micros,
            TimeUnit::NANOS => nanos,
        }),
        (None, ConvertedType::TIMESTAMP_MILLIS) => Some(millis),
        (None, ConvertedType::TIMESTAMP_MICROS) => Some(micros),
        (Some(LogicalType::Unknown), _) => Some(put),
        (None, ConvertedType::NONE | ConvertedType::INT_64) => Some(put),
        _ => None,
    }
}

impl<T: DataType> Leaf for Typed<T> {
    fn place(&self) -> usize {
        self.place
    }

    fn begin(&mut self, reader: ColumnReader) -> anyhow::Result<()> {
        let reader = T::get_column_reader(reader);
        self.reader = Some(reader.context("a column changes its type between row groups")?);
        Ok(())
    }

    fn fill(&mut self, rows: usize) -> anyhow::Result<()> {
        self.levels.clear();
        self.repetitions.clear();
        self.values.clear();
        (self.level_at, self.value_at) = (0, 0);
        let reader = self.reader.as_mut().context("no row group is open")?;
        let (levels, repetitions) = (&mut self.levels, &mut self.repetitions);
        let (read, _, _) =
            reader.read_records(rows, Some(levels), Some(repetitions), &mut self.values)?;
        if read != rows {
            bail!("a column of the Parquet file has fewer rows than it declares");
        }
        Ok(())
    }

    fn write(&mut self, text: &mut String) -> anyhow::Result<()> {
        let mut parts = 0;
        loop {
            let level = self.levels.get(self.level_at);
            let level = level.copied().unwrap_or(self.value_level);
            self.level_at += 1;
            if level >= self.part_level {
                if parts > 0 {
                    text.push('|');
                }
                parts += 1;
            }
            if level >= self.value_level {
                let value = self.values.get(self.value_at);
                self.value_at += 1;
                (self.write)(
                    value.context("a column has fewer values than it declares")?,
                    text,
                )?;
            }
            let next = self.repetitions.get(self.level_at);
            if next.is_none_or(|repetition| *repetition == 0) {
                return Ok(());
            }
        }
    }
}

fn put<V: Display>(value: &V, text: &mut String) -> anyhow::Result<()> {
    Ok(write!(text, "{value}")?)
}

fn put_text(value: &ByteArray, text: &mut String) -> anyhow::Result<()> {
    text.push_str(value.as_utf8()?);
    Ok(())
}

/// A day and the nanoseconds in it, as old writers keep times.
fn put_int96(value: &Int96, text: &mut String) -> anyhow::Result<()> {
    let [low, high, day] = value.data() else {
        return Ok(());
    };
    let days = i64::from(*day) - JULIAN_DAY_OF_1970;
    let nanos = (u64::from(*high) << 32 | u64::from(*low)).cast_signed();
    let day = SignedDuration::from_secs(days * DAY_S);
    match day.checked_add(SignedDuration::from_nanos(nanos)) {
        Some(since_1970) => put_time(since_1970, text),
        None => Ok(()),
    }
}

/// A time outside the calendar is left empty, so that its row is malformed.
fn put_time(since_1970: SignedDuration, text: &mut String) -> anyhow::Result<()> {
    match Timestamp::from_duration(since_1970) {
        Ok(instant) => put(&instant, text),
        Err(_) => Ok(()),
    }
}
