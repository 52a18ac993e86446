//! Forgetting a user.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use engine::UserId;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use web::problem::ProblemDocument;
use web::{PathId, Problem};

use crate::app::App;

/// When a user is gone from the last file: the batch of the day after the next one has run.
const COMPLETE_AFTER_MS: i64 = 48 * 60 * 60 * 1000;

/// When to try again where a shared tier did not hear of it, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// When forgetting will be complete.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ForgetAnswer {
    /// RFC 3339; answers are without the user at once.
    pub complete_at: String,
}

/// Forgets a user, everywhere. Older events change nothing from now on.
#[utoipa::path(
    delete, path = "/users/{id}", tag = "admin",
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 202, description = "Begun; says when it will be complete", body = ForgetAnswer),
        (status = 400, description = "Not an id", body = ProblemDocument),
        (status = 401, description = "The admin key is needed", body = ProblemDocument),
        (status = 403, description = "Not from here", body = ProblemDocument),
        (status = 503, description = "Try again later", body = ProblemDocument),
    ),
)]
pub(crate) async fn delete_user(
    State(app): State<Arc<App>>,
    id: Result<PathId<UserId>, Problem>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    app.admit(&parts)?;
    let PathId(user) = id?;
    let deadline = app.deadline(&parts.extensions);
    let now_ms = app.clock.now().wall_ms;
    let version = app.users.forget(&user, now_ms, &deadline).await?;
    if let Some(shared) = &app.shared
        && let Err(lapse) = shared.raise_user_version(&user, version, &deadline).await
    {
        // The state is gone, but its slates would be served until they expire: not forgotten yet.
        tracing::warn!(
            redis.cause = lapse.as_str(),
            "a forgotten user's slates are still kept"
        );
        return Err(Problem::unavailable(RETRY_AFTER_S));
    }
    let complete_at = jiff::Timestamp::from_millisecond(now_ms.saturating_add(COMPLETE_AFTER_MS));
    let complete_at = complete_at.map_err(|_| Problem::internal())?.to_string();
    Ok((StatusCode::ACCEPTED, Json(ForgetAnswer { complete_at })).into_response())
}
