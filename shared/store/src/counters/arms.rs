//! What people in one arm of an experiment did on one day.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::EventKind;
use guard::Deadline;
use prost::Message;
use smol_str::SmolStr;

use super::message::{corrupt, kind_of};
use super::{Place, ROWS_PER_LOAD};
use crate::ports::{Read, Table, Tables};
use crate::{Error, sealed};

/// Rows are removed this long after their last write, seconds.
pub const ARM_KEPT_S: i64 = 400 * 24 * 3_600;
const ARM_SCHEMA: u8 = 1;
const DAY_MS: i64 = 24 * 3_600_000;

/// What one shard has counted for one arm on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArmCounts {
    /// The last record counted; records at or below it are not counted again.
    pub at: Place,
    /// People who did anything.
    pub users: u64,
    /// By kind of event.
    pub kinds: BTreeMap<EventKind, ArmTally>,
}

/// One kind of event in one arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArmTally {
    /// Distinct events.
    pub events: u64,
    /// People who did it at least once that day.
    pub users: u64,
    /// Of the watches, the long ones.
    pub long_views: u64,
    /// Milliseconds watched.
    pub watch_ms: u64,
}

/// The stored form. Numbers are never reused.
#[derive(Clone, PartialEq, Message)]
struct ArmMessage {
    #[prost(string, tag = "1")]
    sequence: String,
    #[prost(uint32, tag = "2")]
    index: u32,
    #[prost(uint64, tag = "3")]
    users: u64,
    #[prost(message, repeated, tag = "4")]
    kinds: Vec<ArmKindMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ArmKindMessage {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint64, tag = "2")]
    events: u64,
    #[prost(uint64, tag = "3")]
    users: u64,
    #[prost(uint64, tag = "4")]
    long_views: u64,
    #[prost(uint64, tag = "5")]
    watch_ms: u64,
}

/// The day, Unix time in days, that a time in milliseconds lies in.
#[must_use]
pub fn day_of(ts_ms: i64) -> i64 {
    ts_ms.div_euclid(DAY_MS)
}

impl ArmCounts {
    /// The row of an arm (`layer=arm`) on a day by one shard.
    #[must_use]
    pub fn row_id(arm: &str, day: i64, shard: &str) -> String {
        format!("arm#{arm}#{day}#{shard}")
    }

    /// Counts one event unless it lies at or below the last position; says whether it did.
    /// `first` and `first_of_kind` say whether it is the first of its user in this arm that day.
    pub fn count(
        &mut self,
        place: &Place,
        kind: EventKind,
        more: ArmTally,
        [first, first_of_kind]: [bool; 2],
    ) -> bool {
        if *place <= self.at {
            return false;
        }
        self.at = place.clone();
        self.users += u64::from(first);
        let tally = self.kinds.entry(kind).or_default();
        tally.events += 1;
        tally.users += u64::from(first_of_kind);
        tally.long_views += more.long_views;
        tally.watch_ms += more.watch_ms;
        true
    }

    /// Adds what another shard has counted.
    pub fn merge(&mut self, other: &Self) {
        self.users += other.users;
        for (kind, more) in &other.kinds {
            let tally = self.kinds.entry(*kind).or_default();
            tally.events += more.events;
            tally.users += more.users;
            tally.long_views += more.long_views;
            tally.watch_ms += more.watch_ms;
        }
    }

    /// The bytes of the row.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let kind = |(kind, tally): (&EventKind, &ArmTally)| ArmKindMessage {
            kind: u32::from(kind.number()),
            events: tally.events,
            users: tally.users,
            long_views: tally.long_views,
            watch_ms: tally.watch_ms,
        };
        let message = ArmMessage {
            sequence: self.at.sequence.to_string(),
            index: self.at.index,
            users: self.users,
            kinds: self.kinds.iter().map(kind).collect(),
        };
        sealed::seal(ARM_SCHEMA, &message.encode_to_vec())
    }

    /// Reads the bytes of a row.
    ///
    /// # Errors
    /// `Corrupt` when they are not such a row; `Invalid` when a newer version wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let body = sealed::open(ARM_SCHEMA, bytes, "decode counts of an arm")?;
        let message = ArmMessage::decode(body).map_err(|_| corrupt())?;
        let mut counts = Self {
            at: Place {
                sequence: message.sequence.into(),
                index: message.index,
            },
            users: message.users,
            kinds: BTreeMap::new(),
        };
        for one in message.kinds {
            let tally = ArmTally {
                events: one.events,
                users: one.users,
                long_views: one.long_views,
                watch_ms: one.watch_ms,
            };
            counts.kinds.insert(kind_of(one.kind)?, tally);
        }
        Ok(counts)
    }

    /// Loads the counts of arms on the days `from..to`, each summed over the given shards.
    ///
    /// A user whose events moved between shards within a day counts once on each.
    ///
    /// # Errors
    /// The store's; `Corrupt` when a row cannot be read.
    pub async fn load(
        tables: &dyn Tables,
        arms: &[SmolStr],
        days: std::ops::Range<i64>,
        shards: &[String],
        deadline: &Deadline,
    ) -> Result<BTreeMap<(SmolStr, i64), Self>, Error> {
        let mut keys = Vec::new();
        for arm in arms {
            for day in days.clone() {
                keys.extend(shards.iter().map(|shard| (arm.clone(), day, shard)));
            }
        }
        let mut sums: BTreeMap<(SmolStr, i64), Self> = BTreeMap::new();
        for keys in keys.chunks(ROWS_PER_LOAD) {
            let id = |(arm, day, shard): &(SmolStr, i64, &String)| Self::row_id(arm, *day, shard);
            let ids: Vec<String> = keys.iter().map(id).collect();
            let rows = tables
                .load(Table::Counters, &ids, Read::Eventual, deadline)
                .await?;
            for ((arm, day, _), row) in keys.iter().zip(rows) {
                if let Some(row) = row {
                    let sum = sums.entry((arm.clone(), *day)).or_default();
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

    #[test]
    fn an_event_counts_once_and_the_row_round_trips() {
        let mut counts = ArmCounts::default();
        let place = |index| Place {
            sequence: "5".into(),
            index,
        };
        let watched = ArmTally {
            watch_ms: 900,
            long_views: 1,
            ..ArmTally::default()
        };
        assert!(counts.count(&place(1), EventKind::Watch, watched, [true, true]));
        assert!(!counts.count(&place(1), EventKind::Watch, watched, [true, true]));
        assert!(counts.count(&place(2), EventKind::Watch, watched, [false, false]));
        assert!(counts.count(
            &place(3),
            EventKind::Like,
            ArmTally::default(),
            [false, true]
        ));
        assert_eq!(counts.users, 1);
        let watches = counts.kinds[&EventKind::Watch];
        assert_eq!((watches.events, watches.users), (2, 1));
        assert_eq!((watches.long_views, watches.watch_ms), (2, 1_800));
        assert_eq!(ArmCounts::decode(&counts.encode()).unwrap(), counts);
        let mut twice = counts.clone();
        twice.merge(&counts);
        assert_eq!((twice.users, twice.kinds[&EventKind::Like].events), (2, 2));
    }
}
