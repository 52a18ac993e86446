//! Rows of a file as columns, read with checks.

use std::fmt;
use std::marker::PhantomData;

use parquet::basic::Encoding;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::reader::RowGroupReader;
use store::Error;

use crate::column::{Column, Kind};
use crate::pages::Pages;
use crate::table::{TableRow, corrupt, unread};

/// What lake files are written in. The others, which build texts out of texts, can make a small
/// page a large one.
const ENCODINGS: &[Encoding] = &[
    Encoding::PLAIN,
    Encoding::RLE,
    Encoding::RLE_DICTIONARY,
    Encoding::PLAIN_DICTIONARY,
];

/// The columns of some rows of a file. Texts are views of its pages: a dictionary with one long
/// value costs its length once, not once per row.
pub struct Batch<R> {
    columns: Vec<Read>,
    rows: usize,
    _rows: PhantomData<fn() -> R>,
}

/// A column of the file that the table knows.
struct Read {
    name: &'static str,
    /// Which column of the file it is.
    place: usize,
    cells: Cells,
}

enum Cells {
    Text(Typed<ByteArrayType>),
    Int64(Typed<Int64Type>),
    Int32(Typed<Int32Type>),
    Float(Typed<FloatType>),
    Bool(Typed<BoolType>),
}

struct Typed<T: DataType> {
    reader: Option<ColumnReaderImpl<T>>,
    nullable: bool,
    levels: Vec<i16>,
    values: Vec<T::T>,
    cells: Vec<Option<T::T>>,
}

/// A text column, whose values are bounded in length.
pub struct Text<'a, R> {
    cells: &'a [Option<ByteArray>],
    name: &'static str,
    bytes_max: usize,
    _rows: PhantomData<fn() -> R>,
}

/// A column of numbers or truths.
pub struct Plain<'a, R, T> {
    cells: &'a [Option<T>],
    name: &'static str,
    _rows: PhantomData<fn() -> R>,
}

impl<R: TableRow> Batch<R> {
    pub(crate) fn new() -> Self {
        Self {
            columns: Vec::new(),
            rows: 0,
            _rows: PhantomData,
        }
    }

    /// Reads this column of the table from this place of the file.
    pub(crate) fn add(&mut self, column: &Column, place: usize, nullable: bool) {
        let cells = match column.kind {
            Kind::Text => Cells::Text(Typed::new(nullable)),
            Kind::Int64 => Cells::Int64(Typed::new(nullable)),
            Kind::Int32 => Cells::Int32(Typed::new(nullable)),
            Kind::Float => Cells::Float(Typed::new(nullable)),
            Kind::Bool => Cells::Bool(Typed::new(nullable)),
        };
        let name = column.name;
        self.columns.push(Read { name, place, cells });
    }

    /// Turns to the first row of a group.
    pub(crate) fn begin(&mut self, group: &dyn RowGroupReader) -> Result<(), Error> {
        let schema = group.metadata().schema_descr();
        for column in &mut self.columns {
            let pages = group.get_column_page_reader(column.place);
            let pages = Pages::new(pages.map_err(unread::<R>)?).only(ENCODINGS);
            let reader = get_column_reader(schema.column(column.place), Box::new(pages));
            let begun = match &mut column.cells {
                Cells::Text(cells) => cells.begin(reader),
                Cells::Int64(cells) => cells.begin(reader),
                Cells::Int32(cells) => cells.begin(reader),
                Cells::Float(cells) => cells.begin(reader),
                Cells::Bool(cells) => cells.begin(reader),
            };
            if !begun {
                return Err(wrong::<R>(column.name));
            }
        }
        Ok(())
    }

    /// Reads the next rows of the group, which must have so many.
    pub(crate) fn fill(&mut self, rows: usize) -> Result<(), Error> {
        self.rows = rows;
        for column in &mut self.columns {
            let read = match &mut column.cells {
                Cells::Text(cells) => cells.fill(rows),
                Cells::Int64(cells) => cells.fill(rows),
                Cells::Int32(cells) => cells.fill(rows),
                Cells::Float(cells) => cells.fill(rows),
                Cells::Bool(cells) => cells.fill(rows),
            };
            if read.map_err(unread::<R>)? != rows {
                return Err(corrupt::<R>("fewer rows than it declares".to_owned()));
            }
        }
        Ok(())
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A text column, none of whose values may be longer.
    ///
    /// # Errors
    /// `Corrupt` when the table has no such column.
    pub fn text(&self, name: &'static str, bytes_max: usize) -> Result<Text<'_, R>, Error> {
        let cells = self.find(name, |cells| match cells {
            Cells::Text(text) => Some(text.cells.as_slice()),
            _ => None,
        })?;
        Ok(Text {
            cells,
            name,
            bytes_max,
            _rows: PhantomData,
        })
    }

    /// A column of 64-bit numbers.
    ///
    /// # Errors
    /// As [`Batch::text`].
    pub fn int64(&self, name: &'static str) -> Result<Plain<'_, R, i64>, Error> {
        self.plain(name, |cells| match cells {
            Cells::Int64(numbers) => Some(numbers.cells.as_slice()),
            _ => None,
        })
    }

    /// A column of 32-bit numbers.
    ///
    /// # Errors
    /// As [`Batch::text`].
    pub fn int32(&self, name: &'static str) -> Result<Plain<'_, R, i32>, Error> {
        self.plain(name, |cells| match cells {
            Cells::Int32(numbers) => Some(numbers.cells.as_slice()),
            _ => None,
        })
    }

    /// A column of floats.
    ///
    /// # Errors
    /// As [`Batch::text`].
    pub fn float(&self, name: &'static str) -> Result<Plain<'_, R, f32>, Error> {
        self.plain(name, |cells| match cells {
            Cells::Float(numbers) => Some(numbers.cells.as_slice()),
            _ => None,
        })
    }

    /// A column of truths.
    ///
    /// # Errors
    /// As [`Batch::text`].
    pub fn boolean(&self, name: &'static str) -> Result<Plain<'_, R, bool>, Error> {
        self.plain(name, |cells| match cells {
            Cells::Bool(truths) => Some(truths.cells.as_slice()),
            _ => None,
        })
    }

    fn plain<'a, T>(
        &'a self,
        name: &'static str,
        of_kind: impl Fn(&'a Cells) -> Option<&'a [Option<T>]>,
    ) -> Result<Plain<'a, R, T>, Error> {
        Ok(Plain {
            cells: self.find(name, of_kind)?,
            name,
            _rows: PhantomData,
        })
    }

    /// The cells of a column; none where a file of an older version does not have it.
    fn find<'a, T>(
        &'a self,
        name: &'static str,
        of_kind: impl Fn(&'a Cells) -> Option<&'a [Option<T>]>,
    ) -> Result<&'a [Option<T>], Error> {
        let found = self.columns.iter().find(|column| column.name == name);
        let cells = match found {
            Some(column) => of_kind(&column.cells),
            None => {
                let mut columns = R::COLUMNS.iter();
                let added = columns.any(|column| column.name == name && column.added);
                added.then_some(&[] as &[_])
            }
        };
        cells.ok_or_else(|| wrong::<R>(name))
    }
}

impl<T: DataType> Typed<T> {
    fn new(nullable: bool) -> Self {
        Self {
            reader: None,
            nullable,
            levels: Vec::new(),
            values: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// Whether the column is of this type.
    fn begin(&mut self, reader: ColumnReader) -> bool {
        self.reader = T::get_column_reader(reader);
        self.reader.is_some()
    }

    /// Reads at most so many rows; answers how many.
    fn fill(&mut self, rows: usize) -> Result<usize, ParquetError> {
        self.levels.clear();
        self.values.clear();
        self.cells.clear();
        let Some(reader) = &mut self.reader else {
            return Ok(0);
        };
        let levels = Some(&mut self.levels);
        let (read, _, _) = reader.read_records(rows, levels, None, &mut self.values)?;
        let mut values = self.values.drain(..);
        if self.nullable {
            let cell = |level: &i16| (*level > 0).then(|| values.next()).flatten();
            self.cells.extend(self.levels.iter().map(cell));
        } else {
            self.cells.extend(values.map(Some));
        }
        Ok(read)
    }
}

impl<'a, R: TableRow> Text<'a, R> {
    /// The text in a row, `None` for null.
    ///
    /// # Errors
    /// `Corrupt` when it is too long or no text.
    pub fn optional(&self, row: usize) -> Result<Option<&'a str>, Error> {
        let Some(Some(bytes)) = self.cells.get(row) else {
            return Ok(None);
        };
        let bytes = bytes.data();
        match std::str::from_utf8(bytes) {
            Ok(text) if bytes.len() <= self.bytes_max => Ok(Some(text)),
            _ => Err(wrong::<R>(self.name)),
        }
    }

    /// The text in a row that must have one.
    ///
    /// # Errors
    /// `Corrupt` when it has none; otherwise as [`Text::optional`].
    pub fn required(&self, row: usize) -> Result<&'a str, Error> {
        self.optional(row)?.ok_or_else(|| wrong::<R>(self.name))
    }
}

impl<R: TableRow, T: Copy> Plain<'_, R, T> {
    /// The value in a row, `None` for null.
    #[must_use]
    pub fn optional(&self, row: usize) -> Option<T> {
        self.cells.get(row).copied().flatten()
    }

    /// The value in a row that must have one.
    ///
    /// # Errors
    /// `Corrupt` when it has none.
    pub fn required(&self, row: usize) -> Result<T, Error> {
        self.optional(row).ok_or_else(|| wrong::<R>(self.name))
    }

    /// The value in a row as the type it came from.
    ///
    /// # Errors
    /// `Corrupt` when it does not fit.
    pub fn narrowed<N: TryFrom<T>>(&self, row: usize) -> Result<Option<N>, Error> {
        let narrow = |wide| N::try_from(wide).map_err(|_| wrong::<R>(self.name));
        self.optional(row).map(narrow).transpose()
    }
}

impl<R> fmt::Debug for Batch<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// The error of a value that its column may not hold.
pub(crate) fn wrong<R: TableRow>(column: &str) -> Error {
    corrupt::<R>(format!("column {column} holds what it may not"))
}
