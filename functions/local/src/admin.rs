//! Routes that only this host has: the nightly job on request, metrics, and what is asked for most.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use guard::{Deadline, Tasks};
use store::{ErrorKind, HotKey, Tiered};
use web::{AdminGuard, Problem};

use crate::diagnose::HotQuestion;
use crate::jobs::{Jobs, NIGHT_BUDGET};
use crate::settings::Settings;

/// A night that refuses what it is given: too few rows, no catalogue. The log says which.
const NOTHING_PUBLISHED: Problem = Problem::conflict(
    "nothing_published",
    "there is not enough to build from; what was served before goes on",
);

/// Who may use admin routes.
#[must_use]
pub fn guard(settings: &Settings) -> AdminGuard {
    AdminGuard::new(settings.admin_key.as_ref().map(ops::Secret::expose))
}

/// `POST /admin/jobs/profile`, `GET /admin/hot-keys` and `GET /metrics`, behind the admin guard.
/// The night computes in `background`.
pub(crate) fn routes(
    settings: &Settings,
    jobs: Arc<Jobs>,
    background: Tasks,
    tiered: Tiered,
) -> Router {
    Router::new()
        .route("/admin/jobs/profile", post(profile))
        .with_state((jobs, background))
        .route("/admin/hot-keys", get(async move || Json(hot(&tiered))))
        .route("/metrics", get(async || ops::metrics_text()))
        .layer(middleware::from_fn_with_state(guard(settings), check))
}

fn hot(tiered: &Tiered) -> Vec<HotQuestion> {
    let question = |hot: HotKey| HotQuestion {
        key: format!("{:032x}", hot.key.0),
        about: hot.about.into(),
        asks: hot.asks,
    };
    tiered.hot_keys().into_iter().map(question).collect()
}

async fn check(State(guard): State<AdminGuard>, request: Request, next: Next) -> Response {
    match guard.check(request.headers(), request.extensions()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Runs the night and answers with its report; the client may go away meanwhile.
async fn profile(State((jobs, background)): State<(Arc<Jobs>, Tasks)>) -> Response {
    let deadline = Deadline::after(Arc::clone(jobs.clock()), NIGHT_BUDGET);
    let night = background.spawn(async move { jobs.night(None, false, &deadline).await });
    match night.await {
        Ok(Ok(night)) => Json(night).into_response(),
        Err(error) => {
            tracing::error!(%error, "the night that was asked for did not end");
            Problem::internal().into_response()
        }
        Ok(Err(error)) => {
            tracing::error!(error = %error, "the night that was asked for failed");
            match error.kind {
                ErrorKind::Unavailable => Problem::unavailable(1).into_response(),
                ErrorKind::Invalid | ErrorKind::NotFound => NOTHING_PUBLISHED.into_response(),
                _ => Problem::internal().into_response(),
            }
        }
    }
}
