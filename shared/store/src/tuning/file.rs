//! A watched file as the source of tuning: looked at by passing requests, at most every 0.7 s.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use guard::{Clock, Deadline};
use ops::settings::Reader;
use xxhash_rust::xxh3::xxh3_64;

use super::{LiveTuning, TUNING_BYTES_MAX, Tuning};
use crate::due::Due;
use crate::{Error, ErrorKind};

/// How old what was last seen of the file may be: with the fifth of a second between two ticks of a
/// host that has no requests, a change is in force within a second.
const LOOK_EVERY: Duration = Duration::from_millis(700);

/// Offers a file's content whenever it changes.
pub struct TuningFile {
    path: PathBuf,
    live: Arc<LiveTuning>,
    clock: Arc<dyn Clock>,
    due: Due,
    seen: Mutex<Seen>,
}

/// What was last seen: a change of either of the first two makes the content worth reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Seen {
    modified: Option<SystemTime>,
    bytes: u64,
    content: u64,
}

impl TuningFile {
    /// Reads which file it is, if any: `REELWAY_TUNING`.
    pub fn read_path(reader: &mut Reader<'_>) -> Option<PathBuf> {
        reader.optional("REELWAY_TUNING").map(PathBuf::from)
    }

    /// The default tuning in force, and the file that is watched for it, if any.
    #[must_use]
    pub fn follow(
        path: Option<PathBuf>,
        clock: &Arc<dyn Clock>,
    ) -> (Arc<LiveTuning>, Option<Self>) {
        let live = Arc::new(LiveTuning::new(Tuning::default()));
        let file = path.map(|path| Self::new(path, Arc::clone(&live), Arc::clone(clock)));
        (live, file)
    }

    /// Watches the file for `live`; nothing is read yet.
    #[must_use]
    pub fn new(path: PathBuf, live: Arc<LiveTuning>, clock: Arc<dyn Clock>) -> Self {
        Self {
            path,
            live,
            clock,
            due: Due::default(),
            seen: Mutex::default(),
        }
    }

    /// The file that is watched.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file when the last look is 0.7 seconds old; says whether a new document is in force.
    ///
    /// # Errors
    /// As [`Self::refresh`]; the last good document stays in force.
    pub async fn refresh_if_due(&self, deadline: &Deadline) -> Result<bool, Error> {
        let began = self.clock.now();
        if !self.due.claim(began, LOOK_EVERY, LOOK_EVERY) {
            return Ok(false);
        }
        self.due.done(began);
        self.refresh(deadline).await
    }

    /// Looks at the file; says whether a new document is in force.
    ///
    /// # Errors
    /// `NotFound` or `Unavailable` when it cannot be read; `Invalid` when the document is refused,
    /// once per document.
    pub async fn refresh(&self, deadline: &Deadline) -> Result<bool, Error> {
        let read = deadline.limit(self.read()).await;
        match read.map_err(|elapsed| Error::elapsed(elapsed, "read the tuning file"))? {
            Ok(Some(text)) => match self.live.offer(&text) {
                Ok(()) => Ok(true),
                Err(problems) => {
                    let what = format!("apply the tuning file: {}", problems.join("; "));
                    Err(Error::new(ErrorKind::Invalid, what))
                }
            },
            Ok(None) => Ok(false),
            Err(error) => {
                let missing = error.kind() == std::io::ErrorKind::NotFound;
                let kind = if missing {
                    ErrorKind::NotFound
                } else {
                    ErrorKind::Unavailable
                };
                Err(Error::because(kind, "read the tuning file", error))
            }
        }
    }

    /// The content when it is another than last time.
    async fn read(&self) -> std::io::Result<Option<String>> {
        let meta = tokio::fs::metadata(&self.path).await?;
        let (modified, bytes) = (meta.modified().ok(), meta.len());
        let last = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if (modified, bytes) == (last.modified, last.bytes) && modified.is_some() {
            return Ok(None);
        }
        if bytes > TUNING_BYTES_MAX as u64 {
            return Err(std::io::Error::other("the tuning file is too large"));
        }
        let text = tokio::fs::read_to_string(&self.path).await?;
        let content = xxh3_64(text.as_bytes());
        let seen = Seen {
            modified,
            bytes,
            content,
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok((content != last.content).then_some(text))
    }
}
