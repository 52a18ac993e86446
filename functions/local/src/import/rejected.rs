//! Malformed rows, written aside.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Malformed rows that are also shown.
const SHOWN_MAX: u64 = 5;

/// A file of malformed rows: file, row, reason and the row as it was, separated by tabs. What is
/// behind the third tab can be put right and imported again.
#[derive(Debug)]
pub(super) struct Rejected {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    rows: u64,
}

impl Rejected {
    /// Removes what an earlier import left; makes the file with the first malformed row.
    pub(super) fn new(path: PathBuf) -> anyhow::Result<Self> {
        if path.exists() {
            fs::remove_file(&path).with_context(|| unwritable(&path))?;
        }
        Ok(Self {
            path,
            file: None,
            rows: 0,
        })
    }

    /// Adds a row; answers whether it is one of the first, to be shown.
    pub(super) fn add(
        &mut self,
        name: &str,
        row: u64,
        reason: &str,
        raw: &str,
    ) -> anyhow::Result<bool> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                let file = File::create(&self.path).with_context(|| unwritable(&self.path))?;
                let file = empty.insert(BufWriter::new(file));
                writeln!(file, "file\trow\treason\tcontent")?;
                file
            }
        };
        writeln!(file, "{name}\t{row}\t{reason}\t{raw}").with_context(|| unwritable(&self.path))?;
        self.rows += 1;
        Ok(self.rows <= SHOWN_MAX)
    }

    /// Sees to it that everything is in the file.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        if let Some(file) = &mut self.file {
            file.flush().with_context(|| unwritable(&self.path))?;
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn unwritable(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}
