//! Rows of a file, one after the other, as cells of text.

mod json_lines;
mod lines;
mod parquet;
mod split;
mod text;

use std::path::Path;

use super::convert::Reason;
pub(super) use split::Separator;

/// Longest row, in bytes; what is longer is malformed, not held.
pub(super) const ROW_BYTES_MAX: usize = 1 << 20;

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Lines of fields.
    Text {
        /// Between fields.
        separator: Separator,
        /// Whether the first line names the columns; without it they are in the part's order.
        header: bool,
    },
    /// An object per line.
    JsonLines,
    /// A Parquet file.
    Parquet,
}

impl Layout {
    /// The layout that a file's name promises.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let text = |separator| Self::Text {
            separator,
            header: true,
        };
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(text(Separator::Comma)),
            "tsv" | "txt" | "tab" => Some(text(Separator::Tab)),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// A column that a part reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name; matched whole first, then without regard to case, `_`, `-` and spaces.
    pub(super) name: String,
    /// Whether a file without it cannot be read.
    pub(super) required: bool,
}

impl Column {
    pub(super) fn required(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            required: true,
        }
    }

    pub(super) fn optional(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            required: false,
        }
    }
}

/// The cells of a row, in the order the part names its columns.
#[derive(Debug, Default)]
pub(super) struct Cells {
    text: String,
    /// Where each field ends in `text`.
    ends: Vec<usize>,
    /// Which field each column is.
    order: Vec<Option<usize>>,
}

impl Cells {
    fn new(order: Vec<Option<usize>>) -> Self {
        Self {
            order,
            ..Self::default()
        }
    }

    /// The text in a column, trimmed; empty where the file has no such column.
    pub(super) fn get(&self, column: usize) -> &str {
        let field = self.order.get(column).copied().flatten();
        field.map_or("", |field| self.field(field)).trim()
    }

    /// The text in the first columns.
    pub(super) fn array<const N: usize>(&self) -> [&str; N] {
        std::array::from_fn(|column| self.get(column))
    }

    fn fields(&self) -> usize {
        self.ends.len()
    }

    fn field(&self, field: usize) -> &str {
        let start = field
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied();
        let end = self.ends.get(field).copied().unwrap_or(0);
        self.text.get(start.unwrap_or(0)..end).unwrap_or("")
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn end_field(&mut self) {
        self.ends.push(self.text.len());
    }
}

/// What comes next in a file.
pub(super) enum Step<'a> {
    /// A row, and where it is: a line, or a row of a Parquet file, from 1.
    Record { row: u64, cells: &'a Cells },
    /// A row that cannot be taken apart.
    Malformed { row: u64, reason: Reason },
    /// Nothing.
    End,
}

/// The rows of an open file.
pub(super) trait Records {
    /// The next row.
    fn next(&mut self) -> anyhow::Result<Step<'_>>;

    /// The row that was last handed out, as it was.
    fn raw(&self) -> String;

    /// How far in the file this is, in bytes.
    fn bytes_read(&self) -> u64;
}

/// Opens a file and finds its columns.
///
/// # Errors
/// When it cannot be read or a required column is missing.
pub(super) fn open(
    path: &Path,
    layout: Layout,
    columns: &[Column],
) -> anyhow::Result<Box<dyn Records>> {
    Ok(match layout {
        Layout::Text { separator, header } => {
            Box::new(text::TextRecords::open(path, separator, header, columns)?)
        }
        Layout::JsonLines => Box::new(json_lines::JsonLines::open(path, columns)?),
        Layout::Parquet => Box::new(parquet::ParquetRecords::open(path, columns)?),
    })
}

/// Finds each column among the names a file has.
fn order(path: &Path, columns: &[Column], names: &[String]) -> anyhow::Result<Vec<Option<usize>>> {
    let find = |wanted: &Column| {
        let exact = names.iter().position(|name| *name == wanted.name);
        let alike = || {
            names
                .iter()
                .position(|name| plain(name) == plain(&wanted.name))
        };
        let found = exact.or_else(alike);
        if found.is_none() && wanted.required {
            anyhow::bail!(
                "{} has no column {}; it has: {}",
                path.display(),
                wanted.name,
                names.join(", ")
            );
        }
        Ok(found)
    };
    columns.iter().map(find).collect()
}

fn plain(name: &str) -> String {
    let kept = name.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests;
