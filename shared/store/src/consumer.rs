//! What reads the stream, whoever feeds it: an event-source mapping or the local process.

use async_trait::async_trait;
use guard::Deadline;

use crate::ports::{Position, StreamRecord};

/// Takes batches of one shard, in order, one at a time per shard.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Applies a batch; afterwards everything before `failed_from` is durable.
    ///
    /// What is delivered again, in the same batches or others, changes nothing.
    async fn consume(&self, batch: Vec<StreamRecord>, deadline: &Deadline) -> BatchOutcome;
}

/// How a batch ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchOutcome {
    /// The first record that was not applied; it and everything behind it comes again.
    pub failed_from: Option<Position>,
}

impl BatchOutcome {
    /// Everything was applied.
    #[must_use]
    pub fn done() -> Self {
        Self::default()
    }

    /// Nothing from this record on was applied.
    #[must_use]
    pub fn failed_from(position: Position) -> Self {
        Self {
            failed_from: Some(position),
        }
    }
}
