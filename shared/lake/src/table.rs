//! One Parquet file of one kind of row: writing it, and reading it without trusting it.

mod file;
mod writer;

use bytes::Bytes;
use parquet::errors::ParquetError;
use store::{Error, ErrorKind};

use crate::batch::Batch;
use crate::column::Column;
use crate::gathered::Gathered;
pub use file::TableFile;
pub use writer::TableWriter;

/// Largest file that is opened, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// Most rows of one file.
pub const FILE_ROWS_MAX: u64 = 5_000_000;
/// Largest file once decompressed, as its footer declares it.
pub const UNCOMPRESSED_BYTES_MAX: u64 = 2 << 30;
/// Rows that are handed out at a time, at most.
pub const BATCH_ROWS: usize = 8_192;
/// Rows gathered before they are written out; bounds a writer's memory.
pub const GROUP_ROWS: usize = 65_536;

/// In the file's metadata: which table it belongs to and the version of its schema.
const SCHEMA_KEY: &str = "reelway.schema";
/// In the file's metadata: the generation it was made with, where there is one.
const GENERATION_KEY: &str = "reelway.generation";

/// A kind of row with a table of its own.
pub trait TableRow: Sized {
    /// Names the table in each file.
    const TABLE: &'static str;
    /// The version of the schema.
    const VERSION: u32;
    /// The columns, in the order they are written in.
    const COLUMNS: &'static [Column];

    /// Adds the cells of rows to every column.
    ///
    /// # Errors
    /// `Invalid` when a row does not fit its columns; nothing was added then.
    fn gather(rows: &[Self], columns: &mut Gathered) -> Result<(), Error>;

    /// Columns as rows.
    ///
    /// # Errors
    /// `Corrupt` when a value is not what the table may hold.
    fn read(batch: &Batch<Self>) -> Result<Vec<Self>, Error>;
}

/// Rows as one file in memory, made with a generation or with none.
pub(crate) fn encode<R: TableRow>(rows: &[R], generation: Option<&str>) -> Result<Bytes, Error> {
    let mut writer = TableWriter::made_with(generation, Vec::new())?;
    writer.write(rows)?;
    writer.finish().map(Bytes::from)
}

pub(crate) fn corrupt<R: TableRow>(why: String) -> Error {
    Error::because(
        ErrorKind::Corrupt,
        format!("read a file of {}", R::TABLE),
        why,
    )
}

pub(crate) fn unread<R: TableRow>(source: ParquetError) -> Error {
    Error::because(
        ErrorKind::Corrupt,
        format!("read a file of {}", R::TABLE),
        source,
    )
}
