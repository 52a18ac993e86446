//! The stores' ports over AWS: DynamoDB, Kinesis, S3.
//!
//! ```text
//! AwsSettings ─► Aws::connect ─┬─► DynamoTables   Tables
//!                              ├─► KinesisStream  Stream
//!                              └─► S3Objects      Objects
//! ```
//!
//! Invariants: every call ends with its [`guard::Deadline`]; what a request may wait for is tried
//! once (a throttled call costs a second under the SDK's own retries); an error says which kind it
//! is and never quotes an id. The three clients share one TLS configuration and one pool of
//! connections. Read in the order `settings`, `connect`, `tables`, `stream`, `objects`, `failure`.
#![forbid(unsafe_code)]

pub mod connect;
mod failure;
pub mod objects;
pub mod settings;
pub mod stream;
pub mod tables;

pub use connect::{Aws, Service};
pub use objects::S3Objects;
pub use settings::AwsSettings;
pub use stream::KinesisStream;
pub use tables::DynamoTables;
