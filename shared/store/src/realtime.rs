//! Keeps the realtime table of this process fresh from what the stream's consumer tells.
//!
//! ```text
//! clickstream ─► hot#<shard> rows ─► Realtime::refresh, every ten seconds ─► engine::realtime::Table
//! ```

use std::sync::Arc;
use std::time::Duration;

use engine::realtime::{Builder, Table};
use guard::{Clock, Deadline};

use crate::Error;
use crate::counters::{HotVideos, ShardNames};
use crate::due::Due;
use crate::generation::GenerationReader;
use crate::ports::Tables;

/// How old the table may grow.
pub const REALTIME_EVERY: Duration = Duration::from_secs(10);
/// A count weighs half after this long: what explodes is told from what was big this morning.
pub const HALF_LIFE_MS: u32 = 3_600_000;
const RETRY: Duration = Duration::from_secs(2);
const HOUR_MS: i64 = 3_600_000;

/// The realtime table and where it comes from.
pub struct Realtime {
    table: Arc<Table>,
    tables: Arc<dyn Tables>,
    generations: Arc<GenerationReader>,
    clock: Arc<dyn Clock>,
    due: Due,
}

impl Realtime {
    /// An empty table that is filled from these counters, for the mapped generation.
    #[must_use]
    pub fn new(
        tables: Arc<dyn Tables>,
        generations: Arc<GenerationReader>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            table: Arc::default(),
            tables,
            generations,
            clock,
            due: Due::default(),
        }
    }

    /// The table; what it answers is never older than its last refresh.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Fills the table anew when it is older than [`REALTIME_EVERY`].
    ///
    /// # Errors
    /// As [`Self::refresh`].
    pub async fn refresh_if_due(&self, deadline: &Deadline) -> Result<(), Error> {
        if self.due.claim(self.clock.now(), REALTIME_EVERY, RETRY) {
            self.refresh(deadline).await?;
        }
        Ok(())
    }

    /// Fills the table anew.
    ///
    /// # Errors
    /// The store's; `Corrupt` when a row cannot be read. The table stays as it was.
    pub async fn refresh(&self, deadline: &Deadline) -> Result<(), Error> {
        let began = self.clock.now();
        let Some(index) = self.generations.current() else {
            return Ok(());
        };
        let shards = ShardNames::load(&*self.tables, deadline).await?;
        let hot = if shards.is_empty() {
            Vec::new()
        } else {
            HotVideos::load(&*self.tables, &shards, deadline).await?
        };
        let now_ms = began.wall_ms;
        let mut builder = Builder::new(&index, now_ms, HALF_LIFE_MS);
        for (id, video) in hot.iter().flat_map(HotVideos::videos) {
            // A video that the generation does not know has no place in it yet.
            let Some(item) = index.find(id.as_str()) else {
                continue;
            };
            for (hour, figures) in video.hours() {
                builder.add(item, middle_ms(hour, now_ms), figures);
            }
        }
        self.table.replace(builder.finish());
        self.due.done(began);
        Ok(())
    }
}

/// The middle of the part of an hour that has passed.
fn middle_ms(hour: i64, now_ms: i64) -> i64 {
    let begin_ms = hour.saturating_mul(HOUR_MS);
    let end_ms = begin_ms.saturating_add(HOUR_MS).min(now_ms).max(begin_ms);
    begin_ms + (end_ms - begin_ms) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_lies_in_the_middle_of_what_has_passed_of_it() {
        let now_ms = 10 * HOUR_MS + 600_000;
        for (hour, middle) in [
            (10, 10 * HOUR_MS + 300_000),
            (9, 9 * HOUR_MS + HOUR_MS / 2),
            (11, 11 * HOUR_MS),
        ] {
            assert_eq!(middle_ms(hour, now_ms), middle, "{hour}");
        }
    }
}
