//! Kinesis batch in, the Parquet event lake out.
//!
//! ```text
//! batch of one shard ─► decode ─► poison kept ─► rows by hour ─► one Parquet object per hour
//!                                 (dead/…)                       dt=…/hour=…/<shard>_<first>_<last>
//! ```
//!
//! - An object is named by what it holds, so the same batch again writes the same objects.
//! - Rows carry their position and event id: where a retried batch had other boundaries, the night
//!   drops what it meets twice.
//! - Windows are wide (a minute and more), so that objects are few and large.
#![forbid(unsafe_code)]

use std::sync::Arc;

use async_trait::async_trait;
use guard::{Clock, Deadline};
use lake::{Lake, LakeRow};
use store::intake::{Intake, Placed, Poison};
use store::{BatchOutcome, Consumer, DeadLetters, Error, Position, StreamRecord};

/// What the consumer works with.
#[derive(Clone)]
pub struct Parts {
    /// Where the Parquet objects go.
    pub lake: Arc<Lake>,
    /// Where poison is kept.
    pub dead: DeadLetters,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
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
        let Intake { events, mut poison } = Intake::decode(batch);
        let (rows, outside): (Vec<_>, Vec<_>) = events
            .into_iter()
            .partition(|placed| lake::object_key(placed.event.ts_ms, "x").is_ok());
        poison.extend(outside.into_iter().map(outside_the_calendar));
        self.parts.dead.keep(&poison, deadline).await?;
        let rows: Vec<LakeRow> = rows.into_iter().map(row).collect();
        if !rows.is_empty() {
            self.parts.lake.write(rows, deadline).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Consumer for Archive {
    async fn consume(&self, batch: Vec<StreamRecord>, deadline: &Deadline) -> BatchOutcome {
        let applied = self.apply(&batch, deadline).await;
        store::intake::settle(Self::NAME, &batch, applied, self.parts.clock.now().wall_ms)
    }
}

fn row(placed: Placed) -> LakeRow {
    LakeRow {
        event: placed.event,
        shard: placed.shard,
        sequence: placed.place.sequence,
        index: placed.place.index,
    }
}

/// No day of the lake has room for it; kept aside, so that it does not hold up its shard.
fn outside_the_calendar(placed: Placed) -> Poison {
    Poison {
        position: Position {
            shard: placed.shard.into(),
            sequence: placed.place.sequence.into(),
        },
        index: Some(placed.place.index),
        reason: "an event's time is outside the calendar".to_owned(),
        payload: store::events::encode(&placed.event),
        arrived_ms: placed.arrived_ms,
    }
}
