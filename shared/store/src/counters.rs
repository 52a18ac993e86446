//! What has been counted, in rows that one handler at a time owns: one per (what is counted, shard).
//!
//! ```text
//! video#<id>#<shard>         VideoCounts   totals, and people per hour
//! arm#<arm>#<day>#<shard>    ArmCounts     what people in one arm of an experiment did that day
//! hot#<shard>                HotVideos     the videos that most happened to lately, copied from their counts
//! shards                     ShardNames    every shard that ever counted
//! ```
//!
//! A row holds its value and the last position it counted, written together on a condition, so that
//! what comes again is not counted again. Readers sum over shards: after a reshard, child shards own
//! new rows and the parents' stay.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use engine::{EventKind, VideoId};
use guard::Deadline;
use prost::Message;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::ports::{Position, Read, Table, Tables};
use crate::{Error, ErrorKind, sealed};

mod arms;
mod hot;
mod message;
mod shards;

pub use arms::{ARM_KEPT_S, ArmCounts, ArmTally, day_of};
pub use hot::{HOT_HOURS, HOT_MAX, HotVideo, HotVideos};
pub use shards::{SHARDS_MAX, ShardNames};

use message::CountsMessage;

/// Hours of popularity kept per row, newest first out last.
pub const HOURS_MAX: usize = 24;
/// Rows are removed this long after their last write; longer than any stream keeps its records, so
/// that a replay meets the position it must not pass again. Seconds.
pub const KEPT_S: i64 = 8 * 24 * 3_600;
/// The schema that is written. 1 was JSON, 2 is protobuf.
pub const COUNTS_SCHEMA: u8 = 2;

const ROWS_PER_LOAD: usize = 500;

/// Where inside a shard counting stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The record's sequence; copies share it.
    pub sequence: SmolStr,
    /// The place inside the aggregate.
    pub index: u32,
}

/// One thing to count for a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// What happened.
    pub kind: EventKind,
    /// Where the event is the user's first of its kind for this video in that hour (Unix time in
    /// hours); nothing where it is not.
    pub hour: Option<i64>,
    /// Where it is the user's first long view of this video in that hour.
    pub long_view_hour: Option<i64>,
}

/// What one shard has counted for one video.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoCounts {
    /// The last record counted; records at or below it are not counted again.
    pub at: Place,
    /// Distinct events by kind.
    pub totals: BTreeMap<EventKind, u64>,
    /// Popularity by hour (Unix time in hours): one user counts once per video, kind and hour.
    pub hours: BTreeMap<i64, BTreeMap<EventKind, u64>>,
    /// By hour: of the people who watched, those who watched long.
    #[serde(default)]
    pub long_views: BTreeMap<i64, u64>,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        Position::compare_sequences(&self.sequence, &other.sequence)
            .then_with(|| self.index.cmp(&other.index))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl VideoCounts {
    /// The row of a video's counts by one shard.
    #[must_use]
    pub fn row_id(video_id: &VideoId, shard: &str) -> String {
        format!("video#{video_id}#{shard}")
    }

    /// Counts one event unless it lies at or below the last position; says whether it did.
    pub fn count(&mut self, place: &Place, tick: Tick) -> bool {
        if *place <= self.at {
            return false;
        }
        self.at = place.clone();
        *self.totals.entry(tick.kind).or_default() += 1;
        if let Some(hour) = tick.hour {
            let kinds = self.hours.entry(hour).or_default();
            *kinds.entry(tick.kind).or_default() += 1;
        }
        if let Some(hour) = tick.long_view_hour {
            *self.long_views.entry(hour).or_default() += 1;
        }
        while self.hours.len() > HOURS_MAX {
            self.hours.pop_first();
        }
        if let Some(oldest) = self.hours.first_key_value().map(|(hour, _)| *hour) {
            self.long_views.retain(|hour, _| *hour >= oldest);
        }
        true
    }

    /// Adds what another shard has counted.
    pub fn merge(&mut self, other: &Self) {
        for (kind, n) in &other.totals {
            *self.totals.entry(*kind).or_default() += n;
        }
        for (hour, kinds) in &other.hours {
            let own = self.hours.entry(*hour).or_default();
            for (kind, n) in kinds {
                *own.entry(*kind).or_default() += n;
            }
        }
        for (hour, n) in &other.long_views {
            *self.long_views.entry(*hour).or_default() += n;
        }
    }

    /// The bytes of the row.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        sealed::seal(COUNTS_SCHEMA, &CountsMessage::from(self).encode_to_vec())
    }

    /// Reads the bytes of a row.
    ///
    /// # Errors
    /// `Corrupt` when they are not such a row; `Invalid` when a newer version wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let what = "decode counts";
        let body = sealed::open(COUNTS_SCHEMA, bytes, what)?;
        if bytes.first() == Some(&1) {
            return serde_json::from_slice(body)
                .map_err(|e| Error::because(ErrorKind::Corrupt, what, e));
        }
        CountsMessage::decode(body)
            .map_err(|e| Error::because(ErrorKind::Corrupt, what, e))?
            .into_counts()
    }

    /// Loads the counts of videos, each summed over the given shards.
    ///
    /// # Errors
    /// The store's; `Corrupt` when a row cannot be read.
    pub async fn load(
        tables: &dyn Tables,
        video_ids: &[VideoId],
        shards: &[String],
        deadline: &Deadline,
    ) -> Result<Vec<Self>, Error> {
        let mut sums = vec![Self::default(); video_ids.len()];
        if shards.is_empty() {
            return Ok(sums);
        }
        let per_load = (ROWS_PER_LOAD / shards.len()).max(1);
        for (videos, sums) in video_ids.chunks(per_load).zip(sums.chunks_mut(per_load)) {
            let ids: Vec<String> = videos
                .iter()
                .flat_map(|v| shards.iter().map(|s| Self::row_id(v, s)))
                .collect();
            let rows = tables
                .load(Table::Counters, &ids, Read::Eventual, deadline)
                .await?;
            for (sum, rows) in sums.iter_mut().zip(rows.chunks(shards.len())) {
                for row in rows.iter().flatten() {
                    sum.merge(&Self::decode(&row.bytes)?);
                }
            }
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: &str, index: u32) -> Place {
        Place {
            sequence: sequence.into(),
            index,
        }
    }

    fn tick(kind: EventKind, hour: Option<i64>) -> Tick {
        Tick {
            kind,
            hour,
            long_view_hour: hour.filter(|_| kind == EventKind::Watch),
        }
    }

    #[test]
    fn a_place_is_counted_once_and_sequences_compare_as_numbers() {
        let mut counts = VideoCounts::default();
        let steps = [
            (place("9", 0), true),
            (place("9", 0), false),
            (place("10", 0), true),
            (place("9", 7), false),
            (place("10", 1), true),
        ];
        for (place, counted) in steps {
            assert_eq!(
                counts.count(&place, tick(EventKind::Click, None)),
                counted,
                "{place:?}"
            );
        }
        assert_eq!(counts.totals[&EventKind::Click], 3);
    }

    #[test]
    fn only_the_newest_hours_are_kept_and_the_row_round_trips() {
        let mut counts = VideoCounts::default();
        for hour in 0..30_u32 {
            counts.count(
                &place("1", hour),
                tick(EventKind::Watch, Some(i64::from(hour))),
            );
        }
        let hours: Vec<i64> = counts.hours.keys().copied().collect();
        assert_eq!(hours, (6..30).collect::<Vec<_>>());
        assert!(counts.long_views.keys().eq(counts.hours.keys()));
        assert_eq!(counts.totals[&EventKind::Watch], 30);
        assert_eq!(VideoCounts::decode(&counts.encode()).unwrap(), counts);
    }

    #[test]
    fn a_row_of_a_busy_day_costs_one_write_unit() {
        let mut counts = VideoCounts::default();
        let sequence = "49590338271490256608559692538361571095921575989136588898";
        for n in 0..24 * 5 * 400_u32 {
            let kind = EventKind::ALL[n as usize % 5];
            counts.count(
                &place(sequence, n),
                tick(kind, Some(490_000 + i64::from(n % 24))),
            );
        }
        let bytes = counts.encode().len();
        assert!(bytes < 1_000, "{bytes} bytes");
    }

    #[test]
    fn rows_of_the_first_schema_are_read() {
        let json =
            r#"{"at":{"sequence":"7","index":2},"totals":{"click":3},"hours":{"5":{"click":2}}}"#;
        let counts = VideoCounts::decode(&sealed::seal(1, json.as_bytes())).unwrap();
        assert_eq!(counts.at, place("7", 2));
        assert_eq!(counts.totals[&EventKind::Click], 3);
        assert_eq!(counts.hours[&5][&EventKind::Click], 2);
    }

    #[test]
    fn damage_and_later_versions_are_told_apart() {
        let later = sealed::seal(COUNTS_SCHEMA + 1, b"{}");
        assert_eq!(
            VideoCounts::decode(&later).unwrap_err().kind,
            ErrorKind::Invalid
        );
        let other = sealed::seal(COUNTS_SCHEMA, b"[7]");
        for bad in [&other[..], &later[1..], b""] {
            assert_eq!(
                VideoCounts::decode(bad).unwrap_err().kind,
                ErrorKind::Corrupt
            );
        }
    }
}
