//! Kinesis batch in, the Parquet event lake out.
//!
//! ```text
//! batch of one shard ─► decode ─► poison kept ─► rows by hour ─► one Parquet object per hour
//!                                 (dead/…)                       dt=…/hour=…/<shard>-<first>-<last>
//! ```
//!
//! - An object is named by what it holds, so the same batch again writes the same objects.
//! - Rows carry their position and event id: where a retried batch had other boundaries, the night
//!   drops what it meets twice.
//! - Windows are wide (a minute and more), so that objects are few and large.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use guard::Deadline;
use lake::{Lake, LakeRow};
use store::intake::Intake;
use store::{BatchOutcome, Consumer, DeadLetters, Error, StreamRecord};

const HOUR_MS: i64 = 3_600_000;

/// What the consumer works with.
#[derive(Clone)]
pub struct Parts {
    /// Where the Parquet objects go.
    pub lake: Arc<Lake>,
    /// Where poison is kept.
    pub dead: DeadLetters,
}

/// Writes batches of events to the lake.
pub struct Archive {
    parts: Parts,
}

impl Archive {
    /// The name of this consumer, in checkpoints and dead letters.
    pub const NAME: &'static str = "archive";

    /// A consumer over its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts }
    }

    async fn apply(&self, batch: &[StreamRecord], deadline: &Deadline) -> Result<(), Error> {
        let intake = Intake::decode(batch);
        self.parts.dead.keep(&intake.poison, deadline).await?;
        let Some(name) = object_name(batch) else { return Ok(()) };
        let mut hours: BTreeMap<i64, Vec<LakeRow>> = BTreeMap::new();
        for placed in intake.events {
            let rows = hours.entry(placed.event.ts_ms.div_euclid(HOUR_MS)).or_default();
            rows.push(LakeRow {
                event: placed.event,
                shard: placed.position.shard.into(),
                sequence: placed.position.sequence.into(),
                index: placed.index,
            });
        }
        for (hour, rows) in hours {
            self.parts.lake.write(hour * HOUR_MS, &name, &rows, deadline).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Consumer for Archive {
    async fn consume(&self, batch: Vec<StreamRecord>, deadline: &Deadline) -> BatchOutcome {
        let Err(error) = self.apply(&batch, deadline).await else {
            return BatchOutcome { failed_from: None };
        };
        tracing::warn!(error = %error, batch.records = batch.len(), "a batch will be tried again");
        BatchOutcome { failed_from: batch.into_iter().next().map(|record| record.position) }
    }
}

/// Names what a batch holds: its shard and its first and last sequence.
fn object_name(batch: &[StreamRecord]) -> Option<String> {
    let (first, last) = (&batch.first()?.position, &batch.last()?.position);
    Some(format!("{}-{}-{}", first.shard, first.sequence, last.sequence))
}
