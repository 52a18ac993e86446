//! What a shard no longer keeps.

use std::fs;

use store::Error;

use super::super::segment::HEADER_BYTES;
use super::{Shard, Tail, lock};
use crate::durable::sync_dir;

impl Shard {
    /// Takes note that everybody has applied what lies up to a sequence, and removes what of it is too
    /// old.
    pub(in super::super) fn expire(&self, applied: u64, now_ms: i64) -> Result<(), Error> {
        let mut tail = lock(&self.tail);
        tail.applied = applied;
        let applied_whole = tail.bytes > HEADER_BYTES && tail.is_applied();
        if !tail.broken && applied_whole && tail.newest_ms < self.oldest_kept_ms(now_ms) {
            // Nothing is removed that is written to.
            self.begin_segment(&mut tail, now_ms)?;
        }
        self.forget(&mut tail, now_ms);
        Ok(())
    }

    /// Removes the oldest segments that everybody has applied, while their newest record is older than
    /// the retention, or the shard holds more than it may.
    pub(super) fn forget(&self, tail: &mut Tail, now_ms: i64) {
        let oldest_kept_ms = self.oldest_kept_ms(now_ms);
        let mut held_bytes = tail.held_bytes();
        // The last one stays.
        let with_next = tail.segments.iter().zip(tail.segments.iter().skip(1));
        let gone = with_next.take_while(|(segment, next)| {
            let too_much = held_bytes > self.options.bytes_max;
            held_bytes = held_bytes.saturating_sub(segment.bytes);
            next.first <= tail.applied.saturating_add(1)
                && (too_much || segment.newest_ms < oldest_kept_ms)
        });
        let gone = gone.count();
        for segment in tail.segments.drain(..gone) {
            if let Err(failed) = fs::remove_file(&segment.path) {
                tracing::warn!(error = %failed, "could not remove an expired log segment");
            }
        }
        if gone > 0 && sync_dir(&self.dir).is_err() {
            tracing::warn!("could not sync the event log's folder");
        }
    }

    fn oldest_kept_ms(&self, now_ms: i64) -> i64 {
        let span = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        now_ms.saturating_sub(span)
    }
}
