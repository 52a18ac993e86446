//! Tells readers which videos of a shard most happened to lately, a few times a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::VideoId;
use guard::{Clock, Deadline, Now};
use store::counters::{HotVideo, HotVideos, KEPT_S};
use store::{Change, Error, Expect, Tables, Write, Written};

use crate::rows;

/// A shard's row is written at most this often.
pub const HOT_EVERY: Duration = Duration::from_secs(5);
/// Videos that wait to be told of, per shard; the rest is told of when it is touched again.
const WAITING_MAX: usize = 20_000;
/// Shards that are remembered; beyond, all are forgotten and written at their next batch.
const SHARDS_MAX: usize = 256;

/// What is not told yet, by shard.
#[derive(Debug, Default)]
pub(crate) struct Heat {
    shards: Mutex<HashMap<String, Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    videos: HashMap<VideoId, HotVideo>,
    told: Option<Now>,
}

impl Heat {
    /// Takes what a batch touched; writes the shard's row when it is time. A write that fails waits
    /// for the next batch: it holds nothing that counts, and must not hold up the stream.
    pub async fn tell(
        &self,
        shard: &str,
        touched: Vec<(VideoId, HotVideo)>,
        tables: &dyn Tables,
        clock: &dyn Clock,
        deadline: &Deadline,
    ) {
        let now = clock.now();
        let Some(videos) = self.take_when_due(shard, touched, now) else {
            return;
        };
        if let Err(error) = write(shard, &videos, tables, now, deadline).await {
            tracing::warn!(error = %error, "the hot videos of a shard were not told");
            self.take_back(shard, videos);
        }
    }

    fn take_when_due(
        &self,
        shard: &str,
        touched: Vec<(VideoId, HotVideo)>,
        now: Now,
    ) -> Option<HashMap<VideoId, HotVideo>> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if shards.len() >= SHARDS_MAX && !shards.contains_key(shard) {
            shards.clear();
        }
        let waiting = shards.entry(shard.to_owned()).or_default();
        for (id, video) in touched {
            if waiting.videos.len() < WAITING_MAX || waiting.videos.contains_key(&id) {
                waiting.videos.insert(id, video);
            }
        }
        let due = waiting.told.is_none_or(|told| {
            let wall_ms = now.wall_ms.saturating_sub(told.wall_ms);
            let wall = Duration::from_millis(u64::try_from(wall_ms).unwrap_or(0));
            now.mono.saturating_sub(told.mono).max(wall) >= HOT_EVERY
        });
        if !due || waiting.videos.is_empty() {
            return None;
        }
        waiting.told = Some(now);
        Some(std::mem::take(&mut waiting.videos))
    }

    fn take_back(&self, shard: &str, videos: HashMap<VideoId, HotVideo>) {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = shards.entry(shard.to_owned()).or_default();
        for (id, video) in videos {
            waiting.videos.entry(id).or_insert(video);
        }
    }
}

async fn write(
    shard: &str,
    videos: &HashMap<VideoId, HotVideo>,
    tables: &dyn Tables,
    now: Now,
    deadline: &Deadline,
) -> Result<(), Error> {
    let id = HotVideos::row_id(shard);
    let loaded = rows::load(tables, std::slice::from_ref(&id), deadline).await?;
    let row = loaded.into_iter().next().and_then(|(_, row)| row);
    let before = rows::readable(row.as_ref(), HotVideos::decode)?;
    let mut hot = before.clone();
    hot.join(videos, now.wall_ms.div_euclid(3_600_000));
    if hot == before {
        return Ok(());
    }
    let expect = row.map_or(Expect::Absent, |row| Expect::Version(row.version));
    let change = Change::Put {
        bytes: hot.encode(),
        expires_at_s: Some(now.wall_ms.div_euclid(1_000) + KEPT_S),
    };
    let write = Write { id, expect, change };
    let written = tables.write(store::Table::Counters, vec![write], deadline);
    match written.await?.into_iter().next().transpose()? {
        // Another handler of the shard was first: it knows as much, and the next batch comes soon.
        Some(Written::Conflict | Written::Done(_)) | None => Ok(()),
    }
}
