//! One process per data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use store::{Error, ErrorKind};

use crate::durable::{create_dir, io_error};

const LOCK_FILE: &str = "lock";
/// More than any process id needs; what somebody else may have put there is not read whole.
const PID_BYTES_MAX: u64 = 32;

/// The right to use a data folder; given back on drop and by the death of the process.
#[derive(Debug)]
pub struct DirLock {
    file: File,
    path: PathBuf,
}

impl DirLock {
    /// Takes the folder, creating it if needed.
    ///
    /// # Errors
    /// `Unavailable` when another process has it, naming its process id and what to do.
    pub fn acquire(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(LOCK_FILE);
        let failed = |source| io_error(format!("lock {}", path.display()), source);
        create_dir(dir).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(dir, &mut file)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { file, path })
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Only a courtesy to whoever looks: the lock itself goes with the handle.
        let _ = self.file.set_len(0);
    }
}

fn taken(dir: &Path, file: &mut File) -> Error {
    let mut pid = String::new();
    let read = file.take(PID_BYTES_MAX).read_to_string(&mut pid);
    let holder = match pid.trim() {
        pid if read.is_ok() && !pid.is_empty() => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    let what = format!(
        "{holder} is using {}: stop it first, or choose another folder with REELWAY_DATA",
        dir.display()
    );
    Error::new(ErrorKind::Unavailable, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_learns_who_has_it_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("a/b");
        let first = DirLock::acquire(&dir).unwrap();
        let refused = DirLock::acquire(&dir).unwrap_err().to_string();
        for part in [
            &format!("process {}", std::process::id()),
            "stop it",
            "REELWAY_DATA",
        ] {
            assert!(refused.contains(part), "{refused}");
        }
        drop(first);
        DirLock::acquire(&dir).unwrap();
    }

    #[test]
    fn what_a_dead_process_left_behind_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LOCK_FILE), [0xff; 300]).unwrap();
        let lock = DirLock::acquire(folder.path()).unwrap();
        let pid = std::fs::read_to_string(lock.path()).unwrap();
        assert_eq!(pid.trim(), std::process::id().to_string());
    }
}
