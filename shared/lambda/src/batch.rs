//! Kinesis batches.

use std::fmt::Debug;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use guard::Clock;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use store::{Consumer, Position, StreamRecord};

use crate::hosting::{Error, serve};

/// Feeds a consumer from an event-source mapping with `ReportBatchItemFailures`.
///
/// # Errors
/// When the Lambda runtime interface cannot be reached.
pub async fn batch(consumer: Arc<dyn Consumer>, clock: Arc<dyn Clock>) -> Result<(), Error> {
    let handler = service_fn(move |event: LambdaEvent<KinesisEvent>| {
        let (consumer, clock) = (Arc::clone(&consumer), Arc::clone(&clock));
        async move {
            let deadline = crate::budget::deadline(&clock, event.context.deadline);
            let mut failures = Vec::new();
            for shard in event.payload.into_shards()? {
                let outcome = consumer.consume(shard, &deadline).await;
                failures.extend(outcome.failed_from.map(ItemFailure::from));
            }
            Ok::<_, Diagnostic>(BatchAnswer {
                batch_item_failures: failures,
            })
        }
    });
    serve(handler).await
}

/// What Lambda sends. Only what is needed is read, so that nothing else can make a batch fail.
#[derive(Debug, Deserialize)]
struct KinesisEvent {
    #[serde(rename = "Records")]
    records: Vec<EventRecord>,
}

#[derive(Debug, Deserialize)]
struct EventRecord {
    /// `<shard>:<sequence>`.
    #[serde(rename = "eventID")]
    event_id: String,
    kinesis: Payload,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    partition_key: String,
    sequence_number: String,
    data: String,
    /// Unix time in seconds, with a fraction.
    #[serde(default)]
    approximate_arrival_timestamp: f64,
}

impl KinesisEvent {
    /// The records by shard, each in its order. A mapping sends one shard at a time.
    fn into_shards(self) -> Result<Vec<Vec<StreamRecord>>, Diagnostic> {
        let mut shards: Vec<Vec<StreamRecord>> = Vec::new();
        for record in self.records {
            let record = record.into_stream_record()?;
            let shard = &record.position.shard;
            let place = shards.iter_mut().find(|known| {
                known
                    .first()
                    .is_some_and(|first| first.position.shard == *shard)
            });
            match place {
                Some(known) => known.push(record),
                None => shards.push(vec![record]),
            }
        }
        Ok(shards)
    }
}

impl EventRecord {
    fn into_stream_record(self) -> Result<StreamRecord, Diagnostic> {
        let Some((shard, _)) = self.event_id.split_once(':') else {
            return Err(Diagnostic::from(
                "a record of the batch does not name its shard",
            ));
        };
        let Payload {
            partition_key,
            sequence_number,
            data,
            approximate_arrival_timestamp,
        } = self.kinesis;
        // What is not base64 goes on as it is: the consumer keeps poison, the batch must go on.
        let data = STANDARD
            .decode(&data)
            .map_or_else(|_| Bytes::from(data), Bytes::from);
        Ok(StreamRecord {
            position: Position {
                shard: shard.to_owned(),
                sequence: sequence_number,
            },
            partition_key,
            data,
            arrived_ms: milliseconds(approximate_arrival_timestamp),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates, and milliseconds fit in an i64"
)]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}

/// What Lambda wants to hear. Without failures the list is there and empty: `{}` would say that
/// all went well even when this code forgot to look.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchAnswer {
    batch_item_failures: Vec<ItemFailure>,
}

/// Lambda sends this record and all behind it again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

impl From<Position> for ItemFailure {
    fn from(position: Position) -> Self {
        Self {
            item_identifier: position.sequence,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(id: &str, sequence: &str, data: &str) -> serde_json::Value {
        json!({
            "eventID": id, "eventName": "aws:kinesis:record", "awsRegion": "eu-west-1",
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": "u1", "sequenceNumber": sequence,
                "data": data, "approximateArrivalTimestamp": 1_545_084_650.987,
            },
        })
    }

    fn shards(records: Vec<serde_json::Value>) -> Result<Vec<Vec<StreamRecord>>, Diagnostic> {
        let event: KinesisEvent = serde_json::from_value(json!({ "Records": records })).unwrap();
        event.into_shards()
    }

    #[test]
    fn records_keep_their_order_and_position() {
        let shards = shards(vec![
            record(
                "shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
                "49590338271490256608559692538361571095921575989136588898",
                "SGVsbG8=",
            ),
            record(
                "shardId-000000000006:49590338271490256608559692540925702759324208523137515618",
                "49590338271490256608559692540925702759324208523137515618",
                "%%%",
            ),
        ])
        .unwrap();
        let [shard] = &shards[..] else {
            panic!("one shard, not {}", shards.len())
        };
        assert_eq!(shard[0].position.shard, "shardId-000000000006");
        assert_eq!(&shard[0].data[..], b"Hello");
        assert_eq!(shard[0].arrived_ms, 1_545_084_650_987);
        assert_eq!(
            &shard[1].data[..],
            b"%%%",
            "what is not base64 is kept as it came"
        );
    }

    #[test]
    fn shards_are_told_apart() {
        let mixed = vec![
            record("a:1", "1", ""),
            record("b:1", "1", ""),
            record("a:2", "2", ""),
        ];
        let counts: Vec<usize> = shards(mixed).unwrap().iter().map(Vec::len).collect();
        assert_eq!(counts, [2, 1]);
    }

    #[test]
    fn a_record_without_a_shard_fails_the_invocation() {
        assert!(shards(vec![record("nonsense", "1", "")]).is_err());
    }

    #[test]
    fn the_answer_names_the_first_failed_record() {
        let position = Position {
            shard: "a".into(),
            sequence: "42".into(),
        };
        let answer = BatchAnswer {
            batch_item_failures: vec![position.into()],
        };
        let empty = BatchAnswer {
            batch_item_failures: vec![],
        };
        assert_eq!(
            serde_json::to_value(answer).unwrap(),
            json!({ "batchItemFailures": [{ "itemIdentifier": "42" }] })
        );
        assert_eq!(
            serde_json::to_value(empty).unwrap(),
            json!({ "batchItemFailures": [] })
        );
    }
}
