//! Appending events to the stream, each answered on its own.
//!
//! ```text
//! events ──► bucket by user ──► aggregates ──► append ──► failed ones only, after a pause ─┐
//!                                                ▲─────────────────────────────────────────┘
//! ```
//!
//! A user's events share a bucket, and a bucket is a partition key: they stay in order on one
//! shard. `Ok` for an event means durable; an `Err` may still have arrived, which event ids make
//! harmless.

use std::time::Duration;

use engine::{Event, UserId, UserState};
use guard::Deadline;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::aggregate::{Packed, Packer};
use crate::events;
use crate::ports::{Record, Stream};
use crate::{Error, ErrorKind};

/// Partition keys that users are spread over: enough for even shards, few enough for full
/// aggregates. Raising it moves users between shards.
pub const BUCKETS: u64 = 256;
/// Appends of one record, the first included.
pub const ATTEMPTS_MAX: u32 = 6;

const PAUSE_MIN: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(800);

/// Appends events; answers in their order.
///
/// Records that fail for a reason that may pass are appended again within the deadline, up to
/// [`ATTEMPTS_MAX`] times, after growing, jittered pauses.
pub async fn publish_events(
    stream: &dyn Stream,
    events: &[Event],
    deadline: &Deadline,
) -> Vec<Result<(), Error>> {
    publish_counting(stream, events, deadline).await.answers
}

/// How publishing went.
pub(crate) struct Published {
    /// Per event, in their order.
    pub(crate) answers: Vec<Result<(), Error>>,
    /// Events appended once more, counted each time.
    pub(crate) retried: u64,
}

/// As [`publish_events`], counting the repetitions.
pub(crate) async fn publish_counting(
    stream: &dyn Stream,
    events: &[Event],
    deadline: &Deadline,
) -> Published {
    let mut open = pack_events(events);
    let mut answers: Vec<Result<(), Error>> = events
        .iter()
        .map(|_| Err(Error::new(ErrorKind::Unavailable, "append events")))
        .collect();
    let (mut retried, mut attempt) = (0, 0);
    while !open.is_empty() {
        let outcome = append(stream, &open, deadline).await;
        attempt += 1;
        let mut failed = Vec::new();
        for (packed, answer) in open.into_iter().zip(outcome) {
            let again = answer.as_ref().is_err_and(|kind| kind.retryable());
            for place in &packed.items {
                if let Some(slot) = answers.get_mut(*place) {
                    *slot = answer.map_err(|kind| Error::new(kind, "append events"));
                }
            }
            if again {
                failed.push(packed);
            }
        }
        open = failed;
        if open.is_empty() || attempt >= ATTEMPTS_MAX {
            break;
        }
        if !rest(attempt, &open, deadline).await {
            break;
        }
        retried += open
            .iter()
            .map(|packed| packed.items.len() as u64)
            .sum::<u64>();
    }
    Published { answers, retried }
}

/// Packs events into the stream's records, each user's in their order on one partition key.
#[must_use]
pub fn pack_events(events: &[Event]) -> Vec<Packed> {
    let mut packer = Packer::default();
    for (place, event) in events.iter().enumerate() {
        let slot = slot(&event.user_id);
        let bytes = events::encoded_len(event);
        packer.add(slot as usize, || key_of(slot), place, bytes, |out| {
            events::encode_into(event, out);
        });
    }
    packer.finish()
}

/// The partition key of a user's events.
#[must_use]
pub fn bucket(user_id: &UserId) -> String {
    key_of(slot(user_id))
}

fn slot(user_id: &UserId) -> u64 {
    UserState::user_hash(user_id) % BUCKETS
}

fn key_of(slot: u64) -> String {
    format!("u{slot}")
}

/// Appends each record once; one answer per record, whatever the stream answers.
async fn append(
    stream: &dyn Stream,
    packed: &[Packed],
    deadline: &Deadline,
) -> Vec<Result<(), ErrorKind>> {
    let records: Vec<Record> = packed.iter().map(|packed| packed.record.clone()).collect();
    let outcome = match deadline.limit(stream.append(records, deadline)).await {
        Ok(outcome) => outcome,
        Err(elapsed) => Err(Error::elapsed(elapsed, "append events")),
    };
    match outcome {
        Ok(answers) => {
            let answers = answers
                .into_iter()
                .map(|one| one.map(|_| ()).map_err(|e| e.kind));
            let missing = std::iter::repeat(Err(ErrorKind::Unavailable));
            answers.chain(missing).take(packed.len()).collect()
        }
        Err(error) => vec![Err(error.kind); packed.len()],
    }
}

/// Waits between half and all of a doubling pause; false when the deadline does not allow another
/// attempt.
async fn rest(attempt: u32, open: &[Packed], deadline: &Deadline) -> bool {
    let pause = PAUSE_MIN
        .saturating_mul(1 << (attempt - 1).min(16))
        .min(PAUSE_MAX);
    // The payload differs between processes, so their pauses do, without a source of randomness.
    let seed = open.first().map_or(0, |packed| {
        let mono = deadline.clock().now().mono.as_nanos() as u64;
        xxh3_64_with_seed(&packed.record.data, mono ^ u64::from(attempt))
    });
    let share = 0.5 + 0.5 * (seed >> 11) as f64 / (1_u64 << 53) as f64;
    let slept = deadline
        .limit(tokio::time::sleep(pause.mul_f64(share)))
        .await;
    slept.is_ok() && deadline.allows_stage()
}

#[cfg(test)]
mod tests;
