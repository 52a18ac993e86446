//! Where consumers put what they cannot decode: kept, so that nothing is lost with it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::try_join_all;
use guard::Deadline;
use metrics::counter;
use serde::{Deserialize, Serialize};

use crate::intake::Poison;
use crate::ports::Objects;
use crate::{Error, ErrorKind};

/// The prefix of every dead letter.
pub const PREFIX: &str = "dead/";
/// The version of [`DeadLetter`] that is written.
pub const VERSION: u8 = 1;

/// Letters that are on their way at once: a batch full of poison must fit into its deadline.
const UNDER_WAY_MAX: usize = 16;

/// Keeps poison records, one object each, named by consumer and position: keeping one twice changes
/// nothing.
#[derive(Clone)]
pub struct DeadLetters {
    objects: Arc<dyn Objects>,
    consumer: &'static str,
}

/// One kept record, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The schema version.
    pub v: u8,
    /// Who could not decode it.
    pub consumer: String,
    /// The shard it came from.
    pub shard: String,
    /// The record's sequence.
    pub sequence: String,
    /// Its place inside the aggregate; absent when the record itself cannot be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// Why.
    pub reason: String,
    /// When the stream took it, Unix time in milliseconds.
    pub arrived_ms: i64,
    /// The bytes as they came, base64.
    pub payload_base64: String,
}

impl DeadLetter {
    /// The bytes as they came.
    ///
    /// # Errors
    /// `Corrupt` when the letter was changed by hand.
    pub fn payload(&self) -> Result<Bytes, Error> {
        let payload = STANDARD.decode(&self.payload_base64).map(Bytes::from);
        payload.map_err(|e| Error::because(ErrorKind::Corrupt, "read a dead letter", e))
    }
}

impl DeadLetters {
    /// The letters of one consumer, under `dead/<consumer>/`.
    #[must_use]
    pub fn new(objects: Arc<dyn Objects>, consumer: &'static str) -> Self {
        Self { objects, consumer }
    }

    /// Keeps each of them before returning.
    ///
    /// # Errors
    /// The store's, for the first that could not be kept.
    pub async fn keep(&self, poison: &[Poison], deadline: &Deadline) -> Result<(), Error> {
        for together in poison.chunks(UNDER_WAY_MAX) {
            try_join_all(together.iter().map(|one| self.keep_one(one, deadline))).await?;
        }
        Ok(())
    }

    async fn keep_one(&self, poison: &Poison, deadline: &Deadline) -> Result<(), Error> {
        let bytes = serde_json::to_vec(&self.letter(poison))
            .map_err(|e| Error::because(ErrorKind::Invalid, "encode a dead letter", e))?;
        let key = self.key(poison);
        self.objects.put(&key, Bytes::from(bytes), deadline).await?;
        counter!(ops::metric::DEAD_LETTERS, "consumer" => self.consumer).increment(1);
        Ok(())
    }

    fn key(&self, poison: &Poison) -> String {
        let Poison {
            position, index, ..
        } = poison;
        let place = index.map_or_else(|| "record".to_owned(), |i| i.to_string());
        format!(
            "{PREFIX}{}/{}/{}.{place}.json",
            self.consumer, position.shard, position.sequence
        )
    }

    fn letter(&self, poison: &Poison) -> DeadLetter {
        DeadLetter {
            v: VERSION,
            consumer: self.consumer.to_owned(),
            shard: poison.position.shard.clone(),
            sequence: poison.position.sequence.clone(),
            index: poison.index,
            reason: poison.reason.clone(),
            arrived_ms: poison.arrived_ms,
            payload_base64: STANDARD.encode(&poison.payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::Barrier;

    use super::*;
    use crate::ports::Position;
    use crate::testing::{MemoryObjects, clock, deadline};

    #[tokio::test(start_paused = true)]
    async fn letters_are_on_their_way_together() {
        let objects = Arc::new(MemoryObjects::default());
        // Nothing is kept before so many are on their way.
        *objects.together.lock().unwrap() = Some(Arc::new(Barrier::new(UNDER_WAY_MAX)));
        let dead = DeadLetters::new(objects.clone(), "test");
        let poison = |n: usize| Poison {
            position: Position {
                shard: "0".to_owned(),
                sequence: n.to_string(),
            },
            index: None,
            reason: "bad".to_owned(),
            payload: Bytes::from_static(b"x"),
            arrived_ms: 0,
        };
        let poison: Vec<Poison> = (0..2 * UNDER_WAY_MAX).map(poison).collect();
        let deadline = deadline(&clock());
        let kept = dead.keep(&poison, &deadline);
        let kept = tokio::time::timeout(Duration::from_secs(1), kept).await;
        kept.expect("one after the other").unwrap();
        assert_eq!(objects.keys().len(), poison.len());
    }
}
