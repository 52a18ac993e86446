//! An import on its way in: a folder that becomes whole, then is applied, then is gone.
//!
//! ```text
//! <data>/import/<fingerprint>/videos.jsonl     a video per line
//!                             mentioned.jsonl  videos that events speak of, known by id alone
//!                             day-19106        events of a day, in the order they came
//!                             0.parquet …      the same as objects of the lake
//!                             READY            what goes where; with it the import is decided
//! ```

mod apply;
mod spill;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::{Event, UserState, Video};
use lake::{EventWriter, LakeRow, object_key};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use xxhash_rust::xxh3::xxh3_64;

use spill::Spill;

pub(super) use apply::{Ready, recover};

/// Inside the data folder.
const FOLDER: &str = "import";
const VIDEOS: &str = "videos.jsonl";
const MENTIONED: &str = "mentioned.jsonl";
const READY: &str = "READY";
const MANIFEST_VERSION: u32 = 1;

/// Events of one lake object at most; a day with more becomes several.
const OBJECT_ROWS_MAX: u64 = 1_000_000;
/// Rows that are handed to the lake's writer at a time.
const WRITE_ROWS: usize = 8_192;
/// Users up to which they are counted; 8 bytes each.
const USERS_COUNTED_MAX: usize = 1 << 20;
const DAY_MS: i64 = 86_400_000;

/// What `READY` says.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    objects: Vec<StagedObject>,
}

/// A file of the folder and its key in the lake.
#[derive(Debug, Serialize, Deserialize)]
struct StagedObject {
    file: String,
    key: String,
}

/// An import being gathered.
pub(super) struct Staging {
    dir: PathBuf,
    shard: SmolStr,
    videos: BufWriter<File>,
    mentioned: BufWriter<File>,
    /// Hashes of the videos that events speak of; 8 bytes each.
    spoken_of: HashSet<u64>,
    spill: Spill,
    events: u64,
    users: Option<HashSet<u64>>,
}

impl Staging {
    /// Begins an import with an empty folder.
    pub(super) fn begin(data: &Path, fingerprint: &str) -> anyhow::Result<Self> {
        let dir = data.join(FOLDER).join(fingerprint);
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| unusable(&dir))?;
        }
        fs::create_dir_all(&dir).with_context(|| unusable(&dir))?;
        let videos = File::create(dir.join(VIDEOS)).with_context(|| unusable(&dir))?;
        let mentioned = File::create(dir.join(MENTIONED)).with_context(|| unusable(&dir))?;
        Ok(Self {
            shard: SmolStr::new(format!("import-{fingerprint}")),
            videos: BufWriter::new(videos),
            mentioned: BufWriter::new(mentioned),
            spoken_of: HashSet::new(),
            spill: Spill::new(&dir),
            dir,
            events: 0,
            users: Some(HashSet::new()),
        })
    }

    pub(super) fn video(&mut self, video: &Video) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.videos, video)?;
        self.videos
            .write_all(b"\n")
            .with_context(|| unusable(&self.dir))
    }

    pub(super) fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.events += 1;
        if self
            .spoken_of
            .insert(xxh3_64(event.video_id.as_str().as_bytes()))
        {
            serde_json::to_writer(&mut self.mentioned, &Video::new(event.video_id.clone()))?;
            self.mentioned
                .write_all(b"\n")
                .with_context(|| unusable(&self.dir))?;
        }
        if let Some(users) = &mut self.users {
            users.insert(UserState::user_hash(&event.user_id));
            if users.len() > USERS_COUNTED_MAX {
                self.users = None;
            }
        }
        self.spill
            .add(event.ts_ms.div_euclid(DAY_MS), self.events, event)
    }

    /// How many distinct users there were, unless they were too many to count.
    pub(super) fn users(&self) -> Option<u64> {
        self.users.as_ref().map(|users| users.len() as u64)
    }

    /// Gives the import up.
    pub(super) fn forget(self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.dir).with_context(|| unusable(&self.dir))
    }

    /// Makes the folder whole and says so, durably. From here on the import will happen.
    pub(super) fn finish(mut self) -> anyhow::Result<Ready> {
        for lines in [&mut self.videos, &mut self.mentioned] {
            let written = lines.flush().and_then(|()| lines.get_ref().sync_all());
            written.with_context(|| unusable(&self.dir))?;
        }
        let mut objects = Vec::new();
        for day in self.spill.days() {
            self.write_day(day, &mut objects)?;
        }
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            objects,
        };
        let unfinished = self.dir.join("READY.tmp");
        let mut file = File::create(&unfinished).with_context(|| unusable(&self.dir))?;
        serde_json::to_writer(&mut file, &manifest)?;
        file.sync_all().with_context(|| unusable(&self.dir))?;
        // The folder and its name first: READY must not survive what it speaks of.
        for dir in self.dir.ancestors().take(3) {
            sync(dir)?;
        }
        fs::rename(&unfinished, self.dir.join(READY)).with_context(|| unusable(&self.dir))?;
        sync(&self.dir)?;
        Ok(Ready::new(self.dir, manifest))
    }

    /// Turns what was gathered of a day into objects of the lake. They lie in the first hour's
    /// partition: history is read by day, and few large objects are read faster than many small.
    fn write_day(&mut self, day: i64, objects: &mut Vec<StagedObject>) -> anyhow::Result<()> {
        let mut open: Option<Writing> = None;
        let mut rows = Vec::with_capacity(WRITE_ROWS);
        let mut reader = self.spill.read(day)?;
        loop {
            let next = reader.next()?;
            let ended = next.is_none();
            if let Some((sequence, event)) = next {
                let sequence = SmolStr::new(sequence.to_string());
                rows.push(LakeRow {
                    event,
                    shard: self.shard.clone(),
                    sequence,
                    index: 0,
                });
            }
            if rows.len() >= WRITE_ROWS || (ended && !rows.is_empty()) {
                let writing = match &mut open {
                    Some(writing) => writing,
                    none => none.insert(Writing::begin(&self.dir, objects.len())?),
                };
                writing.write(&rows)?;
                rows.clear();
            }
            let full = open
                .as_ref()
                .is_some_and(|writing| writing.rows >= OBJECT_ROWS_MAX);
            if (ended || full)
                && let Some(writing) = open.take()
            {
                objects.push(writing.finish(day, &self.shard)?);
            }
            if ended {
                return self.spill.remove(day);
            }
        }
    }
}

/// An object of the lake being written to the folder.
struct Writing {
    path: PathBuf,
    writer: EventWriter<BufWriter<File>>,
    first: SmolStr,
    last: SmolStr,
    rows: u64,
}

impl Writing {
    fn begin(dir: &Path, number: usize) -> anyhow::Result<Self> {
        let path = dir.join(format!("{number}.parquet"));
        let file = File::create(&path).with_context(|| unusable(dir))?;
        let writer = EventWriter::new(BufWriter::new(file))?;
        Ok(Self {
            path,
            writer,
            first: SmolStr::default(),
            last: SmolStr::default(),
            rows: 0,
        })
    }

    fn write(&mut self, rows: &[LakeRow]) -> anyhow::Result<()> {
        if let (0, Some(first)) = (self.rows, rows.first()) {
            self.first = first.sequence.clone();
        }
        if let Some(last) = rows.last() {
            self.last = last.sequence.clone();
        }
        self.rows += rows.len() as u64;
        Ok(self.writer.write(rows)?)
    }

    fn finish(self, day: i64, shard: &str) -> anyhow::Result<StagedObject> {
        let file = self
            .writer
            .finish()?
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all().with_context(|| unusable(&self.path))?;
        let name = format!("{shard}_{}_{}", self.first, self.last);
        let key = object_key(day * DAY_MS, &name)?;
        let file = self
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok(StagedObject { file, key })
    }
}

fn sync(dir: &Path) -> anyhow::Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .with_context(|| unusable(dir))
}

fn unusable(path: &Path) -> String {
    format!("{} cannot be used", path.display())
}
