//! Which call to break, and how.

use std::time::Duration;

use http::{HeaderMap, Method, Uri};

/// The calls there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named as AWS names them")]
pub enum Call {
    GetItem,
    BatchGetItem,
    UpdateItem,
    DeleteItem,
    PutItem,
    Scan,
    PutRecords,
    DescribeStreamSummary,
    ListShards,
    GetShardIterator,
    GetRecords,
    PutObject,
    GetObject,
    ListObjects,
    DeleteObjects,
    /// Anything else.
    Other,
}

/// How a call is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Refused as the service refuses too much load.
    Throttle,
    /// Answered with a 500.
    ServerError,
    /// Not answered until [`AwsStub::heal`](super::AwsStub::heal), then done.
    Stall,
    /// Done after a while.
    Delay(Duration),
    /// Done for all but this share of its entries, spread evenly: failed records of PutRecords,
    /// unprocessed keys of BatchGetItem. Other calls are done whole.
    Partial {
        /// Of a hundred entries.
        percent: u8,
    },
}

/// Breaks some calls in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    call: Option<Call>,
    key: Option<String>,
    pub(super) fault: Fault,
    left: Option<u64>,
}

impl Rule {
    /// Breaks every attempt of `call`.
    #[must_use]
    pub fn on(call: Call, fault: Fault) -> Self {
        Self {
            call: Some(call),
            key: None,
            fault,
            left: None,
        }
    }

    /// Breaks every attempt of any call.
    #[must_use]
    pub fn on_everything(fault: Fault) -> Self {
        Self {
            call: None,
            key: None,
            fault,
            left: None,
        }
    }

    /// Only calls that name this key: a row's id, a partition key, or the end of an object's key.
    #[must_use]
    pub fn for_key(self, key: impl Into<String>) -> Self {
        Self {
            key: Some(key.into()),
            ..self
        }
    }

    /// Only the next `times` attempts.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self {
            left: Some(times),
            ..self
        }
    }

    pub(super) fn fits(&self, call: Call, path: &str, body: &[u8]) -> bool {
        let names = |key: &String| {
            let quoted = format!("\"{key}\"");
            path.ends_with(key.as_str())
                || body
                    .windows(quoted.len())
                    .any(|part| part == quoted.as_bytes())
        };
        self.left != Some(0)
            && self.call.is_none_or(|wanted| wanted == call)
            && self.key.as_ref().is_none_or(names)
    }

    pub(super) fn use_up(&mut self) {
        self.left = self.left.map(|left| left.saturating_sub(1));
    }
}

impl Call {
    /// DynamoDB and Kinesis name the call in a header, S3 in method and path.
    pub(super) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let target = headers
            .get("x-amz-target")
            .and_then(|target| target.to_str().ok());
        if let Some((_, name)) = target.and_then(|target| target.rsplit_once('.')) {
            return match name {
                "GetItem" => Self::GetItem,
                "BatchGetItem" => Self::BatchGetItem,
                "UpdateItem" => Self::UpdateItem,
                "DeleteItem" => Self::DeleteItem,
                "PutItem" => Self::PutItem,
                "Scan" => Self::Scan,
                "PutRecords" => Self::PutRecords,
                "DescribeStreamSummary" => Self::DescribeStreamSummary,
                "ListShards" => Self::ListShards,
                "GetShardIterator" => Self::GetShardIterator,
                "GetRecords" => Self::GetRecords,
                _ => Self::Other,
            };
        }
        let query = uri.query().unwrap_or_default();
        match *method {
            Method::PUT => Self::PutObject,
            Method::GET if query.contains("list-type=2") => Self::ListObjects,
            Method::GET => Self::GetObject,
            Method::POST if query.split('&').any(|part| part.starts_with("delete")) => {
                Self::DeleteObjects
            }
            _ => Self::Other,
        }
    }

    pub(super) fn is_s3(self) -> bool {
        matches!(
            self,
            Self::PutObject | Self::GetObject | Self::ListObjects | Self::DeleteObjects
        )
    }
}

/// Whether the entry at `index` is one of the `percent` of a hundred that are left out.
pub(super) fn left_out(index: u64, percent: u8) -> bool {
    let percent = u64::from(percent.min(100));
    (index + 1) * percent / 100 > index * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_left_out_is_exact_and_spread() {
        for percent in [0, 1, 30, 50, 99, 100] {
            let out: Vec<bool> = (0..1_000).map(|index| left_out(index, percent)).collect();
            let count = |part: &[bool]| part.iter().filter(|out| **out).count();
            assert_eq!(count(&out), usize::from(percent) * 10);
            for hundred in out.chunks(100) {
                assert_eq!(count(hundred), usize::from(percent));
            }
        }
    }
}
