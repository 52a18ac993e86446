//! Writing one file of rows.

use std::fmt;
use std::io::Write;
use std::marker::PhantomData;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use store::{Error, ErrorKind};

use super::{FILE_ROWS_MAX, GENERATION_KEY, GROUP_ROWS, SCHEMA_KEY, TableRow};
use crate::column::schema;
use crate::gathered::Gathered;

/// Writes one file of rows, keeping at most [`GROUP_ROWS`] in memory.
pub struct TableWriter<R, W: Write + Send> {
    writer: SerializedFileWriter<W>,
    gathered: Gathered,
    /// How many rows are gathered.
    waiting: usize,
    rows: u64,
    _rows: PhantomData<fn(R)>,
}

impl<R: TableRow, W: Write + Send> TableWriter<R, W> {
    /// Begins a file.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be written to.
    pub fn new(to: W) -> Result<Self, Error> {
        Self::made_with(None, to)
    }

    /// Begins a file that says which generation it was made with.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn made_with(generation: Option<&str>, to: W) -> Result<Self, Error> {
        let version = KeyValue::new(
            SCHEMA_KEY.to_owned(),
            format!("{}/{}", R::TABLE, R::VERSION),
        );
        let made_with =
            generation.map(|name| KeyValue::new(GENERATION_KEY.to_owned(), name.to_owned()));
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some([version].into_iter().chain(made_with).collect()));
        for column in R::COLUMNS.iter().filter(|column| column.unique) {
            let path = ColumnPath::from(column.name);
            properties = properties.set_column_dictionary_enabled(path, false);
        }
        let schema = schema(R::COLUMNS).map_err(unwritten)?;
        let properties = Arc::new(properties.build());
        let writer = SerializedFileWriter::new(to, schema, properties).map_err(unwritten)?;
        Ok(Self {
            writer,
            gathered: Gathered::new(R::COLUMNS),
            waiting: 0,
            rows: 0,
            _rows: PhantomData,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// `Invalid` when a row does not fit or the file would have more than [`FILE_ROWS_MAX`],
    /// `Unavailable` when it cannot be written to.
    pub fn write(&mut self, rows: &[R]) -> Result<(), Error> {
        if self.rows + rows.len() as u64 > FILE_ROWS_MAX {
            return Err(Error::new(
                ErrorKind::Invalid,
                "more rows than a lake file may have",
            ));
        }
        let mut rest = rows;
        while !rest.is_empty() {
            let room = GROUP_ROWS.saturating_sub(self.waiting);
            let (now, later) = rest.split_at(room.min(rest.len()));
            R::gather(now, &mut self.gathered)?;
            self.waiting += now.len();
            self.rows += now.len() as u64;
            if self.waiting >= GROUP_ROWS {
                self.write_group()?;
            }
            rest = later;
        }
        Ok(())
    }

    /// How many rows were added.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The rows in memory, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.gathered.bytes()
    }

    /// Ends the file and gives back what it was written to.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be written to.
    pub fn finish(mut self) -> Result<W, Error> {
        if self.waiting > 0 {
            self.write_group()?;
        }
        self.writer.into_inner().map_err(unwritten)
    }

    fn write_group(&mut self) -> Result<(), Error> {
        self.waiting = 0;
        let group = self.writer.next_row_group().map_err(unwritten)?;
        self.gathered.write_to(group).map_err(unwritten)
    }
}

impl<R, W: Write + Send> fmt::Debug for TableWriter<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableWriter")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

fn unwritten(source: ParquetError) -> Error {
    Error::because(ErrorKind::Unavailable, "write a lake file", source)
}
