//! The lake in an object store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use guard::Deadline;
use jiff::civil::Date;
use smol_str::SmolStr;
use store::{Error, ErrorKind, ObjectMeta, Objects, Position};

use crate::key::{self, EVENTS_PREFIX, PROFILES_PREFIX, day_in, hour_of, object_key};
use crate::{
    EventFile, LakeRow, ProfileFile, ProfileRow, TableFile, TableRow, encode_events,
    encode_profiles,
};

/// Rows of one object at most; an hour of a batch with more becomes several.
pub const OBJECT_ROWS_MAX: usize = 500_000;

/// Events and profiles as Parquet objects.
#[derive(Clone)]
pub struct Lake {
    objects: Arc<dyn Objects>,
    temporary: Option<PathBuf>,
}

impl Lake {
    /// The lake in these objects; files are read through the system's folder for temporary files.
    #[must_use]
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self {
            objects,
            temporary: None,
        }
    }

    /// Reads files through this folder instead.
    #[must_use]
    pub fn with_temporary(self, dir: PathBuf) -> Self {
        Self {
            temporary: Some(dir),
            ..self
        }
    }

    /// Writes a batch as one object per hour and shard, named from the sequences of the whole
    /// batch: the same batch written again replaces itself. Answers the keys.
    ///
    /// # Errors
    /// `Invalid` when a row does not fit; otherwise the objects' own.
    pub async fn write(
        &self,
        rows: Vec<LakeRow>,
        deadline: &Deadline,
    ) -> Result<Vec<String>, Error> {
        let encoded = blocking("encode lake files", move || encode_parts(&rows)).await?;
        let mut keys = Vec::with_capacity(encoded.len());
        for (key, bytes) in encoded {
            self.objects.put(&key, bytes, deadline).await?;
            keys.push(key);
        }
        Ok(keys)
    }

    /// The days there are events of, oldest first.
    ///
    /// # Errors
    /// The objects' own.
    pub async fn days(&self, deadline: &Deadline) -> Result<Vec<Date>, Error> {
        self.days_below(EVENTS_PREFIX, deadline).await
    }

    /// The event objects of a day, ordered by key.
    ///
    /// # Errors
    /// The objects' own.
    pub async fn files(&self, day: Date, deadline: &Deadline) -> Result<Vec<ObjectMeta>, Error> {
        self.objects.list(&key::day_prefix(day), deadline).await
    }

    /// Fetches an event object and checks it; reading its batches is the caller's.
    ///
    /// # Errors
    /// `Corrupt` when it is not a whole file of events; otherwise the objects' own.
    pub async fn open(&self, key: &str, deadline: &Deadline) -> Result<EventFile, Error> {
        self.fetch(key, deadline).await
    }

    /// Reads an event object batch by batch, letting others run in between.
    ///
    /// # Errors
    /// As [`Lake::open`], `Timeout` when the deadline passes, and what `each` answers.
    pub async fn read_file(
        &self,
        key: &str,
        deadline: &Deadline,
        mut each: impl FnMut(Vec<LakeRow>) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        for batch in self.open(key, deadline).await? {
            each(batch?)?;
            if deadline.expired() {
                return Err(Error::new(ErrorKind::Timeout, format!("read {key}")));
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Writes one part of a day's profiles, made with a generation; answers its key.
    ///
    /// # Errors
    /// `Invalid` when a row does not fit; otherwise the objects' own.
    pub async fn write_profiles(
        &self,
        day: Date,
        part: u32,
        generation: &str,
        rows: Vec<ProfileRow>,
        deadline: &Deadline,
    ) -> Result<String, Error> {
        let made_with = SmolStr::new(generation);
        let encoded = move || encode_profiles(&rows, &made_with);
        let bytes = blocking("encode profiles", encoded).await?;
        let key = key::profile_key(day, part);
        self.objects.put(&key, bytes, deadline).await?;
        Ok(key)
    }

    /// The days there are profiles of, oldest first.
    ///
    /// # Errors
    /// The objects' own.
    pub async fn profile_days(&self, deadline: &Deadline) -> Result<Vec<Date>, Error> {
        self.days_below(PROFILES_PREFIX, deadline).await
    }

    /// The parts of a day's profiles, ordered by key.
    ///
    /// # Errors
    /// The objects' own.
    pub async fn profile_files(
        &self,
        day: Date,
        deadline: &Deadline,
    ) -> Result<Vec<ObjectMeta>, Error> {
        self.objects.list(&key::profile_prefix(day), deadline).await
    }

    /// Fetches a part of the profiles and checks it.
    ///
    /// # Errors
    /// `Corrupt` when it is not a whole file of profiles; otherwise the objects' own.
    pub async fn open_profiles(
        &self,
        key: &str,
        deadline: &Deadline,
    ) -> Result<ProfileFile, Error> {
        self.fetch(key, deadline).await
    }

    /// Removes objects, for instance those that a compaction replaced.
    ///
    /// # Errors
    /// The objects' own.
    pub async fn delete(&self, keys: &[String], deadline: &Deadline) -> Result<(), Error> {
        self.objects.delete(keys, deadline).await
    }

    async fn days_below(&self, prefix: &str, deadline: &Deadline) -> Result<Vec<Date>, Error> {
        let listed = self.objects.list(prefix, deadline).await?;
        let days: BTreeSet<Date> = listed
            .iter()
            .filter_map(|meta| day_in(&meta.key, prefix))
            .collect();
        Ok(days.into_iter().collect())
    }

    /// The temporary name is gone before the first batch is read, so that a process that is
    /// killed while reading leaves nothing behind.
    async fn fetch<R: TableRow>(
        &self,
        key: &str,
        deadline: &Deadline,
    ) -> Result<TableFile<R>, Error> {
        let failed = |source| {
            Error::because(
                ErrorKind::Unavailable,
                format!("keep {key} while it is read"),
                source,
            )
        };
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("reelway-lake-");
        let folder = match &self.temporary {
            Some(dir) => builder.tempdir_in(dir),
            None => builder.tempdir(),
        };
        let folder = folder.map_err(failed)?;
        let path = folder.path().join("file.parquet");
        self.objects.fetch(key, &path, deadline).await?;
        let file = File::open(&path).map_err(failed)?;
        drop(folder);
        TableFile::from_source(file).map_err(|wrong| Error {
            what: format!("{} ({key})", wrong.what),
            ..wrong
        })
    }
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake")
            .field("temporary", &self.temporary)
            .finish_non_exhaustive()
    }
}

fn encode_parts(rows: &[LakeRow]) -> Result<Vec<(String, bytes::Bytes)>, Error> {
    let mut ranges = BTreeMap::<&SmolStr, (&SmolStr, &SmolStr)>::new();
    let mut parts = BTreeMap::<(&SmolStr, i64), Vec<&LakeRow>>::new();
    for row in rows {
        let (first, last) = ranges
            .entry(&row.shard)
            .or_insert((&row.sequence, &row.sequence));
        if Position::compare_sequences(&row.sequence, first).is_lt() {
            *first = &row.sequence;
        }
        if Position::compare_sequences(&row.sequence, last).is_gt() {
            *last = &row.sequence;
        }
        parts
            .entry((&row.shard, hour_of(row.event.ts_ms)))
            .or_default()
            .push(row);
    }
    let mut encoded = Vec::with_capacity(parts.len());
    for ((shard, _), rows) in parts {
        let Some((first, last)) = ranges.get(shard) else {
            continue;
        };
        for (number, rows) in rows.chunks(OBJECT_ROWS_MAX).enumerate() {
            let Some(row) = rows.first() else { continue };
            let more = if number == 0 {
                String::new()
            } else {
                format!("_{number}")
            };
            let key = object_key(row.event.ts_ms, &format!("{shard}_{first}_{last}{more}"))?;
            let rows: Vec<LakeRow> = rows.iter().copied().cloned().collect();
            encoded.push((key, encode_events(&rows)?));
        }
    }
    Ok(encoded)
}

/// Encoding takes milliseconds of computing: not on a thread that answers requests.
async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|failed| Error::because(ErrorKind::Unavailable, what, failed))?
}

#[cfg(test)]
mod tests;
