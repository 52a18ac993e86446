//! A process's own copy of the current generation.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use engine::Index;
use guard::{Clock, Deadline};
use metrics::{counter, gauge};
use ops::metric;
use smol_str::SmolStr;

use super::manifest::Manifest;
use super::mapping::MappedFile;
use super::publish::Generations;
use super::{GENERATION_BYTES_MAX, blocking, file_error, index_path, measure};
use crate::due::Due;
use crate::ports::Objects;
use crate::{Error, ErrorKind};

/// A temporary file this old was left by a process that is gone.
const LEFTOVER_AGE: Duration = Duration::from_secs(3_600);

/// Keeps the current generation mapped. Readers hold what [`Self::current`] gave them as long as
/// they like; a generation is unmapped when the last of them is done.
pub struct GenerationReader {
    generations: Generations,
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    due: Due,
    busy: AtomicBool,
    current: ArcSwapOption<Index>,
    /// The checksum of a file that arrived whole and is no index: not worth fetching again.
    refused: Mutex<Option<String>>,
    /// What the pointer named when a generation ahead of it was opened.
    left_behind: Mutex<Option<SmolStr>>,
}

impl GenerationReader {
    /// A reader that keeps files in `dir`, which is its process's own; nothing is read yet.
    #[must_use]
    pub fn new(objects: Arc<dyn Objects>, dir: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self {
            generations: Generations::new(objects),
            dir,
            clock,
            due: Due::default(),
            busy: AtomicBool::new(false),
            current: ArcSwapOption::empty(),
            refused: Mutex::default(),
            left_behind: Mutex::default(),
        }
    }

    /// The mapped generation; `None` before the first.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Index>> {
        self.current.load_full()
    }

    /// Loads the generation that the pointer names unless it is mapped already; says whether
    /// another is mapped now. While one call works, others do nothing.
    ///
    /// Without any generation yet, the newest valid local file stands in for one that cannot be
    /// loaded.
    ///
    /// # Errors
    /// Why the new one could not be loaded; the old one stays.
    pub async fn refresh(&self, deadline: &Deadline) -> Result<bool, Error> {
        let Some(_turn) = Turn::take(&self.busy) else {
            return Ok(false);
        };
        let mut loaded = self.load_newer(deadline).await;
        if let Err(error) = &loaded {
            counter!(metric::GENERATION_LOADS, "outcome" => error.kind.as_str()).increment(1);
            tracing::warn!(error = %error, "the current generation could not be loaded");
            if self.current.load().is_none() && self.load_local(deadline).await {
                loaded = Ok(true);
            }
        }
        if let (Ok(true), Some(index)) = (&loaded, self.current()) {
            counter!(metric::GENERATION_LOADS, "outcome" => "mapped").increment(1);
            tracing::info!(
                index.generation = index.generation(),
                "a generation is mapped"
            );
        }
        if let Some(index) = self.current() {
            let age_ms = self.clock.now().wall_ms.saturating_sub(index.as_of_ms());
            gauge!(metric::GENERATION_AGE_SECONDS).set(age_ms as f64 / 1_000.0);
        }
        loaded
    }

    /// Maps the generation of this name, whether the pointer names it already or not: a job that
    /// fills caches does so before the pointer moves. [`Self::refresh`] follows the pointer again once
    /// it has moved.
    ///
    /// # Errors
    /// Why it could not be loaded; what was mapped stays. `Unavailable` while another call works.
    pub async fn open(&self, generation: &str, deadline: &Deadline) -> Result<Arc<Index>, Error> {
        let Some(_turn) = Turn::take(&self.busy) else {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "open a generation: busy",
            ));
        };
        if let Some(index) = self
            .current()
            .filter(|index| index.generation() == generation)
        {
            return Ok(index);
        }
        let index = self.load(generation, deadline).await?;
        let pointer = self.generations.pointer(deadline).await.ok().flatten();
        *lock(&self.left_behind) = pointer.map(|pointer| pointer.generation);
        Ok(index)
    }

    /// [`Self::refresh`] when the last one is `every` old. Meant to be run beside requests, not
    /// within one: a large generation takes seconds.
    ///
    /// # Errors
    /// As [`Self::refresh`].
    pub async fn refresh_if_due(
        &self,
        every: Duration,
        deadline: &Deadline,
    ) -> Result<bool, Error> {
        let began = self.clock.now();
        if !self.due.claim(began, every, every) {
            return Ok(false);
        }
        let loaded = self.refresh(deadline).await;
        self.due.done(began);
        loaded
    }

    async fn load_newer(&self, deadline: &Deadline) -> Result<bool, Error> {
        let Some(pointer) = self.generations.pointer(deadline).await? else {
            return Ok(false);
        };
        let generation = pointer.generation.as_str();
        let is_mapped = |index: Arc<Index>| index.generation() == generation;
        let is_left_behind = lock(&self.left_behind).as_deref() == Some(generation);
        if is_left_behind || self.current().is_some_and(is_mapped) {
            return Ok(false);
        }
        self.load(generation, deadline).await?;
        Ok(true)
    }

    /// Loads the generation of this name in place of the one that is mapped.
    async fn load(&self, generation: &str, deadline: &Deadline) -> Result<Arc<Index>, Error> {
        let current = self.current();
        let manifest = self.generations.manifest(generation, deadline).await?;
        if self.refused_checksum().as_deref() == Some(manifest.checksum.as_str()) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "load a generation: refused before",
            ));
        }
        if manifest.bytes > GENERATION_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Invalid,
                "load a generation: too large",
            ));
        }
        let path = index_path(&self.dir, generation);
        if !self.is_local(&path, &manifest, deadline).await? {
            self.fetch(&path, &manifest, deadline).await?;
        }
        let index = match self.map(path.clone(), generation, deadline).await {
            Err(error) if error.kind == ErrorKind::Corrupt => {
                *lock(&self.refused) = Some(manifest.checksum);
                // So that it does not stand in for a generation either.
                let _ = tokio::fs::remove_file(&path).await;
                return Err(error);
            }
            other => other?,
        };
        let index = Arc::new(index);
        self.current.store(Some(Arc::clone(&index)));
        let previous = current.map(|index| index_path(&self.dir, index.generation()));
        self.tidy([Some(path), previous], deadline).await;
        Ok(index)
    }

    /// Whether the file is there and is what the manifest says.
    async fn is_local(
        &self,
        path: &Path,
        manifest: &Manifest,
        deadline: &Deadline,
    ) -> Result<bool, Error> {
        let (path, expected) = (path.to_owned(), (manifest.bytes, manifest.checksum.clone()));
        blocking("check a generation", deadline, move || {
            let same_size = fs::metadata(&path).is_ok_and(|meta| meta.len() == expected.0);
            Ok(same_size && measure(&path).is_ok_and(|measured| measured == expected))
        })
        .await
    }

    /// Fetches the file under a temporary name and gives it its own once it is what it should be.
    async fn fetch(
        &self,
        path: &Path,
        manifest: &Manifest,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let what = "prepare the folder of generations";
        tokio::fs::create_dir_all(&self.dir)
            .await
            .map_err(file_error(what))?;
        let process = std::process::id();
        let temporary = self
            .dir
            .join(format!(".{}.{process}.tmp", manifest.generation));
        // One process fetches one generation at a time, so this is its own leftover.
        let _ = tokio::fs::remove_file(&temporary).await;
        let fetched = self
            .generations
            .fetch(&manifest.generation, &temporary, deadline)
            .await;
        let (from, to) = (temporary.clone(), path.to_owned());
        let expected = (manifest.bytes, manifest.checksum.clone());
        let kept = match fetched {
            Ok(()) => {
                blocking("keep a generation", deadline, move || {
                    keep(&from, &to, &expected)
                })
                .await
            }
            Err(error) => Err(error),
        };
        if kept.is_err() {
            let _ = tokio::fs::remove_file(&temporary).await;
        }
        kept
    }

    async fn map(
        &self,
        path: PathBuf,
        generation: &str,
        deadline: &Deadline,
    ) -> Result<Index, Error> {
        let index = blocking("map a generation", deadline, move || open(&path)).await?;
        if index.generation() != generation {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "map a generation: it names another",
            ));
        }
        Ok(index)
    }

    /// Maps the newest local file that is a valid index; says whether there is one.
    async fn load_local(&self, deadline: &Deadline) -> bool {
        let dir = self.dir.clone();
        let newest = blocking("list local generations", deadline, move || {
            let mut opened: Vec<Index> = files(&dir, "idx")
                .iter()
                .filter_map(|path| open(path).ok())
                .collect();
            opened.sort_by_key(Index::as_of_ms);
            Ok(opened.pop())
        });
        let Ok(Some(index)) = newest.await else {
            return false;
        };
        tracing::warn!(
            index.generation = index.generation(),
            "a local generation stands in"
        );
        self.current.store(Some(Arc::new(index)));
        true
    }

    /// Removes local files but those given, and what processes that are gone left behind.
    async fn tidy(&self, kept: [Option<PathBuf>; 2], deadline: &Deadline) {
        let (dir, now_ms) = (self.dir.clone(), self.clock.now().wall_ms);
        let removed = blocking("remove local generations", deadline, move || {
            let old = files(&dir, "idx")
                .into_iter()
                .filter(|p| !kept.contains(&Some(p.clone())));
            let left = files(&dir, "tmp")
                .into_iter()
                .filter(|path| is_leftover(path, now_ms));
            for path in old.chain(left) {
                fs::remove_file(path).map_err(file_error("remove local generations"))?;
            }
            Ok(())
        });
        if let Err(error) = removed.await {
            tracing::warn!(error = %error, "old local generations were not removed");
        }
    }

    fn refused_checksum(&self) -> Option<String> {
        lock(&self.refused).clone()
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to refresh; given back when dropped, whatever happened.
struct Turn<'a>(&'a AtomicBool);

impl<'a> Turn<'a> {
    fn take(busy: &'a AtomicBool) -> Option<Self> {
        (!busy.swap(true, Ordering::AcqRel)).then_some(Self(busy))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Checks a fetched file and gives it its name: from then on it is whole, synced and read-only.
fn keep(from: &Path, to: &Path, expected: &(u64, String)) -> Result<(), Error> {
    let what = "keep a generation";
    if measure(from).map_err(file_error(what))? != *expected {
        return Err(Error::new(
            ErrorKind::Corrupt,
            "keep a generation: its checksum differs",
        ));
    }
    let make = || {
        let file = File::open(from)?;
        file.sync_all()?;
        let mut permissions = file.metadata()?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(from, permissions)?;
        fs::rename(from, to)?;
        to.parent()
            .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    make().map_err(file_error(what))
}

fn open(path: &Path) -> Result<Index, Error> {
    let mapped = MappedFile::open(path).map_err(file_error("map a generation"))?;
    Index::open(Arc::new(mapped))
        .map_err(|error| Error::because(ErrorKind::Corrupt, "open a generation", error))
}

/// Files of a folder by extension; none where there is no folder.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    entries
        .filter(|path| path.extension() == Some(OsStr::new(extension)))
        .collect()
}

fn is_leftover(path: &Path, now_ms: i64) -> bool {
    let modified = fs::metadata(path).and_then(|meta| meta.modified());
    let modified = modified
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let now = Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    modified.is_some_and(|modified| now.saturating_sub(modified) > LEFTOVER_AGE)
}
