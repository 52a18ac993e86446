//! What jobs agree on: who holds a lease, and how far the work is.
//!
//! Leases expire by the wall clock, because their holders are different machines; a holder renews
//! well before the end. The row's version is a fencing token: it only ever rises.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use guard::{Clock, Deadline};
use metrics::counter;
use ops::metric;
use serde::{Deserialize, Serialize};

use crate::ports::{Change, Expect, Read, Row, Table, Tables, Write, Written};
use crate::{Error, ErrorKind, sealed};

/// Longest checkpoint.
pub const CHECKPOINT_BYTES_MAX: usize = 64 * 1_024;
/// Longest name of a lease or checkpoint, in bytes.
pub const NAME_BYTES_MAX: usize = 200;

const CONTROL_SCHEMA: u8 = 1;

/// Leases and checkpoints.
#[derive(Clone)]
pub struct Control {
    tables: Arc<dyn Tables>,
    clock: Arc<dyn Clock>,
}

/// The right to do some work alone, until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Of what.
    pub name: String,
    /// By whom; distinct for every process that asks.
    pub owner: String,
    /// Wall-clock time from which another may take it, Unix milliseconds.
    pub expires_ms: i64,
    /// Rises with every change of hands and every renewal.
    pub token: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct LeaseRow {
    owner: String,
    expires_ms: i64,
}

impl Control {
    /// Leases and checkpoints in the given tables.
    #[must_use]
    pub fn new(tables: Arc<dyn Tables>, clock: Arc<dyn Clock>) -> Self {
        Self { tables, clock }
    }

    /// Takes the lease when nobody holds it, or `owner` itself; `None` when another does.
    ///
    /// # Errors
    /// The table's; `Invalid` when the name is empty or longer than [`NAME_BYTES_MAX`].
    pub async fn acquire(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
        deadline: &Deadline,
    ) -> Result<Option<Lease>, Error> {
        let id = row_id("lease", name)?;
        let row = self.row(&id, deadline).await?;
        // A lease that cannot be read protects nobody.
        let held = row.as_ref().and_then(|row| decode_lease(row).ok());
        let now_ms = self.clock.now().wall_ms;
        if held.is_some_and(|held| held.owner != owner && now_ms < held.expires_ms) {
            return Ok(None);
        }
        let expect = row.map_or(Expect::Absent, |row| Expect::Version(row.version));
        self.write_lease(id, name, owner, expect, ttl, deadline)
            .await
    }

    /// Extends a lease; `None` when it was lost, and the work must stop.
    ///
    /// # Errors
    /// The table's.
    pub async fn renew(
        &self,
        lease: &Lease,
        ttl: Duration,
        deadline: &Deadline,
    ) -> Result<Option<Lease>, Error> {
        let id = row_id("lease", &lease.name)?;
        let expect = Expect::Version(lease.token);
        self.write_lease(id, &lease.name, &lease.owner, expect, ttl, deadline)
            .await
    }

    /// Gives a lease back early. One that was lost already is no error.
    ///
    /// # Errors
    /// The table's.
    pub async fn release(&self, lease: Lease, deadline: &Deadline) -> Result<(), Error> {
        // Kept as an expired row: deleting it would let its version, the fencing token, start anew.
        let row = LeaseRow {
            owner: lease.owner,
            expires_ms: 0,
        };
        let change = Change::Put {
            bytes: encode(&row)?,
            expires_at_s: None,
        };
        let id = row_id("lease", &lease.name)?;
        let write = Write {
            id,
            expect: Expect::Version(lease.token),
            change,
        };
        self.write(write, deadline).await.map(|_| ())
    }

    /// How far the work of this name is; `None` when it has not begun or what was kept is damaged.
    ///
    /// # Errors
    /// The table's; `Invalid` when a newer version keeps it.
    pub async fn checkpoint(
        &self,
        name: &str,
        deadline: &Deadline,
    ) -> Result<Option<Bytes>, Error> {
        let Some(row) = self.row(&row_id("checkpoint", name)?, deadline).await? else {
            return Ok(None);
        };
        match sealed::open(CONTROL_SCHEMA, &row.bytes, "read a checkpoint") {
            Ok(body) => Ok(Some(row.bytes.slice_ref(body))),
            Err(error) if error.kind == ErrorKind::Corrupt => {
                counter!(metric::ROWS_UNREADABLE, "table" => "control").increment(1);
                tracing::warn!(
                    checkpoint.name = name,
                    "a checkpoint is damaged, work starts anew"
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps how far the work is. Only the holder of the work's lease may.
    ///
    /// # Errors
    /// The table's; `Invalid` above [`CHECKPOINT_BYTES_MAX`].
    pub async fn save_checkpoint(
        &self,
        name: &str,
        bytes: &[u8],
        deadline: &Deadline,
    ) -> Result<(), Error> {
        if bytes.len() > CHECKPOINT_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Invalid,
                "save a checkpoint: too large",
            ));
        }
        let bytes = sealed::seal(CONTROL_SCHEMA, bytes);
        let change = Change::Put {
            bytes,
            expires_at_s: None,
        };
        let write = Write {
            id: row_id("checkpoint", name)?,
            expect: Expect::Any,
            change,
        };
        self.write(write, deadline).await.map(|_| ())
    }

    /// Forgets how far the work is: it is done.
    ///
    /// # Errors
    /// The table's.
    pub async fn clear_checkpoint(&self, name: &str, deadline: &Deadline) -> Result<(), Error> {
        let id = row_id("checkpoint", name)?;
        let write = Write {
            id,
            expect: Expect::Any,
            change: Change::Delete,
        };
        self.write(write, deadline).await.map(|_| ())
    }

    async fn write_lease(
        &self,
        id: String,
        name: &str,
        owner: &str,
        expect: Expect,
        ttl: Duration,
        deadline: &Deadline,
    ) -> Result<Option<Lease>, Error> {
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let expires_ms = self.clock.now().wall_ms.saturating_add(ttl_ms);
        let row = LeaseRow {
            owner: owner.to_owned(),
            expires_ms,
        };
        let change = Change::Put {
            bytes: encode(&row)?,
            expires_at_s: None,
        };
        let token = self.write(Write { id, expect, change }, deadline).await?;
        let (name, owner) = (name.to_owned(), row.owner);
        Ok(token.map(|token| Lease {
            name,
            owner,
            expires_ms,
            token,
        }))
    }

    async fn row(&self, id: &str, deadline: &Deadline) -> Result<Option<Row>, Error> {
        let ids = [id.to_owned()];
        let rows = self
            .tables
            .load(Table::Control, &ids, Read::Consistent, deadline)
            .await?;
        Ok(rows.into_iter().next().flatten())
    }

    /// The new version; `None` on a conflict.
    async fn write(&self, write: Write, deadline: &Deadline) -> Result<Option<u64>, Error> {
        let written = self
            .tables
            .write(Table::Control, vec![write], deadline)
            .await?;
        Ok(match written.into_iter().next().transpose()? {
            Some(Written::Done(version)) => Some(version),
            Some(Written::Conflict) | None => None,
        })
    }
}

fn row_id(what: &str, name: &str) -> Result<String, Error> {
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Err(Error::new(ErrorKind::Invalid, format!("name a {what}")));
    }
    Ok(format!("{what}/{name}"))
}

fn encode(row: &LeaseRow) -> Result<Bytes, Error> {
    let json = serde_json::to_vec(row)
        .map_err(|e| Error::because(ErrorKind::Invalid, "encode a lease", e))?;
    Ok(sealed::seal(CONTROL_SCHEMA, &json))
}

fn decode_lease(row: &Row) -> Result<LeaseRow, Error> {
    let json = sealed::open(CONTROL_SCHEMA, &row.bytes, "decode a lease")?;
    serde_json::from_slice(json)
        .map_err(|e| Error::because(ErrorKind::Corrupt, "decode a lease", e))
}

#[cfg(test)]
mod tests;
