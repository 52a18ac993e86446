//! The event log in Kinesis.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry, ShardIteratorType};
use bytes::Bytes;
use guard::Deadline;
use store::{Error, ErrorKind, Position, Record, Stream, StreamRecord};

use crate::failure::{call, kind_of};

/// What one PutRecords takes.
const BATCH_RECORDS_MAX: usize = 500;
/// What one PutRecords takes, keys included.
const BATCH_BYTES_MAX: usize = 5 * 1024 * 1024;
/// What one record may be, key included.
const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// What a partition key may be, in characters.
const KEY_CHARACTERS_MAX: usize = 256;
/// What one GetRecords returns at most.
const READ_RECORDS_MAX: usize = 10_000;
/// How often an empty answer that is not the end is read on from.
const READ_ROUNDS_MAX: usize = 20;
/// The pause between such rounds: a shard answers five reads a second.
const READ_PAUSE: Duration = Duration::from_millis(200);
/// Pages of shards: 1,000 shards each.
const SHARD_PAGES_MAX: usize = 20;

const APPEND: &str = "append to the stream";
const READ: &str = "read the stream";
const SHARDS: &str = "list the stream's shards";

/// [`Stream`] over one Kinesis stream. Appends once: who retries is the caller, entry by entry.
#[derive(Debug, Clone)]
pub struct KinesisStream {
    client: Client,
    name: String,
}

impl KinesisStream {
    /// The stream of that name.
    #[must_use]
    pub fn new(client: Client, name: &str) -> Self {
        Self {
            client,
            name: name.to_owned(),
        }
    }

    /// Opens a connection.
    pub(crate) async fn warm(&self, deadline: &Deadline) -> Result<(), Error> {
        let describe = self
            .client
            .describe_stream_summary()
            .stream_name(&self.name);
        call("describe the stream", deadline, describe.send())
            .await
            .map(drop)
    }

    async fn append_batch(
        &self,
        batch: Vec<PutRecordsRequestEntry>,
        deadline: &Deadline,
    ) -> Vec<Result<Position, Error>> {
        let count = batch.len();
        if count == 0 {
            return Vec::new();
        }
        let put = self
            .client
            .put_records()
            .stream_name(&self.name)
            .set_records(Some(batch));
        match call(APPEND, deadline, put.send()).await {
            Ok(done) if done.records.len() == count => {
                done.records.into_iter().map(position).collect()
            }
            Ok(_) => all(count, || Error::new(ErrorKind::Corrupt, APPEND)),
            Err(error) => {
                let words = error.source.as_ref().map(ToString::to_string);
                all(count, || match &words {
                    Some(words) => Error::because(error.kind, APPEND, words.clone()),
                    None => Error::new(error.kind, APPEND),
                })
            }
        }
    }

    async fn iterator(
        &self,
        shard: &str,
        after: Option<&str>,
        deadline: &Deadline,
    ) -> Result<Option<String>, Error> {
        let start = self
            .client
            .get_shard_iterator()
            .stream_name(&self.name)
            .shard_id(shard);
        let start = match after {
            None => start.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Some(sequence) => start
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence),
        };
        Ok(call(READ, deadline, start.send()).await?.shard_iterator)
    }
}

#[async_trait]
impl Stream for KinesisStream {
    async fn append(
        &self,
        records: Vec<Record>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Position, Error>>, Error> {
        let mut answers = Vec::with_capacity(records.len());
        let mut batch = Batch::default();
        // One batch after the other: records of one key stay in order.
        for record in records {
            let entry = match entry(record) {
                Ok(entry) => entry,
                Err(error) => {
                    // What came before it must be answered before it.
                    answers.extend(self.append_batch(batch.take(), deadline).await);
                    answers.push(Err(error));
                    continue;
                }
            };
            if !batch.takes(&entry) {
                answers.extend(self.append_batch(batch.take(), deadline).await);
            }
            batch.push(entry);
        }
        answers.extend(self.append_batch(batch.take(), deadline).await);
        Ok(answers)
    }

    async fn shards(&self, deadline: &Deadline) -> Result<Vec<String>, Error> {
        let mut shards = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..SHARD_PAGES_MAX {
            let list = self.client.list_shards();
            // A token stands for the stream: Kinesis refuses both together.
            let list = match next.take() {
                Some(token) => list.next_token(token),
                None => list.stream_name(&self.name),
            };
            let page = call(SHARDS, deadline, list.send()).await?;
            shards.extend(
                page.shards
                    .unwrap_or_default()
                    .into_iter()
                    .map(|shard| shard.shard_id),
            );
            next = page.next_token;
            if next.is_none() {
                shards.sort_unstable();
                return Ok(shards);
            }
        }
        Err(Error::new(
            ErrorKind::Invalid,
            format!("{SHARDS}: too many"),
        ))
    }

    async fn read(
        &self,
        shard: &str,
        after: Option<&str>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Vec<StreamRecord>, Error> {
        let limit = i32::try_from(limit.clamp(1, READ_RECORDS_MAX)).unwrap_or(i32::MAX);
        let mut iterator = self.iterator(shard, after, deadline).await?;
        for round in 0..READ_ROUNDS_MAX {
            // A closed shard that has been read to its end has no next iterator.
            let Some(at) = iterator.take() else { break };
            if round > 0 {
                let pause = tokio::time::sleep(READ_PAUSE);
                deadline
                    .limit(pause)
                    .await
                    .map_err(|elapsed| Error::elapsed(elapsed, READ))?;
            }
            let get = self.client.get_records().shard_iterator(at).limit(limit);
            let page = call(READ, deadline, get.send()).await?;
            // A stretch of a shard may be empty although records follow.
            if !page.records.is_empty() || page.millis_behind_latest.unwrap_or(0) == 0 {
                let records = page.records.into_iter();
                return Ok(records.map(|record| stream_record(shard, record)).collect());
            }
            iterator = page.next_shard_iterator;
        }
        Ok(Vec::new())
    }
}

/// Entries for one PutRecords.
#[derive(Default)]
struct Batch {
    entries: Vec<PutRecordsRequestEntry>,
    bytes: usize,
}

impl Batch {
    fn takes(&self, entry: &PutRecordsRequestEntry) -> bool {
        self.entries.len() < BATCH_RECORDS_MAX && self.bytes + bytes_of(entry) <= BATCH_BYTES_MAX
    }

    fn push(&mut self, entry: PutRecordsRequestEntry) {
        self.bytes += bytes_of(&entry);
        self.entries.push(entry);
    }

    fn take(&mut self) -> Vec<PutRecordsRequestEntry> {
        self.bytes = 0;
        std::mem::take(&mut self.entries)
    }
}

fn bytes_of(entry: &PutRecordsRequestEntry) -> usize {
    entry.partition_key.as_ref().map_or(0, String::len) + entry.data.as_ref().len()
}

fn entry(record: Record) -> Result<PutRecordsRequestEntry, Error> {
    let characters = record.partition_key.chars().count();
    let bytes = record.partition_key.len() + record.data.len();
    if !(1..=KEY_CHARACTERS_MAX).contains(&characters) || bytes > RECORD_BYTES_MAX {
        return Err(Error::new(ErrorKind::Invalid, APPEND));
    }
    PutRecordsRequestEntry::builder()
        .partition_key(record.partition_key)
        .data(Blob::new(Vec::from(record.data)))
        .build()
        .map_err(|error| Error::because(ErrorKind::Invalid, APPEND, error))
}

fn position(entry: PutRecordsResultEntry) -> Result<Position, Error> {
    match (entry.error_code, entry.shard_id, entry.sequence_number) {
        (None, Some(shard), Some(sequence)) => Ok(Position { shard, sequence }),
        (Some(code), _, _) => Err(Error::because(kind_of(&code), APPEND, code)),
        _ => Err(Error::new(ErrorKind::Corrupt, APPEND)),
    }
}

fn stream_record(shard: &str, record: aws_sdk_kinesis::types::Record) -> StreamRecord {
    let arrived = record
        .approximate_arrival_timestamp
        .and_then(|at| at.to_millis().ok());
    StreamRecord {
        position: Position {
            shard: shard.to_owned(),
            sequence: record.sequence_number,
        },
        partition_key: record.partition_key.unwrap_or_default(),
        data: Bytes::from(record.data.into_inner()),
        arrived_ms: arrived.unwrap_or(0),
    }
}

fn all<T>(count: usize, error: impl Fn() -> Error) -> Vec<Result<T, Error>> {
    (0..count).map(|_| Err(error())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, bytes: usize) -> Record {
        Record {
            partition_key: key.to_owned(),
            data: Bytes::from(vec![0; bytes]),
        }
    }

    #[test]
    fn a_record_with_its_key_may_be_one_mebibyte_and_not_a_byte_more() {
        for (key, bytes, fits) in [
            ("k", RECORD_BYTES_MAX - 1, true),
            ("k", RECORD_BYTES_MAX, false),
            ("", 1, false),
            (&"é".repeat(256), 1, true),
            (&"é".repeat(257), 1, false),
        ] {
            assert_eq!(
                entry(record(key, bytes)).is_ok(),
                fits,
                "{} {bytes}",
                key.len()
            );
        }
    }

    #[test]
    fn a_batch_is_full_at_500_records_or_5_mebibytes() {
        let small = entry(record("k", 1)).unwrap();
        let mut batch = Batch::default();
        for _ in 0..BATCH_RECORDS_MAX {
            assert!(batch.takes(&small));
            batch.push(small.clone());
        }
        assert!(!batch.takes(&small));
        assert_eq!(batch.take().len(), BATCH_RECORDS_MAX);

        let large = entry(record("k", RECORD_BYTES_MAX - 1)).unwrap();
        for _ in 0..5 {
            assert!(batch.takes(&large));
            batch.push(large.clone());
        }
        assert!(!batch.takes(&small), "five full records leave no byte");
    }
}
