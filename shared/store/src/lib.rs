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
//!
//! Invariants: what is stored carries a schema version and is checked on the way back in; a user's
//! state is a join of events, so that order and repetition do not matter; losing Redis, the stream
//! or the tables changes latency and freshness, never the validity of an answer; a mapped
//! generation is never written to. `unsafe` occurs once, in `generation::mapping`.
//!
//! Read in the order `error`, `ports`, `events`, `users`, `catalogue`, `publish`, `outbox`,
//! `generation`, `tuning`, then `ask`, `envelope`, `redis`, `origin`, `tiered`.
#![deny(unsafe_code)]

pub mod aggregate;
pub mod ask;
pub mod catalogue;
mod cohort;
pub mod consumer;
pub mod control;
pub mod counters;
pub mod dead_letters;
mod due;
pub mod envelope;
pub mod error;
pub mod events;
pub mod generation;
pub mod guarded;
pub mod hot;
pub mod intake;
pub mod life;
mod local;
pub mod origin;
pub mod outbox;
pub mod ports;
pub mod publish;
pub mod realtime;
pub mod redis;
pub mod sealed;
pub mod serving;
#[cfg(test)]
mod testing;
pub mod tiered;
pub mod tuning;
pub mod upkeep;
pub mod users;

pub use crate::redis::{Lapse, RedisSettings, Shared};
pub use ask::{Ask, Kind, SlateKey, Who};
pub use catalogue::{Catalogue, Patch};
pub use cohort::{Cohort, InvalidCohort};
pub use consumer::{BatchOutcome, Consumer};
pub use control::{Control, Lease};
pub use dead_letters::DeadLetters;
pub use error::{Error, ErrorKind};
pub use generation::{GenerationReader, Generations};
pub use guarded::{Unread, guarded};
pub use hot::HotKey;
pub use origin::{Origin, OriginParts};
pub use outbox::Outbox;
pub use ports::{
    Change, Expect, ObjectMeta, Objects, Position, Read, Record, Row, ScanPage, Stream,
    StreamRecord, Table, Tables, Write, Written,
};
pub use publish::publish_events;
pub use realtime::Realtime;
pub use serving::{Ports, Serving, ServingSettings};
pub use tiered::{Answer, TierOutcome, Tiered, TieredParts};
pub use tuning::{LiveTuning, StoreTuning, Tuning, TuningFile};
pub use upkeep::Upkeep;
pub use users::{Users, apply_event, apply_profile, join_state};
