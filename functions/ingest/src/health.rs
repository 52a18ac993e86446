//! Whether the process lives.

use axum::Json;
use serde::Serialize;

/// Whether the process lives.
#[derive(Debug, Serialize)]
pub(crate) struct LiveAnswer {
    /// Always true.
    pub live: bool,
}

/// Answers as long as the process runs; asks nobody.
pub(crate) async fn live() -> Json<LiveAnswer> {
    Json(LiveAnswer { live: true })
}
