//! Rows in DynamoDB.
//!
//! ```text
//! <prefix>-users: { id: S (key), v: N (version), b: B (bytes), e: N (expiry, Unix seconds) }
//! ```

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use guard::Deadline;
use store::{Error, ErrorKind, Read, Row, ScanPage, Table, Tables, Write, Written};

use crate::failure::call;

mod change;

/// What DynamoDB takes in one BatchGetItem.
const BATCH_IDS_MAX: usize = 100;
/// Batches asked for at a time.
const BATCHES_IN_FLIGHT_MAX: usize = 8;
/// Writes under way at a time, each on its own connection.
const WRITES_IN_FLIGHT_MAX: usize = 64;
/// How often the rest of a batch is asked for again.
const BATCH_ROUNDS_MAX: u32 = 8;
/// The pause before the first such round; it doubles.
const BATCH_PAUSE: Duration = Duration::from_millis(10);
/// What a row's bytes may be: a quarter MiB, well under DynamoDB's 400 KB an item.
pub(crate) const ROW_BYTES_MAX: usize = 256 * 1024;
/// What an id may be.
pub(crate) const ID_BYTES_MAX: usize = 512;

type Item = HashMap<String, AttributeValue>;

/// [`Tables`] over DynamoDB, one table for each [`Table`].
#[derive(Debug, Clone)]
pub struct DynamoTables {
    client: Client,
    names: [String; Table::ALL.len()],
}

impl DynamoTables {
    /// Tables named `<prefix>-users`, `<prefix>-videos`, ….
    #[must_use]
    pub fn new(client: Client, prefix: &str) -> Self {
        Self {
            client,
            names: Table::ALL.map(|table| format!("{prefix}-{}", table.as_str())),
        }
    }

    fn name(&self, table: Table) -> &str {
        let [users, videos, counters, control] = &self.names;
        match table {
            Table::Users => users,
            Table::Videos => videos,
            Table::Counters => counters,
            Table::Control => control,
        }
    }

    async fn load_one(
        &self,
        table: Table,
        id: &str,
        read: Read,
        deadline: &Deadline,
    ) -> Result<Option<Row>, Error> {
        let get = self
            .client
            .get_item()
            .table_name(self.name(table))
            .key("id", AttributeValue::S(id.to_owned()))
            .consistent_read(read == Read::Consistent);
        let found = call(what_loads(table), deadline, get.send()).await?;
        found
            .item
            .map(|item| row(table, item).map(|(_, row)| row))
            .transpose()
    }

    /// Loads at most [`BATCH_IDS_MAX`] distinct ids. DynamoDB answers as much as it likes (16 MB,
    /// throttled partitions) and names the rest, which is asked for again.
    async fn load_batch(
        &self,
        table: Table,
        ids: Vec<String>,
        read: Read,
        deadline: &Deadline,
    ) -> Result<Vec<(String, Row)>, Error> {
        let name = self.name(table);
        let mut rows = Vec::with_capacity(ids.len());
        let keys = ids
            .into_iter()
            .map(|id| Item::from([("id".to_owned(), AttributeValue::S(id))]));
        let mut rest = keys.collect::<Vec<_>>();
        for round in 0..BATCH_ROUNDS_MAX {
            let keys = KeysAndAttributes::builder()
                .set_keys(Some(rest))
                .consistent_read(read == Read::Consistent)
                .build()
                .map_err(|error| Error::because(ErrorKind::Invalid, what_loads(table), error))?;
            let get = self.client.batch_get_item().request_items(name, keys);
            let found = call(what_loads(table), deadline, get.send()).await?;
            for item in found
                .responses
                .unwrap_or_default()
                .remove(name)
                .unwrap_or_default()
            {
                rows.push(row(table, item)?);
            }
            let unprocessed = found.unprocessed_keys.unwrap_or_default().remove(name);
            rest = unprocessed.map(|left| left.keys).unwrap_or_default();
            if rest.is_empty() {
                return Ok(rows);
            }
            let pause = tokio::time::sleep(BATCH_PAUSE * 2_u32.pow(round));
            deadline
                .limit(pause)
                .await
                .map_err(|e| Error::elapsed(e, what_loads(table)))?;
        }
        Err(Error::new(ErrorKind::Throttled, what_loads(table)))
    }
}

#[async_trait]
impl Tables for DynamoTables {
    async fn load(
        &self,
        table: Table,
        ids: &[String],
        read: Read,
        deadline: &Deadline,
    ) -> Result<Vec<Option<Row>>, Error> {
        if ids.iter().any(|id| !valid_id(id)) {
            return Err(Error::new(ErrorKind::Invalid, what_loads(table)));
        }
        if let [id] = ids {
            return Ok(vec![self.load_one(table, id, read, deadline).await?]);
        }
        // DynamoDB refuses a batch that names an id twice.
        let mut distinct: Vec<String> = ids.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let batches: Vec<Vec<String>> = distinct
            .chunks(BATCH_IDS_MAX)
            .map(<[String]>::to_vec)
            .collect();
        let found: HashMap<String, Row> = stream::iter(batches)
            .map(|batch| self.load_batch(table, batch, read, deadline))
            .buffer_unordered(BATCHES_IN_FLIGHT_MAX)
            .try_fold(HashMap::new(), |mut all, rows| async move {
                all.extend(rows);
                Ok(all)
            })
            .await?;
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    async fn write(
        &self,
        table: Table,
        writes: Vec<Write>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Written, Error>>, Error> {
        let answers = stream::iter(writes)
            .map(|write| self.write_one(table, write, deadline))
            .buffered(WRITES_IN_FLIGHT_MAX)
            .collect()
            .await;
        Ok(answers)
    }

    async fn scan(
        &self,
        table: Table,
        after: Option<String>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<ScanPage, Error> {
        let after = after.map(|id| Item::from([("id".to_owned(), AttributeValue::S(id))]));
        let scan = self
            .client
            .scan()
            .table_name(self.name(table))
            .limit(i32::try_from(limit.max(1)).unwrap_or(i32::MAX))
            .set_exclusive_start_key(after);
        let page = call(what_scans(table), deadline, scan.send()).await?;
        let rows = page
            .items
            .unwrap_or_default()
            .into_iter()
            .map(|item| row(table, item));
        let next = match page.last_evaluated_key.unwrap_or_default().remove("id") {
            Some(AttributeValue::S(id)) => Some(id),
            _ => None,
        };
        Ok(ScanPage {
            rows: rows.collect::<Result<_, _>>()?,
            next,
        })
    }
}

pub(crate) fn valid_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
}

/// Reads an item: its id and its row.
fn row(table: Table, mut item: Item) -> Result<(String, Row), Error> {
    let version = match item.get("v") {
        Some(AttributeValue::N(number)) => number.parse().ok(),
        _ => None,
    };
    match (item.remove("id"), item.remove("b"), version) {
        (Some(AttributeValue::S(id)), Some(AttributeValue::B(blob)), Some(version)) => Ok((
            id,
            Row {
                bytes: Bytes::from(blob.into_inner()),
                version,
            },
        )),
        _ => Err(Error::new(
            ErrorKind::Corrupt,
            format!("read a row of {}", table.as_str()),
        )),
    }
}

fn what_loads(table: Table) -> &'static str {
    match table {
        Table::Users => "load users",
        Table::Videos => "load videos",
        Table::Counters => "load counters",
        Table::Control => "load control rows",
    }
}

fn what_scans(table: Table) -> &'static str {
    match table {
        Table::Users => "scan users",
        Table::Videos => "scan videos",
        Table::Counters => "scan counters",
        Table::Control => "scan control rows",
    }
}
