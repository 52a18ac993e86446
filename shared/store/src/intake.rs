//! The first step of every consumer: a whole batch decoded, poison set apart.

use bytes::Bytes;
use engine::Event;
use metrics::{counter, histogram};
use smol_str::SmolStr;

use crate::consumer::BatchOutcome;
use crate::counters::Place;
use crate::ports::{Position, StreamRecord};
use crate::{Error, aggregate, events};

/// One event and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// What happened.
    pub event: Event,
    /// The shard that it came through.
    pub shard: SmolStr,
    /// Where it lies there; events of one record share its text.
    pub place: Place,
    /// When the stream took it, Unix time in milliseconds.
    pub arrived_ms: i64,
}

/// What cannot be decoded, with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    /// The record that carried it.
    pub position: Position,
    /// Its place inside the aggregate; `None` when the record itself cannot be opened.
    pub index: Option<u32>,
    /// Why, naming no content.
    pub reason: String,
    /// The bytes as they came.
    pub payload: Bytes,
    /// When the stream took it, Unix time in milliseconds.
    pub arrived_ms: i64,
}

/// A decoded batch; every payload of it is in exactly one of the two lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intake {
    /// Good events, in the order of the shard.
    pub events: Vec<Placed>,
    /// The rest, in the order of the shard.
    pub poison: Vec<Poison>,
}

impl Intake {
    /// Decodes a batch of one shard.
    #[must_use]
    pub fn decode(batch: &[StreamRecord]) -> Self {
        let mut intake = Self::default();
        for record in batch {
            intake.take(record);
        }
        intake
    }

    fn take(&mut self, record: &StreamRecord) {
        let arrived_ms = record.arrived_ms;
        let poison = |index, reason, payload| Poison {
            position: record.position.clone(),
            index,
            reason,
            payload,
            arrived_ms,
        };
        let parts = match aggregate::unpack(&record.data) {
            Ok(parts) => parts,
            Err(error) => {
                self.poison
                    .push(poison(None, error.to_string(), record.data.clone()));
                return;
            }
        };
        let Position { shard, sequence } = &record.position;
        let (shard, sequence) = (SmolStr::new(shard), SmolStr::new(sequence));
        for (index, (_, payload)) in (0_u32..).zip(parts) {
            match events::decode(&payload) {
                Ok(event) => {
                    let sequence = sequence.clone();
                    self.events.push(Placed {
                        event,
                        shard: shard.clone(),
                        place: Place { sequence, index },
                        arrived_ms,
                    });
                }
                Err(error) => self
                    .poison
                    .push(poison(Some(index), error.to_string(), payload)),
            }
        }
    }
}

/// Counts how a batch ended and says it to whoever feeds the consumer: one failed write fails the
/// batch from its first record, so that nothing later fences off something earlier.
#[must_use]
pub fn settle(
    consumer: &'static str,
    batch: &[StreamRecord],
    applied: Result<(), Error>,
    now_ms: i64,
) -> BatchOutcome {
    let Some(first) = batch.first() else {
        return BatchOutcome::done();
    };
    let lag_s = now_ms.saturating_sub(first.arrived_ms).max(0) as f64 / 1_000.0;
    let outcome = if applied.is_ok() { "applied" } else { "failed" };
    counter!(ops::metric::CONSUMED, "consumer" => consumer, "outcome" => outcome)
        .increment(batch.len() as u64);
    let Err(error) = applied else {
        histogram!(ops::metric::CONSUMER_LAG_SECONDS, "consumer" => consumer).record(lag_s);
        return BatchOutcome::done();
    };
    tracing::warn!(
        consumer,
        batch.records = batch.len(),
        error = %error,
        "a batch was not applied and comes again"
    );
    BatchOutcome::failed_from(first.position.clone())
}
