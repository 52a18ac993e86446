//! Rewriting many rows, each in one conditional write.

use bytes::Bytes;
use guard::Deadline;
use metrics::counter;
use store::{Change, Error, ErrorKind, Expect, Read, Row, Table, Tables, Write, Written};

/// Rows per call to the store, which has some of them under way at a time.
const ROWS_PER_CALL: usize = 2_000;
/// How often a row that somebody else wrote in between is read again.
const ROUNDS_MAX: usize = 4;

/// A row and what it held when it was read.
pub(crate) type Loaded = (String, Option<Row>);

/// Loads rows of the counters table, paired with their ids.
pub(crate) async fn load(
    tables: &dyn Tables,
    ids: &[String],
    deadline: &Deadline,
) -> Result<Vec<Loaded>, Error> {
    let mut loaded = Vec::with_capacity(ids.len());
    for ids in ids.chunks(ROWS_PER_CALL) {
        let rows = tables
            .load(Table::Counters, ids, Read::Consistent, deadline)
            .await?;
        loaded.extend(ids.iter().cloned().zip(rows));
    }
    Ok(loaded)
}

/// Rewrites each row by `fold`, which answers the new bytes, or nothing where nothing changes.
///
/// A row that was written in between is read again and folded again; after [`ROUNDS_MAX`] rounds the
/// call fails and the batch is tried anew.
pub(crate) async fn rewrite(
    tables: &dyn Tables,
    mut rows: Vec<Loaded>,
    expires_at_s: i64,
    deadline: &Deadline,
    mut fold: impl FnMut(&str, Option<&Row>) -> Result<Option<Bytes>, Error>,
) -> Result<(), Error> {
    for _ in 0..ROUNDS_MAX {
        let mut writes = Vec::new();
        for (id, row) in &rows {
            let Some(bytes) = fold(id, row.as_ref())? else {
                continue;
            };
            let expect = row
                .as_ref()
                .map_or(Expect::Absent, |row| Expect::Version(row.version));
            let change = Change::Put {
                bytes,
                expires_at_s: Some(expires_at_s),
            };
            writes.push(Write {
                id: id.clone(),
                expect,
                change,
            });
        }
        let conflicts = write(tables, writes, deadline).await?;
        if conflicts.is_empty() {
            return Ok(());
        }
        rows = load(tables, &conflicts, deadline).await?;
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        "write rows that somebody else keeps writing",
    ))
}

/// Applies the writes and names the rows that were in conflict.
async fn write(
    tables: &dyn Tables,
    mut writes: Vec<Write>,
    deadline: &Deadline,
) -> Result<Vec<String>, Error> {
    let mut conflicts = Vec::new();
    while !writes.is_empty() {
        let rest = writes.split_off(writes.len().min(ROWS_PER_CALL));
        let ids: Vec<String> = writes.iter().map(|write| write.id.clone()).collect();
        let answers = tables.write(Table::Counters, writes, deadline).await?;
        for (id, answer) in ids.into_iter().zip(answers) {
            if answer? == Written::Conflict {
                conflicts.push(id);
            }
        }
        writes = rest;
    }
    Ok(conflicts)
}

/// Reads a row. A damaged one starts anew, because it must not stop its shard for ever; one that a
/// newer version wrote is not touched.
pub(crate) fn readable<T: Default>(
    row: Option<&Row>,
    decode: impl FnOnce(&[u8]) -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(row) = row else {
        return Ok(T::default());
    };
    match decode(&row.bytes) {
        Err(error) if error.kind == ErrorKind::Corrupt => {
            counter!(ops::metric::ROWS_UNREADABLE, "table" => "counters").increment(1);
            tracing::error!(error = %error, "a damaged row starts anew");
            Ok(T::default())
        }
        decoded => decoded,
    }
}
