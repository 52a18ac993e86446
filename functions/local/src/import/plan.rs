//! Which files are read, and how.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::convert::Converter;
use super::records::{self, Column, Layout, Records};
use super::{films, gorse, kuairand, mapped, sessions};
use crate::cli::{self, Preset};

/// One file and how its rows are read.
pub(super) struct Part {
    pub(super) file: PathBuf,
    pub(super) bytes: u64,
    /// How it is read, in words; part of what names an import.
    pub(super) reading: String,
    layout: Layout,
    columns: Vec<Column>,
    pub(super) converter: Box<dyn Converter>,
}

impl Part {
    /// Plans to read a file.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn new(
        file: PathBuf,
        reading: impl Into<String>,
        layout: Layout,
        columns: Vec<Column>,
        converter: impl Converter + 'static,
    ) -> anyhow::Result<Self> {
        let found =
            fs::metadata(&file).with_context(|| format!("{} is not there", file.display()))?;
        if !found.is_file() {
            bail!("{} is not a file", file.display());
        }
        let (bytes, reading, converter) = (found.len(), reading.into(), Box::new(converter));
        Ok(Self {
            file,
            bytes,
            reading,
            layout,
            columns,
            converter,
        })
    }

    /// What its rows are called by.
    pub(super) fn name(&self) -> String {
        let name = self.file.file_name().unwrap_or(self.file.as_os_str());
        name.to_string_lossy().into_owned()
    }

    pub(super) fn open(&self) -> anyhow::Result<Box<dyn Records>> {
        records::open(&self.file, self.layout, &self.columns)
    }
}

/// Makes a plan of what was asked for, and opens every file once: a missing column is found
/// before the first row is read.
pub(super) fn plan(args: &cli::Import) -> anyhow::Result<Vec<Part>> {
    let parts = match args.preset {
        Some(preset) => {
            let read = match preset {
                Preset::Kuairand => kuairand::parts,
                Preset::Movietweetings => films::movietweetings,
                Preset::Movielens => films::movielens,
                Preset::Gorse => gorse::parts,
                Preset::Sessions => sessions::parts,
            };
            let parts = args.paths.iter().map(|path| read(path));
            parts
                .collect::<anyhow::Result<Vec<_>>>()?
                .into_iter()
                .flatten()
                .collect()
        }
        None => mapped::parts(args)?,
    };
    for part in &parts {
        part.open()?;
    }
    Ok(parts)
}

/// The files of a folder whose names begin and end so, in order.
pub(super) fn files(folder: &Path, begin: &str, end: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("{} is not a folder that can be read", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        if name.starts_with(begin) && name.ends_with(end) && path.is_file() {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The first of these files that a folder has.
pub(super) fn first_of(folder: &Path, names: &[&str]) -> anyhow::Result<PathBuf> {
    let found = names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("{} has no {}", folder.display(), names.join(" or ")))
}

/// Columns that a file must have, in this order.
pub(super) fn required(names: &[&str]) -> Vec<Column> {
    names.iter().map(|name| Column::required(name)).collect()
}
