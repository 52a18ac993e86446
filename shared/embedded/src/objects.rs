//! Whole objects as files in a folder.

mod key;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use guard::Deadline;
use store::{Error, ErrorKind, ObjectMeta, Objects};

use crate::blocking::Blocking;
use crate::durable::{create_dir, io_error, sync_dir};
use key::{check_key, check_prefix};

/// Where unfinished files lie; no key can name it.
const TEMPORARY: &str = ".tmp";

/// [`Objects`] in a folder: readers see an object whole or not at all, and an acknowledged one
/// survives a power cut.
#[derive(Debug, Clone)]
pub struct EmbeddedObjects {
    folder: Arc<Folder>,
    blocking: Blocking,
}

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    temporary: PathBuf,
    names: AtomicU64,
}

impl EmbeddedObjects {
    /// Opens or creates the folder and removes what an earlier process left unfinished.
    /// One process at a time: hold a [`crate::DirLock`].
    ///
    /// # Errors
    /// `Unavailable` when the folder cannot be used.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let failed = |source| io_error("open the object folder", source);
        let temporary = dir.join(TEMPORARY);
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(failed)?;
        }
        create_dir(&temporary).map_err(failed)?;
        let root = dir.to_owned();
        let folder = Folder {
            root,
            temporary,
            names: AtomicU64::new(0),
        };
        Ok(Self {
            folder: Arc::new(folder),
            blocking: Blocking::new(),
        })
    }
}

#[async_trait]
impl Objects for EmbeddedObjects {
    async fn put(&self, key: &str, bytes: Bytes, deadline: &Deadline) -> Result<(), Error> {
        check_key(key)?;
        let (folder, key) = (Arc::clone(&self.folder), key.to_owned());
        let work = move || folder.store(&key, |file| file.write_all(&bytes));
        self.blocking.run("put object", deadline, work).await
    }

    async fn put_file(&self, key: &str, file: &Path, deadline: &Deadline) -> Result<(), Error> {
        check_key(key)?;
        let (folder, key, source) = (Arc::clone(&self.folder), key.to_owned(), file.to_owned());
        let work = move || {
            let mut from = File::open(&source)
                .map_err(|failed| io_error(format!("read {}", source.display()), failed))?;
            folder.store(&key, |to| io::copy(&mut from, to).map(|_| ()))
        };
        self.blocking.run("put object", deadline, work).await
    }

    async fn get(&self, key: &str, bytes_max: u64, deadline: &Deadline) -> Result<Bytes, Error> {
        check_key(key)?;
        let (folder, key) = (Arc::clone(&self.folder), key.to_owned());
        let work = move || folder.read(&key, bytes_max);
        self.blocking.run("get object", deadline, work).await
    }

    async fn fetch(&self, key: &str, file: &Path, deadline: &Deadline) -> Result<(), Error> {
        check_key(key)?;
        let (folder, key, target) = (Arc::clone(&self.folder), key.to_owned(), file.to_owned());
        let work = move || {
            let mut from = folder.open_object(&key)?;
            File::create(&target)
                .and_then(|mut to| io::copy(&mut from, &mut to))
                .map_err(|failed| io_error(format!("fetch {key}"), failed))?;
            Ok(())
        };
        self.blocking.run("fetch object", deadline, work).await
    }

    async fn list(&self, prefix: &str, deadline: &Deadline) -> Result<Vec<ObjectMeta>, Error> {
        check_prefix(prefix)?;
        let (folder, prefix) = (Arc::clone(&self.folder), prefix.to_owned());
        let work = move || {
            folder
                .list(&prefix)
                .map_err(|failed| io_error(format!("list {prefix}"), failed))
        };
        self.blocking.run("list objects", deadline, work).await
    }

    async fn delete(&self, keys: &[String], deadline: &Deadline) -> Result<(), Error> {
        keys.iter().try_for_each(|key| check_key(key))?;
        let (folder, keys) = (Arc::clone(&self.folder), keys.to_vec());
        let work = move || {
            folder
                .delete(&keys)
                .map_err(|failed| io_error("delete objects", failed))
        };
        self.blocking.run("delete objects", deadline, work).await
    }
}

impl Folder {
    fn path(&self, key: &str) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(key.split('/'));
        path
    }

    fn store(
        &self,
        key: &str,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), Error> {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.temporary.join(number.to_string());
        let stored = self.store_through(&unfinished, &self.path(key), fill);
        stored.map_err(|failed| {
            let _ = fs::remove_file(&unfinished);
            match failed.kind() {
                // S3 knows no folders, a file system does: `a` and `a/b` cannot both be objects.
                io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::AlreadyExists => {
                    let what = format!("put {key}: an object's key begins another's");
                    Error::because(ErrorKind::Invalid, what, failed)
                }
                _ => io_error(format!("put {key}"), failed),
            }
        })
    }

    fn store_through(
        &self,
        unfinished: &Path,
        path: &Path,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let parent = path.parent().unwrap_or(&self.root);
        create_dir(parent)?;
        let mut file = File::create(unfinished)?;
        fill(&mut file)?;
        file.sync_all()?;
        drop(file);
        fs::rename(unfinished, path)?;
        sync_dir(parent)
    }

    /// Opens an object; a key that names a folder names no object.
    fn open_object(&self, key: &str) -> Result<File, Error> {
        let opened = File::open(self.path(key)).and_then(|file| {
            if file.metadata()?.is_file() {
                Ok(file)
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        });
        opened.map_err(|failed| match failed.kind() {
            io::ErrorKind::NotADirectory => {
                Error::because(ErrorKind::NotFound, format!("get {key}"), failed)
            }
            _ => io_error(format!("get {key}"), failed),
        })
    }

    fn read(&self, key: &str, bytes_max: u64) -> Result<Bytes, Error> {
        let file = self.open_object(key)?;
        let failed = |source| io_error(format!("get {key}"), source);
        let expected = file.metadata().map_err(failed)?.len().min(bytes_max);
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
        file.take(bytes_max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > bytes_max {
            let what = format!("get {key}: larger than {bytes_max} bytes");
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(Bytes::from(bytes))
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<ObjectMeta>> {
        let under = prefix.rsplit_once('/').map_or("", |(folders, _)| folders);
        let mut found = Vec::new();
        let mut open = vec![under.to_owned()];
        while let Some(parent) = open.pop() {
            let path = if parent.is_empty() {
                self.root.clone()
            } else {
                self.path(&parent)
            };
            let entries = match fs::read_dir(path) {
                Ok(entries) => entries,
                Err(gone) if is_absence(&gone) => continue,
                Err(failed) => return Err(failed),
            };
            for entry in entries {
                let entry = entry?;
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                    continue;
                };
                let key = if parent.is_empty() {
                    name
                } else {
                    format!("{parent}/{name}")
                };
                if check_key(&key).is_err() {
                    continue; // not ours: unfinished files, what an editor left
                }
                let meta = match entry.metadata() {
                    Ok(meta) => meta,
                    Err(gone) if is_absence(&gone) => continue,
                    Err(failed) => return Err(failed),
                };
                if meta.is_dir() {
                    if key.starts_with(prefix) || prefix.starts_with(&format!("{key}/")) {
                        open.push(key);
                    }
                } else if key.starts_with(prefix) {
                    found.push(ObjectMeta {
                        key,
                        bytes: meta.len(),
                    });
                }
            }
        }
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn delete(&self, keys: &[String]) -> io::Result<()> {
        let mut parents = Vec::new();
        for key in keys {
            let path = self.path(key);
            match fs::remove_file(&path) {
                Ok(()) => parents.extend(path.parent().map(Path::to_owned)),
                Err(gone) if is_absence(&gone) => {}
                // The key names a folder, so there is no such object.
                Err(_) if path.is_dir() => {}
                Err(failed) => return Err(failed),
            }
        }
        parents.sort_unstable();
        parents.dedup();
        parents.iter().try_for_each(|parent| sync_dir(parent))
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests;
