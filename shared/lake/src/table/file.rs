//! Reading one file of rows.

use std::fmt;
use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;
use store::{Error, ErrorKind};

use super::{
    BATCH_ROWS, FILE_BYTES_MAX, FILE_ROWS_MAX, GENERATION_KEY, SCHEMA_KEY, TableRow,
    UNCOMPRESSED_BYTES_MAX, corrupt, unread,
};
use crate::batch::Batch;
use crate::pages::caught;

/// One file, checked, handing out its rows at most [`BATCH_ROWS`] at a time; an iterator of
/// batches.
pub struct TableFile<R> {
    file: Box<dyn FileReader>,
    batch: Batch<R>,
    /// The next row group.
    group: usize,
    /// Rows of the row group before it that were not handed out yet.
    left: usize,
    rows: u64,
    done: bool,
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
        guarded::<R, _>(|| {
            let file = SerializedFileReader::new(source).map_err(unread::<R>)?;
            let rows = check_footer::<R>(file.metadata())?;
            let batch = check_schema(file.metadata().file_metadata().schema_descr())?;
            Ok(Self {
                file: Box::new(file),
                batch,
                group: 0,
                left: 0,
                rows,
                done: false,
            })
        })
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The generation it says it was made with.
    #[must_use]
    pub fn generation(&self) -> Option<&str> {
        said(self.file.metadata(), GENERATION_KEY)
    }

    fn read_batch(&mut self) -> Result<Option<Vec<R>>, Error> {
        while self.left == 0 {
            if self.group >= self.file.num_row_groups() {
                return Ok(None);
            }
            let group = self.file.get_row_group(self.group).map_err(unread::<R>)?;
            self.left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            self.batch.begin(group.as_ref())?;
            self.group += 1;
        }
        let rows = self.left.min(BATCH_ROWS);
        self.batch.fill(rows)?;
        self.left -= rows;
        R::read(&self.batch).map(Some)
    }
}

impl<R: TableRow> Iterator for TableFile<R> {
    type Item = Result<Vec<R>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = guarded::<R, _>(|| self.read_batch()).transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl<R> fmt::Debug for TableFile<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableFile")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// What a footer says under a key.
fn said<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let mut pairs = metadata.file_metadata().key_value_metadata()?.iter();
    pairs.find(|pair| pair.key == key)?.value.as_deref()
}

/// Judges a file by its footer; answers how many rows it has.
fn check_footer<R: TableRow>(metadata: &ParquetMetaData) -> Result<u64, Error> {
    let version = said(metadata, SCHEMA_KEY).and_then(|text| {
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
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    for group in metadata.row_groups() {
        rows = rows.saturating_add(declared(group.num_rows())?);
        for column in group.columns() {
            bytes = bytes.saturating_add(declared(column.uncompressed_size())?);
        }
    }
    if rows > FILE_ROWS_MAX || bytes > UNCOMPRESSED_BYTES_MAX {
        return Err(corrupt::<R>(format!(
            "declares {rows} rows and {bytes} bytes, too many"
        )));
    }
    Ok(rows)
}

/// Finds the table's columns in a file's schema; answers how to read them.
fn check_schema<R: TableRow>(found: &SchemaDescriptor) -> Result<Batch<R>, Error> {
    let columns = found.columns();
    let mut every = columns.iter();
    let flat = every.all(|c| c.path().parts().len() == 1 && c.max_rep_level() == 0);
    if !flat {
        return Err(corrupt::<R>("with nested columns".to_owned()));
    }
    let mut batch = Batch::new();
    for wanted in R::COLUMNS {
        let mut places = columns.iter().enumerate();
        let same = places.find(|(_, column)| column.name() == wanted.name);
        match same {
            Some((place, column)) if wanted.is_like(column) => {
                batch.add(wanted, place, column.max_def_level() > 0);
            }
            None if wanted.added => {}
            _ => return Err(corrupt::<R>(format!("without column {}", wanted.name))),
        }
    }
    Ok(batch)
}

/// Runs the Parquet reader, which asserts where it should refuse.
fn guarded<R: TableRow, T>(read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    caught(read).unwrap_or_else(|| Err(corrupt::<R>("made its reader panic".to_owned())))
}
