//! The stream's records as Lambda's event-source mapping sends them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::Event;
use serde_json::{Value, json};
use store::StreamRecord;
use store::intake::Intake;
use tests::Function;

use super::stack::Stack;

/// How often an empty answer is asked again before it is believed.
const EMPTY_READS_MAX: usize = 3;
const RECORDS_MAX: usize = 1_000;

/// How far each shard has been read.
#[derive(Default)]
pub(super) struct Feed {
    after: BTreeMap<String, String>,
}

impl Feed {
    /// What has come since: one Lambda event for each shard that has something new.
    pub async fn next(&mut self, stack: &Stack) -> Vec<Value> {
        let shards = self.records(stack).await;
        shards.iter().map(|records| event(records)).collect()
    }

    /// What has come since, decoded.
    pub async fn events(&mut self, stack: &Stack) -> Vec<Event> {
        let records = self.records(stack).await.concat();
        let Intake { events, poison } = Intake::decode(&records);
        assert!(poison.is_empty(), "{} records of poison", poison.len());
        events.into_iter().map(|placed| placed.event).collect()
    }

    async fn records(&mut self, stack: &Stack) -> Vec<Vec<StreamRecord>> {
        let (stream, deadline) = (&stack.ports.stream, stack.soon());
        let mut found = Vec::new();
        for shard in stream.shards(&deadline).await.unwrap() {
            let (mut records, mut empty) = (Vec::new(), 0);
            while empty < EMPTY_READS_MAX {
                let after = self.after.get(&shard).map(String::as_str);
                let read = stream.read(&shard, after, RECORDS_MAX, &deadline);
                let read = read.await.unwrap();
                empty = if read.is_empty() { empty + 1 } else { 0 };
                if let Some(last) = read.last() {
                    let sequence = last.position.sequence.clone();
                    self.after.insert(shard.clone(), sequence);
                }
                records.extend(read);
            }
            if !records.is_empty() {
                found.push(records);
            }
        }
        found
    }
}

/// Invokes a consumer with a batch, which it must take whole.
pub(super) async fn deliver(consumer: &mut Function, batch: &Value) {
    let answer = consumer.invoke(batch).await.unwrap();
    let expected = json!({ "batchItemFailures": [] });
    assert_eq!(answer.result, Ok(expected), "{}", consumer.log());
}

fn event(records: &[StreamRecord]) -> Value {
    let record = |record: &StreamRecord| {
        let position = &record.position;
        let name = "arn:aws:kinesis:us-east-1:123456789012:stream/events";
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record.partition_key,
                "sequenceNumber": position.sequence,
                "data": STANDARD.encode(&record.data),
                "approximateArrivalTimestamp": record.arrived_ms as f64 / 1_000.0,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("{}:{}", position.shard, position.sequence),
            "eventName": "aws:kinesis:record",
            "awsRegion": "us-east-1",
            "eventSourceARN": name,
        })
    };
    let records: Vec<Value> = records.iter().map(record).collect();
    json!({ "Records": records })
}
