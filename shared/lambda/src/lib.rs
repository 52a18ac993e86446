//! Hosting on Lambda: events in, a function's own types through, answers out, and a last moment
//! of work before the environment freezes.
//!
//! ```text
//! API Gateway v2 event ─► http::Request ─► router ─► http::Response ─► answer   http()
//! Kinesis event ────────► StreamRecords ─► Consumer ─► batchItemFailures        batch()
//! schedule's input ─────► job ─► report                                         schedule()
//!                                  └─ after the answer: drain, at most 100 ms, then freeze
//! ```
//!
//! On Managed Instances several requests are at work at once and nothing freezes: a task drains.
//!
//! Invariants: no text in an event makes the adapter panic; a panic in a handler is an error
//! answer; nobody outside reads what went wrong inside; the drain is bounded and abandoned. The
//! function's libraries know nothing of this crate. Read in the order `start`, `http`, `batch`, `schedule`,
//! `hosting`.
#![forbid(unsafe_code)]

pub mod batch;
mod budget;
pub mod hosting;
pub mod http;
pub mod schedule;
mod start;

pub use self::http::{Caller, Edge, http};
pub use batch::batch;
pub use hosting::{Drain, Error, Moment, runtime};
pub use schedule::schedule;
pub use start::start;
