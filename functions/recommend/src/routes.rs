//! Paths and their handlers.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::app::App;
use crate::{health, history, openapi, slates, videos};

/// The bare routes, for a host that serves other functions' routes beside them.
pub fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route(
            "/recommend",
            get(slates::recommend).post(slates::recommend_posted),
        )
        .route("/videos/{id}/similar", get(slates::similar))
        .route("/trending", get(slates::trending))
        .route("/latest", get(slates::latest))
        .route("/popular", get(slates::popular))
        .route("/videos/{id}", get(videos::video))
        .route("/users/{id}/history", get(history::history))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .with_state(app)
}

/// The whole service: the routes, their OpenAPI document, and what surrounds every request.
pub fn router(app: Arc<App>) -> Router {
    let shell = Arc::clone(&app.shell);
    web::host(routes(app), vec![openapi::openapi()], shell)
}
