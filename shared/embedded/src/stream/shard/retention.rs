//! What a shard no longer keeps.

use std::fs;

use store::Error;

use super::super::segment::HEADER_BYTES;
use super::{Shard, Tail, lock};
use crate::durable::sync_dir;

impl Shard {
    /// Removes what is older than the retention and was applied by everybody: up to that sequence.
    pub(in super::super) fn expire(&self, applied: u64, now_ms: i64) -> Result<(), Error> {
        let mut tail = lock(&self.tail);
        let applied_whole = tail.bytes > HEADER_BYTES && tail.next <= applied.saturating_add(1);
        if !tail.broken && applied_whole && tail.newest_ms < self.oldest_kept_ms(now_ms) {
            // Nothing is removed that is written to.
            self.begin_segment(&mut tail, now_ms)?;
        }
        self.forget(&mut tail, applied, now_ms);
        Ok(())
    }

    /// Removes the oldest segments while their newest record is older than the retention, and nothing
    /// behind the sequence `applied`.
    pub(super) fn forget(&self, tail: &mut Tail, applied: u64, now_ms: i64) {
        let oldest_kept_ms = self.oldest_kept_ms(now_ms);
        // The last one stays.
        let with_next = tail.segments.iter().zip(tail.segments.iter().skip(1));
        let old = with_next.take_while(|(segment, next)| {
            segment.newest_ms < oldest_kept_ms && next.first <= applied.saturating_add(1)
        });
        let old = old.count();
        for segment in tail.segments.drain(..old) {
            if let Err(failed) = fs::remove_file(&segment.path) {
                tracing::warn!(error = %failed, "could not remove an expired log segment");
            }
        }
        if old > 0 && sync_dir(&self.dir).is_err() {
            tracing::warn!("could not sync the event log's folder");
        }
    }

    fn oldest_kept_ms(&self, now_ms: i64) -> i64 {
        let span = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        now_ms.saturating_sub(span)
    }
}
