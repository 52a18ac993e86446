//! Columns of rows that wait to be written.

use std::io::Write;

use bytes::Bytes;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedRowGroupWriter;
use store::{Error, ErrorKind};

use crate::column::{Column, Kind};

/// The columns of a row group, filled one after the other.
#[derive(Debug)]
pub struct Gathered(Vec<Cells>);

/// What was gathered of one column.
#[derive(Debug)]
struct Cells {
    column: Column,
    values: Values,
    /// Of nullable columns: per row 1 where it has a value, 0 where not.
    levels: Vec<i16>,
}

#[derive(Debug)]
enum Values {
    /// All texts in one piece, and where each ends.
    Text(Vec<u8>, Vec<usize>),
    Int64(Vec<i64>),
    Int32(Vec<i32>),
    Float(Vec<f32>),
    Bool(Vec<bool>),
}

impl Gathered {
    pub(crate) fn new(columns: &[Column]) -> Self {
        let cells = |column: &Column| Cells {
            column: *column,
            values: Values::new(column.kind),
            levels: Vec::new(),
        };
        Self(columns.iter().map(cells).collect())
    }

    /// Adds cells to a text column: strings, or options of them.
    ///
    /// # Errors
    /// `Invalid` when there is no such column or one that must have a value has none.
    pub fn text<'a, V: Into<Option<&'a str>>>(
        &mut self,
        name: &str,
        cells: impl Iterator<Item = V>,
    ) -> Result<(), Error> {
        self.put(name, cells.map(Into::into), |values, text| match values {
            Values::Text(bytes, ends) => {
                bytes.extend_from_slice(text.as_bytes());
                ends.push(bytes.len());
                true
            }
            _ => false,
        })
    }

    /// Adds cells to a column of 64-bit numbers.
    ///
    /// # Errors
    /// As [`Gathered::text`].
    pub fn int64<V: Into<Option<i64>>>(
        &mut self,
        name: &str,
        cells: impl Iterator<Item = V>,
    ) -> Result<(), Error> {
        self.put(name, cells.map(Into::into), |values, number| match values {
            Values::Int64(all) => push(all, number),
            _ => false,
        })
    }

    /// Adds cells to a column of 32-bit numbers.
    ///
    /// # Errors
    /// As [`Gathered::text`].
    pub fn int32<V: Into<Option<i32>>>(
        &mut self,
        name: &str,
        cells: impl Iterator<Item = V>,
    ) -> Result<(), Error> {
        self.put(name, cells.map(Into::into), |values, number| match values {
            Values::Int32(all) => push(all, number),
            _ => false,
        })
    }

    /// Adds cells to a column of floats.
    ///
    /// # Errors
    /// As [`Gathered::text`].
    pub fn float<V: Into<Option<f32>>>(
        &mut self,
        name: &str,
        cells: impl Iterator<Item = V>,
    ) -> Result<(), Error> {
        self.put(name, cells.map(Into::into), |values, number| match values {
            Values::Float(all) => push(all, number),
            _ => false,
        })
    }

    /// Adds cells to a column of truths.
    ///
    /// # Errors
    /// As [`Gathered::text`].
    pub fn boolean<V: Into<Option<bool>>>(
        &mut self,
        name: &str,
        cells: impl Iterator<Item = V>,
    ) -> Result<(), Error> {
        self.put(name, cells.map(Into::into), |values, truth| match values {
            Values::Bool(all) => push(all, truth),
            _ => false,
        })
    }

    /// What the cells take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let cells = self.0.iter();
        cells
            .map(|cells| cells.values.bytes() + size_of_val(cells.levels.as_slice()))
            .sum()
    }

    /// Writes all columns and forgets their cells.
    pub(crate) fn write_to<W: Write + Send>(
        &mut self,
        mut group: SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        for cells in &mut self.0 {
            let Some(mut writer) = group.next_column()? else {
                return Err(ParquetError::General(
                    "more columns than declared".to_owned(),
                ));
            };
            cells.write_to(writer.untyped())?;
            writer.close()?;
        }
        // Refuses columns of different lengths.
        group.close().map(drop)
    }

    fn put<T>(
        &mut self,
        name: &str,
        values: impl Iterator<Item = Option<T>>,
        push: impl Fn(&mut Values, T) -> bool,
    ) -> Result<(), Error> {
        let misfit = || {
            let what = format!("column {name} has no room for a value");
            Error::new(ErrorKind::Invalid, what)
        };
        let cells = self.0.iter_mut().find(|cells| cells.column.name == name);
        let cells = cells.ok_or_else(misfit)?;
        for value in values {
            if cells.column.nullable {
                cells.levels.push(i16::from(value.is_some()));
            }
            let fits = match value {
                Some(value) => push(&mut cells.values, value),
                None => cells.column.nullable,
            };
            if !fits {
                return Err(misfit());
            }
        }
        Ok(())
    }
}

impl Cells {
    fn write_to(&mut self, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = std::mem::take(&mut self.levels);
        let levels = self.column.nullable.then_some(levels.as_slice());
        let values = std::mem::replace(&mut self.values, Values::new(self.column.kind));
        let written = match (values, writer) {
            (Values::Text(bytes, ends), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                writer.write_batch(&parted(bytes, &ends), levels, None)
            }
            (Values::Int64(all), ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(&all, levels, None)
            }
            (Values::Int32(all), ColumnWriter::Int32ColumnWriter(writer)) => {
                writer.write_batch(&all, levels, None)
            }
            (Values::Float(all), ColumnWriter::FloatColumnWriter(writer)) => {
                writer.write_batch(&all, levels, None)
            }
            (Values::Bool(all), ColumnWriter::BoolColumnWriter(writer)) => {
                writer.write_batch(&all, levels, None)
            }
            _ => Err(ParquetError::General("columns in another order".to_owned())),
        };
        written.map(drop)
    }
}

impl Values {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(Vec::new(), Vec::new()),
            Kind::Int64 => Self::Int64(Vec::new()),
            Kind::Int32 => Self::Int32(Vec::new()),
            Kind::Float => Self::Float(Vec::new()),
            Kind::Bool => Self::Bool(Vec::new()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(bytes, ends) => bytes.len() + size_of_val(ends.as_slice()),
            Self::Int64(all) => size_of_val(all.as_slice()),
            Self::Int32(all) => size_of_val(all.as_slice()),
            Self::Float(all) => size_of_val(all.as_slice()),
            Self::Bool(all) => all.len(),
        }
    }
}

fn push<T>(all: &mut Vec<T>, value: T) -> bool {
    all.push(value);
    true
}

/// Views of the texts that lie in one piece.
fn parted(bytes: Vec<u8>, ends: &[usize]) -> Vec<ByteArray> {
    let bytes = Bytes::from(bytes);
    let starts = std::iter::once(&0).chain(ends);
    let range = |(start, end): (&usize, &usize)| ByteArray::from(bytes.slice(start..end));
    starts.zip(ends).map(range).collect()
}
