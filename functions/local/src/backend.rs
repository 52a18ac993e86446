//! The three ports, opened as the settings say.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use embedded::{DirLock, EmbeddedObjects, EmbeddedStream, EmbeddedTables};
use guard::{Clock, Deadline};
use ops::RealClock;
use store::serving::Ports;
use store::{Control, Error, Position, Stream, Table, Tables};

use crate::pump;
use crate::settings::{Settings, Storage};

/// Shards of the embedded log: enough that consumers may run side by side.
const SHARDS: u16 = 2;
/// How long it may take to compare the log with its consumers.
const COMPARE_BUDGET: Duration = Duration::from_secs(60);
const CONSUMERS: [&str; 2] = [clickstream::Clickstream::NAME, archive::Archive::NAME];

/// Where everything is kept. Holds the data folder until dropped.
pub struct Backend {
    /// The ports.
    pub ports: Ports,
    /// The tables and the log again, where we have to remove what has expired.
    swept: Option<Swept>,
    _lock: DirLock,
}

struct Swept {
    tables: Arc<EmbeddedTables>,
    stream: EmbeddedStream,
    control: Control,
}

impl Backend {
    /// Takes the data folder and opens the adapters.
    ///
    /// # Errors
    /// When another process has the folder, or a store cannot be opened.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let lock = DirLock::acquire(&settings.data)?;
        match &settings.storage {
            Storage::Embedded => Self::embedded(settings, lock).await,
            #[cfg(feature = "aws")]
            Storage::Aws(aws_settings) => {
                let ports = aws::Aws::connect(aws_settings).await.ports();
                Ok(Self {
                    ports,
                    swept: None,
                    _lock: lock,
                })
            }
        }
    }

    async fn embedded(settings: &Settings, lock: DirLock) -> anyhow::Result<Self> {
        let open = |name: &str| settings.folder(name);
        let tables = EmbeddedTables::open(&open("tables")).context("the tables did not open")?;
        let tables = Arc::new(tables);
        let stream = EmbeddedStream::open_with(&open("log"), SHARDS, &settings.event_log)
            .context("the log did not open")?;
        let objects =
            EmbeddedObjects::open(&open("objects")).context("the objects did not open")?;
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let ports = Ports {
            tables: Arc::clone(&tables) as Arc<dyn Tables>,
            stream: Arc::new(stream.clone()),
            objects: Arc::new(objects),
        };
        let control = Control::new(Arc::clone(&ports.tables), Arc::clone(&clock));
        let deadline = Deadline::after(clock, COMPARE_BUDGET);
        go_on_after_consumers(&stream, &control, &deadline)
            .await
            .context("the log does not go on after what its consumers have applied")?;
        Ok(Self {
            ports,
            swept: Some(Swept {
                tables,
                stream,
                control,
            }),
            _lock: lock,
        })
    }

    /// Removes rows whose time has come, where the store does not do it by itself.
    pub async fn sweep(&self, deadline: &Deadline) {
        let Some(swept) = &self.swept else { return };
        let now_s = deadline.clock().now().wall_ms / 1_000;
        for table in Table::ALL {
            if let Err(error) = swept.tables.sweep(table, now_s, deadline).await {
                tracing::warn!(error = %error, "expired rows were not removed");
            }
        }
    }

    /// The embedded log, where that is the stream.
    #[must_use]
    pub fn log(&self) -> Option<&EmbeddedStream> {
        self.swept.as_ref().map(|swept| &swept.stream)
    }

    /// Tells the embedded log what every consumer has applied; it removes of that what it need not
    /// keep, and takes in again what it had no room for.
    pub async fn expire_records(&self, deadline: &Deadline) {
        let Some(swept) = &self.swept else { return };
        if let Err(error) = expire(&swept.stream, &swept.control, deadline).await {
            tracing::warn!(error = %error, "expired records were not removed");
        }
    }
}

/// What a consumer has applied it never looks at again: a log that was removed, or put back from an
/// older copy, must not give those sequences to new records.
async fn go_on_after_consumers(
    stream: &EmbeddedStream,
    control: &Control,
    deadline: &Deadline,
) -> Result<(), Error> {
    for shard in stream.shards(deadline).await? {
        for consumer in CONSUMERS {
            let applied = pump::offset(control, consumer, &shard, deadline).await?;
            let Some(applied) = applied else { continue };
            if stream.go_on_after(&shard, &applied, deadline).await? {
                tracing::error!(
                    consumer,
                    shard,
                    applied,
                    "the event log ends before what its consumer has applied: records are missing, \
                     new ones come after it"
                );
            }
        }
    }
    Ok(())
}

/// Removes old records that every consumer has applied.
async fn expire(
    stream: &EmbeddedStream,
    control: &Control,
    deadline: &Deadline,
) -> Result<(), Error> {
    for shard in stream.shards(deadline).await? {
        let mut applied = Vec::new();
        for consumer in CONSUMERS {
            applied.extend(pump::offset(control, consumer, &shard, deadline).await?);
        }
        let by_all = applied.len() == CONSUMERS.len();
        let least = applied
            .into_iter()
            .min_by(|a, b| Position::compare_sequences(a, b));
        if let Some(least) = least.filter(|_| by_all) {
            stream.expire(&shard, &least, deadline).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ops::settings::MapLookup;
    use store::Record;

    use super::*;

    #[tokio::test]
    async fn a_log_that_was_removed_gives_no_sequence_again() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let settings = Settings::read(&MapLookup::from([("REELWAY_DATA", data)])).unwrap();
        let backend = Backend::open(&settings).await.unwrap();
        let swept = backend.swept.as_ref().unwrap();
        let deadline = Deadline::after(Arc::new(RealClock::new()), COMPARE_BUDGET);
        for shard in backend.ports.stream.shards(&deadline).await.unwrap() {
            pump::keep_offset(&swept.control, CONSUMERS[0], &shard, "41", &deadline)
                .await
                .unwrap();
        }
        drop(backend);
        std::fs::remove_dir_all(settings.folder("log")).unwrap();

        let backend = Backend::open(&settings).await.unwrap();
        let record = Record {
            partition_key: "k".to_owned(),
            data: "x".into(),
        };
        let stream = &backend.ports.stream;
        let position = stream.append(vec![record], &deadline).await.unwrap();
        let position = position.into_iter().next().unwrap().unwrap();
        let sequence: u64 = position.sequence.parse().unwrap();
        assert!(sequence > 41, "{sequence} would never be looked at");
        let new = stream.read(&position.shard, Some("41"), 9, &deadline).await;
        assert_eq!(new.unwrap().len(), 1);
    }
}
