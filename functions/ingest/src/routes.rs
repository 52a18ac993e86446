//! Paths and their handlers.

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use crate::app::App;
use crate::{events, health, openapi, users, videos};

/// Every route: what the document calls it, and what answers.
fn table() -> Vec<(&'static str, &'static str, MethodRouter<Arc<App>>)> {
    vec![
        ("POST", "/events", post(events::post_events)),
        ("PUT", "/videos", put(videos::put_videos)),
        ("PUT", "/videos/{id}", put(videos::put_video)),
        ("PATCH", "/videos/{id}", patch(videos::patch_video)),
        ("DELETE", "/videos/{id}", delete(videos::delete_video)),
        ("DELETE", "/users/{id}", delete(users::delete_user)),
    ]
}

/// The bare routes, for a host that serves other functions' routes beside them.
pub fn routes(app: Arc<App>) -> Router {
    let add = |router: Router<Arc<App>>, (_, path, route)| router.route(path, route);
    table().into_iter().fold(Router::new(), add).with_state(app)
}

/// The whole service: the routes, `/health/live`, their OpenAPI document, and what surrounds every
/// request.
pub fn router(app: Arc<App>) -> Router {
    let shell = Arc::clone(&app.shell);
    let live = Router::new().route("/health/live", get(health::live));
    web::host(routes(app).merge(live), vec![openapi::openapi()], shell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let mut routes: Vec<_> = table()
            .iter()
            .map(|(method, path, _)| format!("{method} {path}"))
            .collect();
        routes.sort_unstable();
        assert_eq!(web::openapi::operations(&openapi::openapi()), routes);
    }
}
