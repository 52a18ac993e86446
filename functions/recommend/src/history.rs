//! What a user did last.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use engine::user::RECENT_MAX;
use engine::{EventKind, Interaction, UserId};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use web::{Caller, Freshness, Params, PathId, Problem};

use crate::app::App;
use crate::respond::respond;

/// A user's newest interactions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryAnswer<'a> {
    /// Newest first.
    pub items: Vec<HistoryItem<'a>>,
}

/// One interaction.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryItem<'a> {
    /// With which video.
    pub video_id: &'a str,
    /// The strongest thing that happened, as in `POST /events`.
    #[schema(value_type = String)]
    pub kind: EventKind,
    /// When, Unix time in milliseconds.
    pub ts_ms: i64,
    /// Share of the video watched, 0 to 1.
    pub watch_ratio: f32,
}

/// Parameters of a history.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query for the OpenAPI document")]
pub(crate) struct HistoryParameters {
    /// How many, 1 to 50.
    #[param(minimum = 1, maximum = 50, default = 50)]
    limit: Option<u32>,
}

/// A user's newest interactions. An unknown user has none, like a known one who did nothing.
#[utoipa::path(
    get, path = "/users/{id}/history", tag = "reads",
    params(("id" = String, Path, description = "The user's id"), HistoryParameters),
    responses(
        (status = 200, description = "The history", body = HistoryAnswer),
        (status = 304, description = "As the client has it"),
        (status = 400, description = "A wrong field", body = web::problem::ProblemDocument),
        (status = 403, description = "Another user's", body = web::problem::ProblemDocument),
        (status = 429, description = "Too many requests", body = web::problem::ProblemDocument),
        (status = 503, description = "Try again later", body = web::problem::ProblemDocument),
    ),
)]
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    PathId(user): PathId<UserId>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let params = Params::of_query(query.as_bytes(), &["limit"])?;
    let limit = params
        .integer("limit", 1..=RECENT_MAX as u64)?
        .unwrap_or(RECENT_MAX as u64);
    Caller::of(&parts.extensions).may_act_for(&user)?;
    let tuning = app.tuning();
    app.limits
        .take(app.clock.now(), &tuning, app.prefix(&parts), Some(&user))?;
    let deadline = app.deadline(&tuning, &parts.extensions);
    // Says nothing of how long answers take: it is dropped, not done.
    let _at_work = app.limits.enter(&tuning.guard, &deadline).await?;
    let found = app.user(&user, &tuning, &deadline).await;
    let found = found.map_err(|unread| Problem::from(unread.kind()))?;
    let recent = found.map(|state| state.recent).unwrap_or_default();
    let newest = recent
        .iter()
        .rev()
        .take(usize::try_from(limit).unwrap_or(RECENT_MAX));
    let answer = HistoryAnswer {
        items: newest.map(HistoryItem::of).collect(),
    };
    let body = serde_json::to_vec(&answer).map_err(|_| Problem::internal())?;
    Ok(respond(
        body.into(),
        None,
        Freshness::Private,
        &parts.headers,
    ))
}

impl<'a> HistoryItem<'a> {
    fn of(interaction: &'a Interaction) -> Self {
        Self {
            video_id: interaction.video_id.as_str(),
            kind: interaction.kind,
            ts_ms: interaction.ts_ms,
            watch_ratio: interaction.watch_ratio,
        }
    }
}
