//! A JSON object per line.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};

use super::lines::{Line, Lines};
use super::{Cells, Column, Records, Step};

const READ_AHEAD_BYTES: usize = 1 << 18;

/// Rows of a file of JSON lines. A column that is nowhere in the file is empty in every row.
pub(super) struct JsonLines {
    lines: Lines<BufReader<File>>,
    columns: Vec<String>,
    raw: String,
    cells: Cells,
}

impl JsonLines {
    pub(super) fn open(path: &Path, columns: &[Column]) -> anyhow::Result<Self> {
        let file =
            File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Self {
            lines: Lines::new(BufReader::with_capacity(READ_AHEAD_BYTES, file)),
            columns: columns.iter().map(|column| column.name.clone()).collect(),
            raw: String::new(),
            cells: Cells::new((0..columns.len()).map(Some).collect()),
        })
    }

    fn fill(&mut self) -> Result<(), String> {
        let object: Map<String, Value> =
            serde_json::from_str(&self.raw).map_err(|_| "not a JSON object".to_owned())?;
        self.cells.clear();
        for column in &self.columns {
            write(
                object.get(column).unwrap_or(&Value::Null),
                &mut self.cells.text,
            )
            .map_err(|()| format!("{column}: neither text nor number nor a list of them"))?;
            self.cells.end_field();
        }
        Ok(())
    }
}

impl Records for JsonLines {
    fn next(&mut self) -> anyhow::Result<Step<'_>> {
        loop {
            let (row, line) = match self.lines.next()? {
                Line::End => return Ok(Step::End),
                Line::Whole(_, line) if line.is_empty() => continue,
                Line::Whole(row, line) => (row, line),
                Line::TooLong(row, beginning) => {
                    self.raw = String::from_utf8_lossy(&beginning).into_owned();
                    return Ok(Step::Malformed {
                        row,
                        reason: "longer than 1 MiB".to_owned(),
                    });
                }
            };
            self.raw = String::from_utf8_lossy(&line).into_owned();
            return Ok(match self.fill() {
                Ok(()) => Step::Record {
                    row,
                    cells: &self.cells,
                },
                Err(reason) => Step::Malformed { row, reason },
            });
        }
    }

    fn raw(&self) -> String {
        self.raw.clone()
    }

    fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }
}

/// Writes a value as the text a cell would hold; the parts of a list are separated by `|`.
fn write(value: &Value, text: &mut String) -> Result<(), ()> {
    match value {
        Value::Null => {}
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => text.push_str(string),
        Value::Array(parts) => {
            for (number, part) in parts.iter().enumerate() {
                if part.is_array() {
                    return Err(());
                }
                if number > 0 {
                    text.push('|');
                }
                write(part, text)?;
            }
        }
        Value::Object(_) => return Err(()),
    }
    Ok(())
}
