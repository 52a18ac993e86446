//! Videos that may not be shown although an index still has them: a few small rows, each changed
//! by compare-and-swap, all read at once and kept for seconds.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use engine::VideoId;
use guard::{Clock, Deadline, Now};
use metrics::counter;
use ops::metric;
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::due::Due;
use crate::ports::{Change, Expect, Read, Row, Table, Tables, Write, Written};
use crate::{Error, ErrorKind, sealed};

/// A process that can reach the table knows of a hidden video within this time.
pub const OVERLAY_AGE_MAX: Duration = Duration::from_secs(5);
/// Videos that may be hidden between two generations; far more means another index is due.
pub const OVERLAY_IDS_MAX: usize = ROWS * IDS_PER_ROW_MAX;

/// Rows, chosen by hash: the largest ids must fit into a table's 256 KiB.
const ROWS: usize = 4;
const IDS_PER_ROW_MAX: usize = 2_500;
/// Re-read after this time, so that reading and the table's own delay fit into the age allowed.
const READ_EVERY: Duration = Duration::from_secs(4);
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What one request gives to reading it.
const READ_BUDGET: Duration = Duration::from_millis(60);
const WRITE_ATTEMPTS_MAX: u32 = 8;
const OVERLAY_SCHEMA: u8 = 1;

pub(super) struct Overlay {
    tables: Arc<dyn Tables>,
    clock: Arc<dyn Clock>,
    due: Due,
    /// Whether a reading has ended, well or not.
    tried: AtomicBool,
    known: ArcSwap<HashSet<VideoId>>,
}

/// The stored form of one row. Numbers are never reused.
#[derive(Clone, PartialEq, Message)]
struct OverlayMessage {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<EntryMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct EntryMessage {
    #[prost(string, tag = "1")]
    video_id: String,
    /// When it was hidden.
    #[prost(int64, tag = "2")]
    since_ms: i64,
}

impl Overlay {
    pub(super) fn new(tables: Arc<dyn Tables>, clock: Arc<dyn Clock>) -> Self {
        let (due, tried, known) = (Due::default(), AtomicBool::new(false), ArcSwap::default());
        Self {
            tables,
            clock,
            due,
            tried,
            known,
        }
    }

    /// What is hidden. One request in a few seconds reads it again, inline, because nothing runs
    /// between requests. Those that come before the first reading has ended read for themselves,
    /// unless it failed: then nothing is known, and waiting for it would not help.
    pub(super) async fn current(&self, deadline: &Deadline) -> Arc<HashSet<VideoId>> {
        let began = self.clock.now();
        let claimed = self.due.claim(began, READ_EVERY, RETRY_AFTER);
        if claimed || !self.tried.load(Ordering::Acquire) {
            // On the heap: most requests do not carry the room that this needs.
            Box::pin(self.read_again(began, deadline)).await;
        }
        self.known.load_full()
    }

    /// What is hidden, unless it has to be read now.
    pub(super) fn at_hand(&self, now: Now) -> Option<Arc<HashSet<VideoId>>> {
        let to_be_read =
            !self.tried.load(Ordering::Acquire) || self.due.is_due(now, READ_EVERY, RETRY_AFTER);
        (!to_be_read).then(|| self.known.load_full())
    }

    async fn read_again(&self, began: Now, deadline: &Deadline) {
        match self.read(&deadline.child(READ_BUDGET)).await {
            Ok(known) => {
                // The same set stays the same, so that what was made with it does, too.
                if *self.known.load_full() != known {
                    self.known.store(Arc::new(known));
                }
                self.due.done(began);
            }
            Err(error) => {
                let kind = error.kind.as_str();
                counter!(metric::OVERLAY_READS_FAILED, "kind" => kind).increment(1);
                tracing::warn!(error.kind = kind, "hidden videos could not be read again");
            }
        }
        self.tried.store(true, Ordering::Release);
    }

    /// Which of these are in it at this moment.
    pub(super) async fn listed(
        &self,
        ids: &[VideoId],
        deadline: &Deadline,
    ) -> Result<Vec<VideoId>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let known = self.read(deadline).await?;
        Ok(ids
            .iter()
            .filter(|id| known.contains(*id))
            .cloned()
            .collect())
    }

    pub(super) async fn add(&self, ids: &[VideoId], deadline: &Deadline) -> Result<(), Error> {
        let since_ms = self.clock.now().wall_ms;
        self.change_rows(ids, deadline, |entries, ids| {
            let listed: HashSet<&str> = entries.iter().map(|e| e.video_id.as_str()).collect();
            let new = ids.iter().filter(|id| !listed.contains(id.as_str()));
            let new: Vec<EntryMessage> = new
                .map(|id| EntryMessage {
                    video_id: id.to_string(),
                    since_ms,
                })
                .collect();
            let changed = !new.is_empty();
            entries.extend(new);
            changed
        })
        .await
    }

    pub(super) async fn remove(&self, ids: &[VideoId], deadline: &Deadline) -> Result<(), Error> {
        self.change_rows(ids, deadline, |entries, ids| {
            let gone: HashSet<&str> = ids.iter().map(|id| id.as_str()).collect();
            let before = entries.len();
            entries.retain(|entry| !gone.contains(entry.video_id.as_str()));
            entries.len() < before
        })
        .await
    }

    pub(super) async fn settle(&self, as_of_ms: i64, deadline: &Deadline) -> Result<(), Error> {
        for row in 0..ROWS {
            self.change_row(row, deadline, |entries| {
                let before = entries.len();
                entries.retain(|entry| entry.since_ms >= as_of_ms);
                entries.len() < before
            })
            .await?;
        }
        Ok(())
    }

    async fn read(&self, deadline: &Deadline) -> Result<HashSet<VideoId>, Error> {
        let names: Vec<String> = (0..ROWS).map(row_id).collect();
        let rows = self
            .tables
            .load(Table::Control, &names, Read::Consistent, deadline)
            .await?;
        let mut known = HashSet::new();
        for row in rows.iter().flatten() {
            let entries = decode(row)?;
            known.extend(
                entries
                    .iter()
                    .filter_map(|e| VideoId::parse(&e.video_id).ok()),
            );
        }
        Ok(known)
    }

    async fn change_rows(
        &self,
        ids: &[VideoId],
        deadline: &Deadline,
        change: impl Fn(&mut Vec<EntryMessage>, &[&VideoId]) -> bool + Send + Sync,
    ) -> Result<(), Error> {
        for row in 0..ROWS {
            let ids: Vec<&VideoId> = ids.iter().filter(|id| row_of(id) == row).collect();
            if !ids.is_empty() {
                self.change_row(row, deadline, |entries| change(entries, &ids))
                    .await?;
            }
        }
        Ok(())
    }

    /// Changes one row and, at once, what this process knows.
    async fn change_row(
        &self,
        row: usize,
        deadline: &Deadline,
        change: impl Fn(&mut Vec<EntryMessage>) -> bool + Send,
    ) -> Result<(), Error> {
        let names = [row_id(row)];
        for _ in 0..WRITE_ATTEMPTS_MAX {
            let rows = self
                .tables
                .load(Table::Control, &names, Read::Consistent, deadline)
                .await?;
            let row = rows.into_iter().next().flatten();
            let mut entries = row.as_ref().map(decode).transpose()?.unwrap_or_default();
            let before: Vec<EntryMessage> = entries.clone();
            if !change(&mut entries) {
                return Ok(());
            }
            if entries.len() > IDS_PER_ROW_MAX && entries.len() > before.len() {
                let what = "hide videos: too many since the last generation";
                return Err(Error::new(ErrorKind::Throttled, what));
            }
            let expect = row.map_or(Expect::Absent, |row| Expect::Version(row.version));
            let change = Change::Put {
                bytes: encode(&entries),
                expires_at_s: None,
            };
            let [id] = &names;
            let write = Write {
                id: id.clone(),
                expect,
                change,
            };
            let written = self
                .tables
                .write(Table::Control, vec![write], deadline)
                .await?;
            if let Some(Written::Done(_)) = written.into_iter().next().transpose()? {
                self.learn(&before, &entries);
                return Ok(());
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "hide videos: others kept writing first",
        ))
    }

    /// The process that hides a video does not show it for another few seconds.
    fn learn(&self, before: &[EntryMessage], after: &[EntryMessage]) {
        let parsed = |entry: &EntryMessage| VideoId::parse(&entry.video_id).ok();
        self.known.rcu(|known| {
            let mut known: HashSet<VideoId> = known.as_ref().clone();
            for gone in before.iter().filter_map(parsed) {
                known.remove(&gone);
            }
            known.extend(after.iter().filter_map(parsed));
            known
        });
    }
}

fn row_of(id: &VideoId) -> usize {
    (xxh3_64(id.as_str().as_bytes()) % ROWS as u64) as usize
}

fn row_id(row: usize) -> String {
    format!("hidden/{row}")
}

fn encode(entries: &[EntryMessage]) -> bytes::Bytes {
    let message = OverlayMessage {
        entries: entries.to_vec(),
    };
    sealed::seal(OVERLAY_SCHEMA, &message.encode_to_vec())
}

fn decode(row: &Row) -> Result<Vec<EntryMessage>, Error> {
    let body = sealed::open(OVERLAY_SCHEMA, &row.bytes, "decode hidden videos")?;
    OverlayMessage::decode(body)
        .map(|message| message.entries)
        .map_err(|e| Error::because(ErrorKind::Corrupt, "decode hidden videos", e))
}
