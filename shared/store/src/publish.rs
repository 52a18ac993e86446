//! Appending events to the stream, each answered on its own.
//!
//! ```text
//! events ──► bucket by user ──► aggregates ──► append ──► failed ones only, after a pause ─┐
//!                                                ▲─────────────────────────────────────────┘
//! ```
//!
//! Who waits for the answers of many users together is not kept by one shard that takes nothing:
//! beside records that were taken, failed ones are tried again after the shortest pause each time,
//! then named. What has nobody waiting for it goes through the outbox, which tries each record once per flush.
//!
//! A user's events share a bucket, and a bucket is a partition key: they stay in order on one
//! shard. `Ok` for an event means durable; an `Err` may still have arrived, which event ids make
//! harmless.

use std::time::Duration;

use engine::{Event, UserId, UserState};
use guard::Deadline;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::aggregate::{Packed, Packer};
use crate::events::{self, EVENT_BYTES_MAX};
use crate::ports::{Record, Stream};
use crate::{Error, ErrorKind};

/// Partition keys that users are spread over: enough for even shards, few enough for full
/// aggregates. Raising it moves users between shards.
pub const BUCKETS: u64 = NONCES.len() as u64;
/// Appends of one record, the first included.
pub const ATTEMPTS_MAX: u32 = 6;

const PAUSE_MIN: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(800);

/// Appends events; answers in their order.
///
/// Records that fail for a reason that may pass are appended again within the deadline, up to
/// [`ATTEMPTS_MAX`] times, after jittered pauses that grow while the stream takes nothing at all.
pub async fn publish_events(
    stream: &dyn Stream,
    events: &[Event],
    deadline: &Deadline,
) -> Vec<Result<(), Error>> {
    let mut open = pack_events(events);
    let all = open.len();
    let mut kinds = vec![Err(ErrorKind::Unavailable); events.len()];
    let (mut attempt, mut pauses) = (0, 0);
    while !open.is_empty() {
        open = append_once(stream, open, &mut kinds, deadline).await;
        attempt += 1;
        // The others were taken, and their answer waits for these.
        pauses = if open.len() < all { 1 } else { pauses + 1 };
        if open.is_empty() || attempt >= ATTEMPTS_MAX || !rest(pauses, &open, deadline).await {
            break;
        }
    }
    let answers = kinds.into_iter();
    answers
        .map(|answer| answer.map_err(|kind| Error::new(kind, "append events")))
        .collect()
}

/// Appends events once; answers in their order.
pub(crate) async fn publish_once(
    stream: &dyn Stream,
    events: &[Event],
    deadline: &Deadline,
) -> Vec<Result<(), ErrorKind>> {
    let mut kinds = vec![Err(ErrorKind::Unavailable); events.len()];
    append_once(stream, pack_events(events), &mut kinds, deadline).await;
    kinds
}

/// Appends records once and notes what became of their events; answers those that failed for a reason
/// that may pass.
async fn append_once(
    stream: &dyn Stream,
    open: Vec<Packed>,
    kinds: &mut [Result<(), ErrorKind>],
    deadline: &Deadline,
) -> Vec<Packed> {
    let outcome = append(stream, &open, deadline).await;
    let mut failed = Vec::new();
    for (packed, answer) in open.into_iter().zip(outcome) {
        for place in &packed.items {
            if let Some(kind) = kinds.get_mut(*place) {
                *kind = answer;
            }
        }
        if answer.is_err_and(ErrorKind::retryable) {
            failed.push(packed);
        }
    }
    failed
}

/// Packs events into the stream's records, each user's in their order on one partition key.
#[must_use]
pub fn pack_events(events: &[Event]) -> Vec<Packed> {
    let (mut packer, mut payload) = (Packer::default(), Vec::with_capacity(EVENT_BYTES_MAX));
    for (place, event) in events.iter().enumerate() {
        payload.clear();
        events::encode_into(event, &mut payload);
        let slot = slot(&event.user_id);
        packer.add(slot as usize, || key_of(slot), place, &payload);
    }
    packer.finish()
}

/// The partition key of a user's events.
#[must_use]
pub fn bucket(user_id: &UserId) -> String {
    key_of(slot(user_id))
}

/// The number of a user's partition key.
pub(crate) fn slot(user_id: &UserId) -> u64 {
    UserState::user_hash(user_id) % BUCKETS
}

fn key_of(slot: u64) -> String {
    let nonce = usize::try_from(slot).ok().and_then(|slot| NONCES.get(slot));
    format!("u{slot}.{}", nonce.copied().unwrap_or_default())
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
    // The payload differs between processes, so their pauses do, without a source of randomness.
    let seed = open.first().map_or(0, |packed| {
        let mono = deadline.clock().now().mono.as_nanos() as u64;
        xxh3_64_with_seed(&packed.record.data, mono ^ u64::from(attempt))
    });
    let slept = deadline
        .limit(tokio::time::sleep(pause(attempt, seed)))
        .await;
    slept.is_ok() && deadline.allows_stage()
}

/// How long to wait after so many attempts: doubling, and between half and all of that.
pub(crate) fn pause(attempt: u32, seed: u64) -> Duration {
    let whole = PAUSE_MIN
        .saturating_mul(1 << attempt.saturating_sub(1).min(16))
        .min(PAUSE_MAX);
    let share = 0.5 + 0.5 * (seed >> 11) as f64 / (1_u64 << 53) as f64;
    whole.mul_f64(share)
}

/// Behind each bucket's number, so that the MD5 of its key, by which Kinesis chooses the shard, begins
/// with that number: shards that share the hash space evenly then share the buckets evenly.
const NONCES: [u16; 256] = [
    8, 213, 64, 204, 150, 235, 237, 81, 88, 185, 97, 22, 136, 0, 444, 70, 290, 88, 137, 1121, 158,
    103, 11, 352, 173, 80, 181, 0, 352, 677, 356, 28, 469, 47, 428, 81, 419, 119, 106, 588, 416,
    365, 49, 56, 372, 386, 29, 199, 768, 214, 119, 149, 234, 105, 38, 289, 252, 570, 62, 976, 333,
    348, 640, 288, 183, 5, 600, 46, 21, 67, 17, 15, 375, 178, 5, 140, 119, 215, 242, 221, 249, 171,
    163, 128, 525, 335, 81, 137, 177, 721, 1, 487, 154, 234, 38, 48, 172, 407, 12, 168, 45, 159,
    87, 604, 637, 126, 169, 582, 12, 18, 431, 204, 251, 24, 120, 72, 202, 134, 0, 29, 78, 166, 543,
    318, 207, 449, 523, 439, 730, 180, 7, 134, 237, 166, 1058, 16, 431, 90, 32, 387, 212, 143,
    1177, 664, 682, 127, 152, 411, 58, 112, 180, 96, 379, 243, 117, 562, 80, 73, 383, 54, 49, 266,
    173, 61, 95, 232, 35, 186, 596, 360, 78, 15, 162, 147, 144, 6, 578, 499, 64, 117, 10, 19, 41,
    29, 44, 25, 35, 450, 141, 145, 20, 113, 372, 421, 588, 376, 470, 100, 196, 209, 632, 392, 463,
    504, 608, 264, 265, 308, 408, 14, 201, 32, 153, 590, 245, 146, 44, 151, 110, 104, 142, 235,
    121, 340, 180, 27, 103, 747, 282, 382, 114, 1320, 48, 412, 63, 30, 402, 167, 84, 319, 298, 65,
    11, 157, 25, 84, 212, 18, 657, 287, 212, 250, 168, 1059, 587, 514,
];

#[cfg(test)]
mod tests;
