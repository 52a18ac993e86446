//! The first step of every consumer: a whole batch decoded, poison set apart.

use bytes::Bytes;
use engine::Event;

use crate::ports::{Position, StreamRecord};
use crate::{aggregate, events};

/// One event and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// What happened.
    pub event: Event,
    /// The record that carried it.
    pub position: Position,
    /// Its place inside the aggregate, from 0.
    pub index: u32,
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
                self.poison.push(poison(None, error.to_string(), record.data.clone()));
                return;
            }
        };
        for (index, (_, payload)) in (0_u32..).zip(parts) {
            match events::decode(&payload) {
                Ok(event) => {
                    let position = record.position.clone();
                    self.events.push(Placed { event, position, index, arrived_ms });
                }
                Err(error) => self.poison.push(poison(Some(index), error.to_string(), payload)),
            }
        }
    }
}
