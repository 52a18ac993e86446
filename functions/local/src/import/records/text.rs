//! Lines of separated fields.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, bail};

use super::lines::{Line, Lines};
use super::split::{Quotes, Separator, split};
use super::{Cells, Column, ROW_BYTES_MAX, Records, Step, order};

const READ_AHEAD_BYTES: usize = 1 << 18;

/// Rows of a text file.
pub(super) struct TextRecords {
    lines: Lines<BufReader<File>>,
    separator: Separator,
    fields: usize,
    raw: String,
    cells: Cells,
}

enum Row {
    Whole,
    Broken(&'static str),
}

impl TextRecords {
    pub(super) fn open(
        path: &Path,
        separator: Separator,
        header: bool,
        columns: &[Column],
    ) -> anyhow::Result<Self> {
        let unreadable = || format!("{} cannot be read", path.display());
        let file = File::open(path).with_context(unreadable)?;
        let lines = Lines::new(BufReader::with_capacity(READ_AHEAD_BYTES, file));
        let mut records = Self {
            lines,
            separator,
            fields: columns.len(),
            raw: String::new(),
            cells: Cells::new((0..columns.len()).map(Some).collect()),
        };
        if header {
            match records.row().with_context(unreadable)? {
                Some((_, Row::Whole)) => {}
                Some((_, Row::Broken(why))) => bail!("{}: its first line is {why}", path.display()),
                None => bail!(
                    "{} is empty; its first line names the columns",
                    path.display()
                ),
            }
            split(&records.raw, separator, &mut records.cells);
            records.fields = records.cells.fields();
            let names = (0..records.fields).map(|at| records.cells.field(at).trim().to_owned());
            let names: Vec<String> = names.collect();
            records.cells = Cells::new(order(path, columns, &names)?);
        }
        Ok(records)
    }

    /// Reads the next row into `raw`: a line, or several where a quoted field goes on.
    fn row(&mut self) -> std::io::Result<Option<(u64, Row)>> {
        let (number, mut row) = match self.lines.next()? {
            Line::End => return Ok(None),
            Line::TooLong(number, beginning) => {
                self.raw = String::from_utf8_lossy(&beginning).into_owned();
                return Ok(Some((number, Row::Broken("longer than 1 MiB"))));
            }
            Line::Whole(number, line) => (number, line),
        };
        let mut taken = Vec::new();
        let mut quotes = Quotes::new(self.separator);
        let mut open = quotes.follow(&row);
        while open {
            match self.lines.next()? {
                Line::Whole(next, line) if row.len() + line.len() < ROW_BYTES_MAX => {
                    open = quotes.follow(&line);
                    row.push(b'\n');
                    row.extend_from_slice(&line);
                    taken.push(Line::Whole(next, line));
                }
                other => {
                    // Only the line with the quote is lost, not all that came after it.
                    self.raw = first_line(&row);
                    taken.push(other);
                    self.lines.give_back(taken);
                    return Ok(Some((number, Row::Broken("a quote in it is not closed"))));
                }
            }
        }
        self.raw = match String::from_utf8(row) {
            Ok(text) => text,
            // Older files are often Latin-1, where every byte is a character.
            Err(other) => other.into_bytes().into_iter().map(char::from).collect(),
        };
        Ok(Some((number, Row::Whole)))
    }
}

impl Records for TextRecords {
    fn next(&mut self) -> anyhow::Result<Step<'_>> {
        let (row, found) = loop {
            match self.row()? {
                None => return Ok(Step::End),
                Some((_, Row::Whole)) if self.raw.is_empty() => {}
                Some(found) => break found,
            }
        };
        if let Row::Broken(why) = found {
            return Ok(Step::Malformed {
                row,
                reason: why.to_owned(),
            });
        }
        split(&self.raw, self.separator, &mut self.cells);
        if self.cells.fields() != self.fields {
            let reason = format!("{} fields instead of {}", self.cells.fields(), self.fields);
            return Ok(Step::Malformed { row, reason });
        }
        Ok(Step::Record {
            row,
            cells: &self.cells,
        })
    }

    fn raw(&self) -> String {
        self.raw.clone()
    }

    fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }
}

fn first_line(row: &[u8]) -> String {
    let line = row.split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}
