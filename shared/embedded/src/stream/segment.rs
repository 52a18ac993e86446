//! A file of frames whose sequences follow each other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use store::{Error, ErrorKind};

use super::frame::{Frame, FrameReader, Next, find};
use crate::durable::{io_error, sync_dir};
use salvage::Salvaged;

mod salvage;

/// At the start of every segment; the last byte is the version of the layout.
const HEADER: &[u8; 8] = b"RWEVLOG\x01";
pub(super) const HEADER_BYTES: u64 = HEADER.len() as u64;
const SUFFIX: &str = ".log";
const READ_AHEAD_BYTES: usize = 256 * 1024;

/// One segment: where it is and what it begins with.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) path: PathBuf,
    /// When its newest record arrived, as far as known.
    pub(super) newest_ms: i64,
    /// How large it is; of the one written to, when it was opened.
    pub(super) bytes: u64,
}

/// What a scan of the last segment found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Where the last whole frame ends.
    pub(super) bytes: u64,
    /// The sequence that comes next.
    pub(super) next: u64,
}

impl Segment {
    /// Begins a segment, durably.
    pub(super) fn create(dir: &Path, first: u64, newest_ms: i64) -> io::Result<(Self, File)> {
        let path = dir.join(format!("{first:020}{SUFFIX}"));
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(0)?;
        file.write_all(HEADER)?;
        file.sync_all()?;
        sync_dir(dir)?;
        Ok((
            Self {
                first,
                path,
                newest_ms,
                bytes: HEADER_BYTES,
            },
            file,
        ))
    }

    /// The segments of a folder, oldest first.
    pub(super) fn all(dir: &Path) -> io::Result<Vec<Self>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let first = name
                .to_str()
                .and_then(|name| name.strip_suffix(SUFFIX))
                .and_then(|first| first.parse().ok());
            let Some(first) = first else { continue };
            let metadata = entry.metadata()?;
            let modified = metadata.modified()?;
            let age = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
            let newest_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            segments.push(Self {
                first,
                path: entry.path(),
                newest_ms,
                bytes: metadata.len(),
            });
        }
        segments.sort_unstable_by_key(|segment| segment.first);
        Ok(segments)
    }

    /// Opens the last segment for appending, cutting what is no whole frame.
    ///
    /// A crash tears only the last bytes: everything before was synced, and what was not synced was
    /// never acknowledged nor read. Where whole frames follow, the disk has harmed what was synced:
    /// only the harmed bytes go, and a gap says which records they were.
    pub(super) fn recover(&self) -> Result<(File, Scanned), Error> {
        let failed = |source| io_error(format!("open {}", self.path.display()), source);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&self.path)
            .map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let scanned = match self.check_header(&file)? {
            true => self.scan(&file).map_err(failed)?,
            false => {
                file.set_len(0)
                    .and_then(|()| (&file).write_all(HEADER))
                    .map_err(failed)?;
                Scanned {
                    bytes: HEADER_BYTES,
                    next: self.first,
                }
            }
        };
        if scanned.bytes < length {
            if let Some(salvaged) = self.salvage(&file, scanned).map_err(failed)? {
                return self.replace(&file, scanned, salvaged).map_err(failed);
            }
            tracing::warn!(
                log.segment = %self.path.display(),
                log.cut_bytes = length - scanned.bytes,
                "cut the torn end of the event log; a crash leaves nothing acknowledged in it"
            );
            file.set_len(scanned.bytes).map_err(failed)?;
        }
        // What was whole but perhaps not yet synced is made durable before anybody reads it.
        file.sync_all().map_err(failed)?;
        Ok((file, scanned))
    }

    /// Finds the end of what is whole in the last segment, changing nothing.
    pub(super) fn look(&self) -> Result<(File, Scanned), Error> {
        let failed = |source| io_error(format!("read {}", self.path.display()), source);
        let file = File::open(&self.path).map_err(failed)?;
        let mut scanned = if self.check_header(&file)? {
            self.scan(&file).map_err(failed)?
        } else {
            Scanned {
                bytes: HEADER_BYTES,
                next: self.first,
            }
        };
        // Behind damage there may be more; the reader finds its way.
        if let Some(salvaged) = self.salvage(&file, scanned).map_err(failed)? {
            scanned.next = salvaged.next;
        }
        Ok((file, scanned))
    }

    /// Where behind `offset` the first whole frame with one of these sequences begins, if there is one.
    pub(super) fn find(
        &self,
        offset: u64,
        sequences: Range<u64>,
    ) -> io::Result<Option<(u64, Frame)>> {
        let (mut file, mut rest) = (File::open(&self.path)?, Vec::new());
        file.seek(SeekFrom::Start(offset))?;
        file.read_to_end(&mut rest)?;
        Ok(find(&rest, sequences).map(|(at, frame)| (offset + at as u64, frame)))
    }

    /// Reads frames from `offset` on.
    pub(super) fn reader(&self, offset: u64) -> io::Result<FrameReader<BufReader<File>>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(FrameReader::new(
            BufReader::with_capacity(READ_AHEAD_BYTES, file),
            offset,
        ))
    }

    /// Whether the header is there; `false` when a crash came before it was written.
    fn check_header(&self, file: &File) -> Result<bool, Error> {
        let failed = |source| io_error(format!("open {}", self.path.display()), source);
        let mut header = Vec::new();
        (&mut &*file)
            .take(HEADER_BYTES + 1)
            .read_to_end(&mut header)
            .map_err(failed)?;
        if header.starts_with(HEADER) {
            return Ok(true);
        }
        if header.len() <= HEADER.len() {
            return Ok(false);
        }
        let mut frames = self.reader(HEADER_BYTES).map_err(failed)?;
        if let Next::Frame(frame) = frames.next().map_err(failed)?
            && frame.follows(self.first)
        {
            // No other version has such a frame: the header alone is harmed.
            return Ok(true);
        }
        let what = format!(
            "open {}: not a segment of this version",
            self.path.display()
        );
        Err(Error::new(ErrorKind::Corrupt, what))
    }

    fn salvage(&self, mut file: &File, whole: Scanned) -> io::Result<Option<Salvaged>> {
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(whole.bytes))?;
        file.read_to_end(&mut tail)?;
        Salvaged::from(&tail, whole.next)
    }

    /// Puts what was salvaged in the place of what follows the whole frames, all of it or nothing.
    fn replace(
        &self,
        mut file: &File,
        whole: Scanned,
        salvaged: Salvaged,
    ) -> io::Result<(File, Scanned)> {
        tracing::error!(
            log.segment = %self.path.display(),
            log.lost_bytes = salvaged.lost_bytes,
            log.lost_records = salvaged.lost_records,
            "the event log is damaged: these records are lost, those behind them are kept"
        );
        let unfinished = self.path.with_extension("tmp");
        let mut new = File::create(&unfinished)?;
        file.seek(SeekFrom::Start(0))?;
        io::copy(&mut file.take(whole.bytes), &mut new)?;
        new.write_all(&salvaged.frames)?;
        new.sync_all()?;
        fs::rename(&unfinished, &self.path)?;
        sync_dir(self.path.parent().unwrap_or(Path::new(".")))?;
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&self.path)?;
        let scanned = Scanned {
            bytes: whole.bytes + salvaged.frames.len() as u64,
            next: salvaged.next,
        };
        Ok((file, scanned))
    }

    fn scan(&self, file: &File) -> io::Result<Scanned> {
        let mut file = file;
        file.seek(SeekFrom::Start(HEADER_BYTES))?;
        let buffered = BufReader::with_capacity(READ_AHEAD_BYTES, file);
        let mut frames = FrameReader::new(buffered, HEADER_BYTES);
        let mut scanned = Scanned {
            bytes: HEADER_BYTES,
            next: self.first,
        };
        while let Next::Frame(frame) = frames.next()? {
            if !frame.follows(scanned.next) {
                break;
            }
            scanned = Scanned {
                bytes: frames.offset(),
                next: frame.sequence + 1,
            };
        }
        Ok(scanned)
    }
}
