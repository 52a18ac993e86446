//! Where state lives and how it is reached: ports, their one error, tiers and codecs.
//!
//! ```text
//! Users  Catalogue  Control ──► Tables  (DynamoDB │ fjall)
//! Outbox ─────────────────────► Stream  (Kinesis │ segmented log)
//! Generations ────────────────► Objects (S3 │ folder)
//! Tiered: local (moka) ──► shared (Redis) ──► origin
//! ```
//!
//! Ports are narrow and batch-first; adapters (`aws`, `embedded`) implement them and pass one
//! contract suite. Every wait takes a [`guard::Deadline`].
#![deny(unsafe_code)]

pub mod error;
pub mod ports;

pub use error::{Error, ErrorKind};
pub use ports::{
    Change, Expect, ObjectMeta, Objects, Position, Read, Record, Row, ScanPage, Stream,
    StreamRecord, Table, Tables, Write, Written,
};
