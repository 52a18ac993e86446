//! Every shard that ever counted: a stream forgets its closed shards, their counts stay.

use std::collections::BTreeSet;

use bytes::Bytes;
use guard::Deadline;
use serde::{Deserialize, Serialize};

use crate::ports::{Change, Expect, Read, Table, Tables, Write, Written};
use crate::{Error, ErrorKind, sealed};

/// Names that are kept at most.
pub const SHARDS_MAX: usize = 1_024;
const SHARDS_SCHEMA: u8 = 1;
const ROW_ID: &str = "shards";
const ATTEMPTS_MAX: usize = 8;

/// The names of the shards that ever counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardNames {
    names: BTreeSet<String>,
}

impl ShardNames {
    /// Loads the names, in their order.
    ///
    /// # Errors
    /// The store's; `Corrupt` when the row cannot be read.
    pub async fn load(tables: &dyn Tables, deadline: &Deadline) -> Result<Vec<String>, Error> {
        let (names, _) = Self::row(tables, Read::Eventual, deadline).await?;
        Ok(names.names.into_iter().collect())
    }

    /// Adds a name, unless it is there.
    ///
    /// # Errors
    /// The store's; `Unavailable` when others kept writing first or there are [`SHARDS_MAX`].
    pub async fn add(tables: &dyn Tables, shard: &str, deadline: &Deadline) -> Result<(), Error> {
        for _ in 0..ATTEMPTS_MAX {
            let (mut names, expect) = match Self::row(tables, Read::Consistent, deadline).await {
                // A damaged list is made anew by those who still count.
                Err(error) if error.kind == ErrorKind::Corrupt => (Self::default(), Expect::Any),
                found => found?,
            };
            if names.names.contains(shard) {
                return Ok(());
            }
            if names.names.len() >= SHARDS_MAX {
                break;
            }
            names.names.insert(shard.to_owned());
            let write = Write {
                id: ROW_ID.to_owned(),
                expect,
                change: Change::Put {
                    bytes: names.encode()?,
                    expires_at_s: None,
                },
            };
            let written = tables.write(Table::Counters, vec![write], deadline).await?;
            if let Some(Written::Done(_)) = written.into_iter().next().transpose()? {
                return Ok(());
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "name a shard that counts",
        ))
    }

    async fn row(
        tables: &dyn Tables,
        read: Read,
        deadline: &Deadline,
    ) -> Result<(Self, Expect), Error> {
        let ids = [ROW_ID.to_owned()];
        let rows = tables.load(Table::Counters, &ids, read, deadline).await?;
        let Some(row) = rows.into_iter().next().flatten() else {
            return Ok((Self::default(), Expect::Absent));
        };
        let what = "read the shards that count";
        let body = sealed::open(SHARDS_SCHEMA, &row.bytes, what)?;
        let names = serde_json::from_slice(body)
            .map_err(|e| Error::because(ErrorKind::Corrupt, what, e))?;
        Ok((names, Expect::Version(row.version)))
    }

    fn encode(&self) -> Result<Bytes, Error> {
        let json = serde_json::to_vec(self)
            .map_err(|e| Error::because(ErrorKind::Invalid, "name a shard that counts", e))?;
        Ok(sealed::seal(SHARDS_SCHEMA, &json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MemoryTables, clock, deadline};

    #[tokio::test]
    async fn names_are_added_once_also_against_others() {
        let (tables, deadline) = (MemoryTables::default(), deadline(&clock()));
        assert!(
            ShardNames::load(&tables, &deadline)
                .await
                .unwrap()
                .is_empty()
        );
        for shard in ["b", "a", "b"] {
            tables
                .conflicts
                .store(2, std::sync::atomic::Ordering::Relaxed);
            ShardNames::add(&tables, shard, &deadline).await.unwrap();
        }
        assert_eq!(
            ShardNames::load(&tables, &deadline).await.unwrap(),
            ["a", "b"]
        );
    }
}
