//! HTTP writes: what people did, what there is to watch, and forgetting a user.
//!
//! ```text
//! POST /events ─► one by one: valid? token? ─► stream ─► 202 accepted, rejected[index, code]
//!                                                └ not acknowledged: `retry`; all of it: 503
//! PUT PATCH DELETE /videos ─ admin ─► Catalogue
//! DELETE /users/{id} ─────── admin ─► Users::forget, and every tier learns the new version
//! ```
//!
//! - 202 means acknowledged by the stream; a good event is never lost because its neighbour is bad.
//! - An event without an id gets one from its content, so that a retry is the same event.
//! - Admin routes decide who may before they read a body.
//!
//! Read in the order `app`, `routes`, `events`, `event`, `videos`, `video`, `users`.
#![forbid(unsafe_code)]

mod app;
mod doors;
mod event;
mod events;
mod health;
mod openapi;
mod routes;
mod users;
mod video;
mod videos;

#[cfg(test)]
mod tests;

pub use app::{App, Parts};
pub use openapi::openapi;
pub use routes::{router, routes};
