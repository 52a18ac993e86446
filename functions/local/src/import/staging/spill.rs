//! Events parted by day on disk, so that the order of the input costs no memory.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use engine::Event;
use store::events::{decode, encode};

use super::unusable;

/// What is gathered of one day before it is written.
const DAY_BYTES_MAX: usize = 256 * 1024;
/// What is gathered of all days before all of it is written.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// Days an import may touch: a century and more.
const DAYS_MAX: usize = 40_000;
/// Before each event: its length (4) and its number in the import (8), little-endian.
const PREFIX_BYTES: usize = 12;

/// Events parted by day.
#[derive(Debug)]
pub(super) struct Spill {
    dir: PathBuf,
    days: BTreeMap<i64, Vec<u8>>,
    bytes: usize,
}

/// The events of one day, in the order they came.
#[derive(Debug)]
pub(super) struct SpillReader(Option<BufReader<File>>);

impl Spill {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            days: BTreeMap::new(),
            bytes: 0,
        }
    }

    pub(super) fn add(&mut self, day: i64, number: u64, event: &Event) -> anyhow::Result<()> {
        if self.days.len() >= DAYS_MAX && !self.days.contains_key(&day) {
            bail!("the events are spread over more than {DAYS_MAX} days: are their times right?");
        }
        let encoded = encode(event);
        let gathered = self.days.entry(day).or_default();
        gathered.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
        gathered.extend_from_slice(&number.to_le_bytes());
        gathered.extend_from_slice(&encoded);
        self.bytes += PREFIX_BYTES + encoded.len();
        if gathered.len() >= DAY_BYTES_MAX {
            self.bytes -= gathered.len();
            write_out(&self.dir, day, gathered)?;
        }
        if self.bytes >= BYTES_MAX {
            self.write_all()?;
        }
        Ok(())
    }

    /// The days there are, oldest first.
    pub(super) fn days(&self) -> Vec<i64> {
        self.days.keys().copied().collect()
    }

    pub(super) fn read(&mut self, day: i64) -> anyhow::Result<SpillReader> {
        self.write_all()?;
        let path = path(&self.dir, day);
        let file = File::open(&path).with_context(|| unusable(&path))?;
        Ok(SpillReader(Some(BufReader::new(file))))
    }

    pub(super) fn remove(&mut self, day: i64) -> anyhow::Result<()> {
        let path = path(&self.dir, day);
        fs::remove_file(&path).with_context(|| unusable(&path))
    }

    fn write_all(&mut self) -> anyhow::Result<()> {
        for (day, gathered) in &mut self.days {
            write_out(&self.dir, *day, gathered)?;
        }
        self.bytes = 0;
        Ok(())
    }
}

impl SpillReader {
    /// The next event and its number.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<(u64, Event)>> {
        let Some(file) = &mut self.0 else {
            return Ok(None);
        };
        let mut prefix = [0; PREFIX_BYTES];
        let read = file.read(&mut prefix)?;
        if read == 0 {
            self.0 = None;
            return Ok(None);
        }
        let unread = prefix.get_mut(read..).unwrap_or_default();
        file.read_exact(unread)?;
        let (length, number) = prefix.split_at(4);
        let length = length
            .first_chunk::<4>()
            .map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let number = number
            .first_chunk::<8>()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let mut encoded = vec![0; length as usize];
        file.read_exact(&mut encoded)?;
        Ok(Some((number, decode(&encoded)?)))
    }
}

fn path(dir: &Path, day: i64) -> PathBuf {
    dir.join(format!("day-{day}"))
}

fn write_out(dir: &Path, day: i64, gathered: &mut Vec<u8>) -> anyhow::Result<()> {
    if gathered.is_empty() {
        return Ok(());
    }
    let path = path(dir, day);
    // Opened each time: an import may touch more days than a process may open files.
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| unusable(&path))?;
    file.write_all(gathered).with_context(|| unusable(&path))?;
    *gathered = Vec::new();
    Ok(())
}
