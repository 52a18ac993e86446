//! A file as bytes in memory, the one place in the project that needs `unsafe`.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// A mapped file. Dropping it unmaps; the file may have been unlinked long before.
pub(super) struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a file that nobody writes to any more.
    #[expect(unsafe_code, reason = "mapping a file promises that nobody changes it")]
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: a mapping is unsound when the file changes under it, and kills the process when
        // it shrinks. The files mapped here lie in the process's own cache folder, were completely
        // written and synced under another name before they got this one, are read-only, and are
        // only ever renamed over or unlinked, which leaves the mapped pages as they are. The
        // mapping itself is read-only and private to this value.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self(map))
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
