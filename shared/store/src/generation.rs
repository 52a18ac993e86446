//! Generations of the index: published once, pointed at, fetched and mapped by every reader.
//!
//! ```text
//! index/<generation>/index.bin       the file, immutable
//! index/<generation>/manifest.json   its size and checksum
//! index/current.json                 the pointer, swapped last
//! index/next.json                    what it is to point to once caches are filled
//!
//! reader: pointer ─► manifest ─► fetch to a temporary name ─► checksum ─► sync ─► read-only
//!         ─► rename ─► map ─► Index::open ─► swap; whatever fails, the old one stays
//! ```

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use guard::Deadline;
use xxhash_rust::xxh3::Xxh3;

use crate::{Error, ErrorKind};

mod manifest;
mod mapping;
mod publish;
mod reader;

pub use manifest::{Manifest, Pointer};
pub use publish::{GENERATIONS_KEPT, Generations};
pub use reader::GenerationReader;

/// Longest name of a generation, in bytes.
pub const GENERATION_NAME_BYTES_MAX: usize = 64;
/// Largest file of a generation.
pub const GENERATION_BYTES_MAX: u64 = 8 << 30;

const CHUNK_BYTES: usize = 1 << 20;

/// Checks that the text can name a generation: what may be part of a key and of a file's name.
fn checked_name(name: &str) -> Result<&str, Error> {
    let fits = (1..=GENERATION_NAME_BYTES_MAX).contains(&name.len()) && !name.starts_with('.');
    let clean = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if fits && clean {
        Ok(name)
    } else {
        Err(Error::new(ErrorKind::Invalid, "name a generation"))
    }
}

/// The size and checksum of a file, read from end to end.
fn measure(file: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(file)?;
    let mut hash = Xxh3::new();
    let mut bytes = 0_u64;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk)?;
        let Some(filled) = chunk.get(..read).filter(|filled| !filled.is_empty()) else {
            break;
        };
        hash.update(filled);
        bytes += read as u64;
    }
    Ok((bytes, format!("{:016x}", hash.digest())))
}

/// Runs file work on a thread that may block, no longer than the deadline.
async fn blocking<T: Send + 'static>(
    what: &str,
    deadline: &Deadline,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let begun = async { tokio::task::spawn_blocking(work).await };
    let done = deadline.limit(begun).await;
    let done = done.map_err(|elapsed| Error::elapsed(elapsed, what))?;
    done.map_err(|error| Error::because(ErrorKind::Unavailable, what, error))?
}

fn file_error(what: &str) -> impl Fn(io::Error) -> Error + '_ {
    move |error| Error::because(ErrorKind::Unavailable, what, error)
}

fn index_path(dir: &Path, generation: &str) -> PathBuf {
    dir.join(format!("{generation}.idx"))
}

#[cfg(test)]
mod tests;
