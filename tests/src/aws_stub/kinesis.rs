//! Streams of one shard that take records, keep them, and give them back.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::answer;
use super::fault::left_out;
use super::{Call, Request};

const SHARD: &str = "shardId-000000000000";

/// Acknowledged records, over all streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) records: Vec<StubRecord>,
    pub(super) offered: u64,
    pub(super) refused: u64,
    /// Records met under a partial fault.
    judged: u64,
}

/// A record that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StubRecord {
    /// The name of the stream.
    pub stream: String,
    /// The producer's key.
    pub partition_key: String,
    /// The payload.
    pub data: Bytes,
}

impl Streams {
    pub(super) fn perform(&mut self, request: &Request, partial_percent: u8) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let name = body
            .get("StreamName")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match request.call {
            Call::PutRecords => self.put(name, &body, partial_percent),
            Call::GetShardIterator => {
                let after = body.get("StartingSequenceNumber").and_then(Value::as_str);
                let after = after.unwrap_or("0");
                answer::json(&json!({"ShardIterator": format!("{name}/{after}")}))
            }
            Call::GetRecords => self.get(&body),
            Call::ListShards => answer::json(&json!({"Shards": [{
                "ShardId": SHARD,
                "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
                "SequenceNumberRange": {"StartingSequenceNumber": "0"},
            }]})),
            _ => answer::json(&json!({"StreamDescriptionSummary": {
                "StreamName": name,
                "StreamARN": format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}"),
                "StreamStatus": "ACTIVE",
                "RetentionPeriodHours": 24,
                "StreamCreationTimestamp": 0,
                "EnhancedMonitoring": [],
                "OpenShardCount": 1,
            }})),
        }
    }

    /// What comes after the place that an iterator names: a stream and a sequence number.
    fn get(&self, body: &Value) -> Response {
        let iterator = body.get("ShardIterator").and_then(Value::as_str);
        let place = iterator.and_then(|text| text.rsplit_once('/'));
        let place = place.and_then(|(stream, after)| Some((stream, after.parse::<usize>().ok()?)));
        let Some((stream, after)) = place else {
            let invalid = (StatusCode::BAD_REQUEST, "ValidationException");
            return answer::error(Call::GetRecords, invalid, "no ShardIterator");
        };
        let limit = body.get("Limit").and_then(Value::as_u64).unwrap_or(10_000);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let kept = (1_usize..).zip(&self.records).skip(after);
        let found = kept
            .filter(|(_, record)| record.stream == stream)
            .take(limit);
        let mut last = self.records.len().max(after);
        let mut records = Vec::new();
        for (sequence, record) in found {
            records.push(json!({
                "SequenceNumber": sequence.to_string(),
                "PartitionKey": record.partition_key,
                "Data": STANDARD.encode(&record.data),
                "ApproximateArrivalTimestamp": 0,
            }));
            if records.len() == limit {
                last = sequence;
            }
        }
        answer::json(&json!({
            "Records": records,
            "NextShardIterator": format!("{stream}/{last}"),
            "MillisBehindLatest": 0,
        }))
    }

    fn put(&mut self, stream: &str, body: &Value, partial_percent: u8) -> Response {
        let Some(entries) = body.get("Records").and_then(Value::as_array) else {
            let invalid = (StatusCode::BAD_REQUEST, "ValidationException");
            return answer::error(Call::PutRecords, invalid, "no Records");
        };
        let mut failed = 0;
        let mut results = Vec::with_capacity(entries.len());
        for entry in entries {
            self.offered += 1;
            if partial_percent > 0 {
                self.judged += 1;
                if left_out(self.judged - 1, partial_percent) {
                    failed += 1;
                    self.refused += 1;
                    results.push(json!({
                        "ErrorCode": "ProvisionedThroughputExceededException",
                        "ErrorMessage": "planted",
                    }));
                    continue;
                }
            }
            let text = |name| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            self.records.push(StubRecord {
                stream: stream.to_owned(),
                partition_key: text("PartitionKey").to_owned(),
                data: STANDARD.decode(text("Data")).unwrap_or_default().into(),
            });
            let sequence = self.records.len().to_string();
            results.push(json!({"ShardId": SHARD, "SequenceNumber": sequence}));
        }
        answer::json(&json!({"FailedRecordCount": failed, "Records": results}))
    }
}
