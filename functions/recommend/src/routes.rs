//! Paths and their handlers.

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use crate::app::App;
use crate::{health, history, openapi, slates, videos};

/// Every route: what the document calls it, and what answers.
fn table() -> Vec<(&'static str, &'static str, MethodRouter<Arc<App>>)> {
    vec![
        ("GET", "/recommend", get(slates::recommend)),
        ("POST", "/recommend", post(slates::recommend_posted)),
        ("GET", "/videos/{id}/similar", get(slates::similar)),
        ("GET", "/trending", get(slates::trending)),
        ("GET", "/latest", get(slates::latest)),
        ("GET", "/popular", get(slates::popular)),
        ("GET", "/videos/{id}", get(videos::video)),
        ("GET", "/users/{id}/history", get(history::history)),
        ("GET", "/health/live", get(health::live)),
        ("GET", "/health/ready", get(health::ready)),
    ]
}

/// The bare routes, for a host that serves other functions' routes beside them.
pub fn routes(app: Arc<App>) -> Router {
    let add = |router: Router<Arc<App>>, (_, path, route)| router.route(path, route);
    table().into_iter().fold(Router::new(), add).with_state(app)
}

/// The whole service: the routes, their OpenAPI document, and what surrounds every request.
pub fn router(app: Arc<App>) -> Router {
    let shell = Arc::clone(&app.shell);
    web::host(routes(app), vec![openapi::openapi()], shell)
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
