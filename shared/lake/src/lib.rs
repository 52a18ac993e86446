//! The Parquet event lake and profile tables: schemas, readers, writers.
//!
//! ```text
//! lake/events/dt=2022-04-25/hour=03/<shard>_<first>_<last>.parquet    rows of LakeRow
//! profiles/dt=2022-04-25/part-0.parquet                               rows of ProfileRow
//! ```
//!
//! | events column | type | |
//! |---|---|---|
//! | `event_id` | string | the producer's |
//! | `kind` | string | `impression`, `click`, `watch` … |
//! | `user_id`, `video_id` | string | |
//! | `ts_ms` | int64 | when it happened; names the partition, in UTC |
//! | `watch_ms`, `duration_ms` | int64? | how long it was watched, how long it is |
//! | `scene`, `market`, `creator_id` | string? | null where not known |
//! | `undo` | bool | takes an earlier one back |
//! | `recommendation_id`, `slate_position` | string?, int32? | the answer it belongs to |
//! | `shard`, `sequence`, `record_index` | string, string, int32 | where it lay in the stream |
//! | `arms` | string? | the arms of the experiments it was seen in; since version 2 |
//! | `generation`, `propensity_ppb` | string?, int32? | what it was served by, and the chance that it was; since version 2 |
//!
//! | profiles column | type | |
//! |---|---|---|
//! | `user_id` | string | |
//! | `cohort` | int64 | an index into the generation's cohorts |
//! | `categories` | string | JSON: `[["music",0.41],…]`, strongest first |
//! | `long_term` | string | video ids of long views, one space between, newest last |
//! | `long_view_rate` | float | share of impressions that became long views |
//!
//! Plain types only, zstd, dictionaries where values repeat: pyarrow, DuckDB and Spark read it.
//!
//! ```text
//! rows ─ TableRow::gather ─> Gathered ─ TableWriter, a row group at a time ─> file
//! file ─ TableFile, pages judged ─> Batch ─ TableRow::read ─> rows
//! ```
//!
//! Invariants:
//! 1. Every file names its table and the version of its schema; a reader takes its own version and
//!    the next one, whose additional columns it does not look at.
//! 2. A file is judged by its footer before a page of it is read: too many rows or bytes are
//!    refused. Text is never copied out of a page before its length is checked.
//! 3. Whatever is wrong with a file is a `Corrupt` error, never a panic.
//! 4. A row's position in the stream travels with it, so overlapping retries deduplicate exactly.
//!
//! 5. A page is judged before it is decoded: no header makes a decoder allocate what its page
//!    cannot hold.
//!
//! Read in the order `key`, `column`, `table`, `event_rows`, `profile_rows`, `lake`, `dedupe`;
//! `gathered`, `batch` and `pages` when a file is wrong.
#![forbid(unsafe_code)]

pub mod batch;
pub mod column;
pub mod dedupe;
pub mod event_rows;
pub mod gathered;
pub mod key;
pub mod lake;
pub mod pages;
pub mod profile_rows;
pub mod table;

pub use batch::Batch;
pub use column::{Column, Kind};
pub use dedupe::Dedupe;
pub use event_rows::{EventFile, EventWriter, LakeRow, encode_events};
pub use gathered::Gathered;
pub use key::{hour_of, object_key};
pub use lake::Lake;
pub use pages::Pages;
pub use profile_rows::{ProfileFile, ProfileRow, ProfileWriter, encode_profiles};
pub use table::{TableFile, TableRow, TableWriter};
