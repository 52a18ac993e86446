//! Realtime counts of a video: one row per (video, shard), so that one handler at a time owns each
//! row and a conditional write holds the value and the last position together.
//!
//! Readers sum over shards: after a reshard, child shards own new rows and the parent's stay.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use engine::{EventKind, VideoId};
use guard::Deadline;
use serde::{Deserialize, Serialize};

use crate::ports::{Position, Read, Table, Tables};
use crate::{Error, ErrorKind, sealed};

/// Hours of popularity kept per row, newest first out last.
pub const HOURS_MAX: usize = 24;
/// Rows are removed this long after their last write; longer than any stream keeps its records, so
/// that a replay meets the position it must not pass again. Seconds.
pub const KEPT_S: i64 = 8 * 24 * 3_600;
/// The schema that is written.
pub const COUNTS_SCHEMA: u8 = 1;

const ROWS_PER_LOAD: usize = 500;

/// Where inside a shard counting stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The record's sequence.
    pub sequence: String,
    /// The place inside the aggregate.
    pub index: u32,
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
    ///
    /// `hour` is given where the event is the user's first of its kind for this video in that hour.
    pub fn count(&mut self, place: Place, kind: EventKind, hour: Option<i64>) -> bool {
        if place <= self.at {
            return false;
        }
        self.at = place;
        self.add(kind, hour, 1);
        true
    }

    /// Adds what another shard has counted.
    pub fn merge(&mut self, other: &Self) {
        for (kind, n) in &other.totals {
            *self.totals.entry(*kind).or_default() += n;
        }
        for (hour, kinds) in &other.hours {
            for (kind, n) in kinds {
                *self
                    .hours
                    .entry(*hour)
                    .or_default()
                    .entry(*kind)
                    .or_default() += n;
            }
        }
    }

    /// The bytes of the row.
    ///
    /// # Errors
    /// `Invalid`, which no value of this type causes.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let json = serde_json::to_vec(self)
            .map_err(|e| Error::because(ErrorKind::Invalid, "encode counts", e))?;
        Ok(sealed::seal(COUNTS_SCHEMA, &json))
    }

    /// Reads the bytes of a row.
    ///
    /// # Errors
    /// `Corrupt` when they are not such a row; `Invalid` when a newer version wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let json = sealed::open(COUNTS_SCHEMA, bytes, "decode counts")?;
        serde_json::from_slice(json)
            .map_err(|e| Error::because(ErrorKind::Corrupt, "decode counts", e))
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

    fn add(&mut self, kind: EventKind, hour: Option<i64>, n: u64) {
        *self.totals.entry(kind).or_default() += n;
        let Some(hour) = hour else { return };
        *self.hours.entry(hour).or_default().entry(kind).or_default() += n;
        while self.hours.len() > HOURS_MAX {
            self.hours.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: &str, index: u32) -> Place {
        Place {
            sequence: sequence.to_owned(),
            index,
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
                counts.count(place.clone(), EventKind::Click, None),
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
            counts.count(place("1", hour), EventKind::Watch, Some(i64::from(hour)));
        }
        let hours: Vec<i64> = counts.hours.keys().copied().collect();
        assert_eq!(hours, (6..30).collect::<Vec<_>>());
        assert_eq!(counts.totals[&EventKind::Watch], 30);
        assert_eq!(
            VideoCounts::decode(&counts.encode().unwrap()).unwrap(),
            counts
        );
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
