//! HTTP reads: recommendations, similar, trending, latest, popular; videos, histories, health.
//!
//! ```text
//! query │ body ─► SlateRequest ─► Limits ─► Tiered::slate ─► Page ─► SlateAnswer
//!                    400         429, 503   never fails      │       ETag, Cache-Control
//!                                       exclude, hidden, cursor, tokens
//!                                                             └─► `served` ─► Outbox
//! ```
//!
//! - One request reads one tuning snapshot and has one deadline; a client that goes away cancels it.
//! - A refused request asks no dependency anything.
//! - Pages are windows on one slate: nothing comes twice, and nothing is skipped while the slate
//!   lives here; what was hidden since is left out of old slates too.
//! - Bodies depend on the slate and the page alone; request id and age travel in headers.
//!
//! Read in the order `app`, `routes`, `slates`, `request`, `limits`, `serving`, `turn`, `source`,
//! `page`, `pages`, `probe`, `reading`, `render`, `answer`, `splice`.
#![forbid(unsafe_code)]

mod answer;
mod app;
mod health;
mod history;
mod limits;
mod openapi;
mod page;
mod pages;
mod probe;
mod reading;
mod render;
mod request;
mod respond;
mod routes;
mod serving;
mod slates;
mod source;
mod splice;
mod turn;
mod videos;

#[cfg(test)]
mod tests;

pub use app::{App, Dependency, Parts};
pub use openapi::openapi;
pub use routes::{router, routes};
