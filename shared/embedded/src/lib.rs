//! Adapters for one machine: tables in an LSM store, a segmented log, a folder of objects.
//!
//! ```text
//! DirLock ──────────── one process per data folder, held while anything below is open
//! Tables  ── EmbeddedTables ──► fjall, one keyspace per table, journal synced per call
//! Stream  ── EmbeddedStream ──► shard ──► segments of checked frames
//! Objects ── EmbeddedObjects ─► temporary file, sync, rename, sync of the folder
//! ```
//!
//! Invariants:
//! 1. What was acknowledged survives `kill -9` and a power cut; what was not may be there or not,
//!    but never half. Buffered tables ([`Durability::Buffered`]) survive only the former.
//! 2. Nobody reads from the log what is not yet durable, so no consumer remembers a position that
//!    a crash could take back.
//! 3. A torn tail is cut when the log is opened; nothing is ever invented to replace it.
//! 4. Disk work runs on blocking threads, in bounded number; waiting for it ends with the
//!    deadline, the work itself may still finish, as with any remote store.
//!
//! Read in the order `lock`, `blocking`, `durable`, `tables`, `objects`, `stream`.
#![forbid(unsafe_code)]

mod blocking;
mod durable;
#[cfg(test)]
mod killed;
pub mod lock;
pub mod objects;
pub mod stream;
pub mod tables;

pub use lock::DirLock;
pub use objects::EmbeddedObjects;
pub use stream::{EmbeddedStream, StreamOptions};
pub use tables::{Durability, EmbeddedTables};
