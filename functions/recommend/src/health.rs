//! Whether the process lives, and whether it is worth asking.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;

/// Whether the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveAnswer {
    /// Always true.
    pub live: bool,
}

/// Whether the process is worth asking.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadyAnswer {
    /// Warm: a generation is mapped. Without one answers come from the lower rungs.
    pub ready: bool,
    /// The mapped generation.
    pub generation: Option<String>,
    /// State of each dependency. None of them is needed to be ready.
    pub dependencies: BTreeMap<&'static str, &'static str>,
}

/// Answers as long as the process runs; asks nobody.
#[utoipa::path(
    get, path = "/health/live", tag = "health",
    responses((status = 200, description = "It lives", body = LiveAnswer)),
)]
pub(crate) async fn live() -> Json<LiveAnswer> {
    Json(LiveAnswer { live: true })
}

/// Answers 200 when warm, 503 before.
#[utoipa::path(
    get, path = "/health/ready", tag = "health",
    responses(
        (status = 200, description = "Warm", body = ReadyAnswer),
        (status = 503, description = "Not warm yet", body = ReadyAnswer),
    ),
)]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let index = app.generations.current();
    let ready = index.is_some();
    let dependencies = app
        .dependencies
        .iter()
        .map(|d| (d.name, (d.state)()))
        .collect();
    let generation = index.map(|index| index.generation().to_owned());
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(ReadyAnswer {
            ready,
            generation,
            dependencies,
        }),
    )
        .into_response()
}
