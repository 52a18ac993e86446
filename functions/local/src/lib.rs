//! `reelway`: every function in one process, and the operator's commands.
//!
//! ```text
//! cli ─► serve ──► Service ─► recommend, ingest (HTTP) + pump (clickstream, archive) + jobs
//!    ├─► import ─► staging ─► catalogue, lake
//!    └─► profile, preload, recommend, evaluate, config
//! ```
//!
//! The libraries of the functions are the ones that run on Lambda; only the wiring is here.
//! Read in the order `cli`, `settings`, `backend`, `service`, `serve`.
#![forbid(unsafe_code)]

pub mod admin;
pub mod backend;
pub mod cli;
pub mod commands;
pub mod demo;
pub mod evaluate;
pub mod events;
pub mod import;
pub mod jobs;
pub mod output;
pub mod pump;
pub mod serve;
pub mod service;
pub mod settings;
mod signing;
pub mod slates;
