//! One Parquet file of one kind of row: writing it, and reading it without trusting it.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnPath;
use store::{Error, ErrorKind};

/// Largest file that is opened, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// Most rows of one file.
pub const FILE_ROWS_MAX: u64 = 5_000_000;
/// Largest file once decompressed, as its footer declares it.
pub const UNCOMPRESSED_BYTES_MAX: u64 = 2 << 30;
/// Rows that are handed out at a time.
pub const BATCH_ROWS: usize = 8_192;

/// Rows gathered before they are written out; bounds a writer's memory.
const GROUP_ROWS: usize = 131_072;
/// In the file's metadata: which table it belongs to and the version of its schema.
const SCHEMA_KEY: &str = "reelway.schema";

/// A kind of row with a table of its own.
pub trait TableRow: Sized {
    /// Names the table in each file.
    const TABLE: &'static str;
    /// The version of the schema.
    const VERSION: u32;
    /// Columns whose values hardly repeat: a dictionary would only cost.
    const UNIQUE_COLUMNS: &'static [&'static str];
    /// Columns that came after version 1: a file may be without them. They stand behind the others.
    const ADDED_COLUMNS: &'static [&'static str] = &[];

    /// The columns.
    fn schema() -> SchemaRef;

    /// Rows as columns, in the order of the schema.
    ///
    /// # Errors
    /// `Invalid` when a row does not fit its columns.
    fn to_batch(rows: &[Self]) -> Result<RecordBatch, Error>;

    /// Columns as rows; text columns are views.
    ///
    /// # Errors
    /// `Corrupt` when a value is not what the table may hold.
    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, Error>;
}

/// Writes one file of rows, keeping at most a row group in memory.
pub struct TableWriter<R, W: Write + Send> {
    writer: ArrowWriter<W>,
    rows: u64,
    _rows: PhantomData<fn(R)>,
}

impl<R: TableRow, W: Write + Send> TableWriter<R, W> {
    /// Begins a file.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be written to.
    pub fn new(to: W) -> Result<Self, Error> {
        let version = KeyValue::new(
            SCHEMA_KEY.to_owned(),
            format!("{}/{}", R::TABLE, R::VERSION),
        );
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(vec![version]));
        for column in R::UNIQUE_COLUMNS {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(*column), false);
        }
        let writer =
            ArrowWriter::try_new(to, R::schema(), Some(properties.build())).map_err(unwritten)?;
        Ok(Self {
            writer,
            rows: 0,
            _rows: PhantomData,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// `Invalid` when a row does not fit or the file has [`FILE_ROWS_MAX`] already, `Unavailable`
    /// when it cannot be written to.
    pub fn write(&mut self, rows: &[R]) -> Result<(), Error> {
        self.rows += rows.len() as u64;
        if self.rows > FILE_ROWS_MAX {
            return Err(Error::new(
                ErrorKind::Invalid,
                "more rows than a lake file may have",
            ));
        }
        self.writer.write(&R::to_batch(rows)?).map_err(unwritten)
    }

    /// How many rows were added.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What is in memory, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.writer.memory_size()
    }

    /// Ends the file and gives back what it was written to.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be written to.
    pub fn finish(self) -> Result<W, Error> {
        self.writer.into_inner().map_err(unwritten)
    }
}

impl<R, W: Write + Send> fmt::Debug for TableWriter<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableWriter")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// Rows as one file in memory.
pub(crate) fn encode<R: TableRow>(rows: &[R]) -> Result<Bytes, Error> {
    let mut writer = TableWriter::new(Vec::new())?;
    for chunk in rows.chunks(BATCH_ROWS) {
        writer.write(chunk)?;
    }
    writer.finish().map(Bytes::from)
}

/// One file, checked, handing out its rows [`BATCH_ROWS`] at a time; an iterator of batches.
pub struct TableFile<R> {
    reader: ParquetRecordBatchReader,
    rows: u64,
    handed_out: u64,
    done: bool,
    _rows: PhantomData<fn() -> R>,
}

impl<R: TableRow> TableFile<R> {
    /// Opens a file on disk.
    ///
    /// # Errors
    /// `Corrupt` when it is not a whole file of this table or exceeds a limit, `NotFound` and
    /// `Unavailable` when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| {
            let kind = match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Unavailable,
            };
            Error::because(kind, format!("open {}", path.display()), source)
        })?;
        Self::from_source(file)
    }

    /// Opens a file in memory.
    ///
    /// # Errors
    /// As [`TableFile::open`].
    pub fn from_bytes(bytes: Bytes) -> Result<Self, Error> {
        Self::from_source(bytes)
    }

    pub(crate) fn from_source(source: impl ChunkReader + 'static) -> Result<Self, Error> {
        if source.len() > FILE_BYTES_MAX {
            return Err(corrupt::<R>(format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        let (reader, rows) = guarded::<R, _>(|| {
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let loaded =
                ArrowReaderMetadata::load(&source, options.clone()).map_err(unread::<R>)?;
            let rows = check_footer::<R>(loaded.metadata())?;
            let (schema, columns) = check_schema::<R>(loaded.schema())?;
            let metadata = Arc::clone(loaded.metadata());
            let loaded = ArrowReaderMetadata::try_new(metadata, options.with_schema(schema))
                .map_err(unread::<R>)?;
            let mask = ProjectionMask::leaves(loaded.parquet_schema(), columns);
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source, loaded)
                .with_batch_size(BATCH_ROWS)
                .with_projection(mask)
                .build()
                .map_err(unread::<R>)?;
            Ok((reader, rows))
        })?;
        Ok(Self {
            reader,
            rows,
            handed_out: 0,
            done: false,
            _rows: PhantomData,
        })
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl<R: TableRow> Iterator for TableFile<R> {
    type Item = Result<Vec<R>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let reader = &mut self.reader;
        let next = guarded::<R, _>(|| match reader.next() {
            Some(batch) => {
                R::from_batch(&batch.map_err(|e| corrupt::<R>(e.to_string()))?).map(Some)
            }
            None => Ok(None),
        });
        match next {
            Ok(Some(rows)) => {
                self.handed_out += rows.len() as u64;
                Some(Ok(rows))
            }
            Ok(None) => {
                self.done = true;
                let short = self.handed_out != self.rows;
                short.then(|| Err(corrupt::<R>("fewer rows than it declares".to_owned())))
            }
            Err(failed) => {
                self.done = true;
                Some(Err(failed))
            }
        }
    }
}

impl<R> fmt::Debug for TableFile<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableFile")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// Judges a file by its footer; answers how many rows it has.
fn check_footer<R: TableRow>(metadata: &ParquetMetaData) -> Result<u64, Error> {
    let version = metadata
        .file_metadata()
        .key_value_metadata()
        .and_then(|pairs| pairs.iter().find(|pair| pair.key == SCHEMA_KEY))
        .and_then(|pair| pair.value.as_deref())
        .and_then(|text| {
            text.strip_prefix(R::TABLE)?
                .strip_prefix('/')?
                .parse::<u32>()
                .ok()
        });
    if !version.is_some_and(|version| (1..=R::VERSION + 1).contains(&version)) {
        return Err(corrupt::<R>("of another table or version".to_owned()));
    }
    let declared = |value: i64| {
        u64::try_from(value).map_err(|_| corrupt::<R>("declares a negative size".to_owned()))
    };
    let (mut rows, mut bytes) = (0, 0);
    for group in metadata.row_groups() {
        rows += declared(group.num_rows())?;
        for column in group.columns() {
            bytes += declared(column.uncompressed_size())?;
        }
    }
    if rows > FILE_ROWS_MAX || bytes > UNCOMPRESSED_BYTES_MAX {
        return Err(corrupt::<R>(format!(
            "declares {rows} rows and {bytes} bytes, too many"
        )));
    }
    Ok(rows)
}

/// Finds the table's columns in a file's schema; answers how to read them. Text is read as views:
/// a dictionary with one long value costs its length once, not once per row.
fn check_schema<R: TableRow>(found: &SchemaRef) -> Result<(SchemaRef, Vec<usize>), Error> {
    let mut columns = Vec::new();
    for wanted in R::schema().fields() {
        let same = |field: &Arc<Field>| {
            field.name() == wanted.name() && field.data_type() == wanted.data_type()
        };
        match found.fields().iter().position(same) {
            Some(at) => columns.push(at),
            None if may_lack::<R>(wanted.name(), found) => {}
            None => return Err(corrupt::<R>(format!("without column {}", wanted.name()))),
        }
    }
    if !columns.is_sorted()
        || found
            .fields()
            .iter()
            .any(|field| field.data_type().is_nested())
    {
        return Err(corrupt::<R>(
            "with columns in another order or nested".to_owned(),
        ));
    }
    let read_as = found.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => field.as_ref().clone().with_data_type(DataType::Utf8View),
        _ => field.as_ref().clone(),
    });
    Ok((Arc::new(Schema::new(read_as.collect::<Vec<_>>())), columns))
}

/// Whether a file that lacks this column is of an older version, not a damaged one.
fn may_lack<R: TableRow>(column: &str, found: &SchemaRef) -> bool {
    R::ADDED_COLUMNS.contains(&column) && found.column_with_name(column).is_none()
}

/// Runs the Parquet reader, which asserts where it should refuse.
fn guarded<R: TableRow, T>(read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(corrupt::<R>("made its reader panic".to_owned())))
}

pub(crate) fn corrupt<R: TableRow>(why: String) -> Error {
    Error::because(
        ErrorKind::Corrupt,
        format!("read a file of {}", R::TABLE),
        why,
    )
}

fn unread<R: TableRow>(source: ParquetError) -> Error {
    Error::because(
        ErrorKind::Corrupt,
        format!("read a file of {}", R::TABLE),
        source,
    )
}

fn unwritten(source: ParquetError) -> Error {
    Error::because(ErrorKind::Unavailable, "write a lake file", source)
}
