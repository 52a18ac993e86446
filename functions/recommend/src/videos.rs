//! One video, as the catalogue knows it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use engine::VideoId;
use store::guarded;
use web::{PathId, Problem};

use crate::app::App;
use crate::respond::respond;

/// One video. A hidden or deleted one is as if it did not exist.
#[utoipa::path(
    get, path = "/videos/{id}", tag = "reads",
    params(("id" = String, Path, description = "The video's id")),
    responses(
        (status = 200, description = "The video, in the form of `PUT /videos/{id}`",
            body = serde_json::Value),
        (status = 304, description = "As the client has it"),
        (status = 400, description = "Not an id", body = web::problem::ProblemDocument),
        (status = 404, description = "No such video", body = web::problem::ProblemDocument),
        (status = 429, description = "Too many requests", body = web::problem::ProblemDocument),
        (status = 503, description = "Try again later", body = web::problem::ProblemDocument),
    ),
)]
pub(crate) async fn video(
    State(app): State<Arc<App>>,
    PathId(id): PathId<VideoId>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let tuning = app.tuning();
    app.limits
        .take(app.clock.now(), &tuning, app.prefix(&parts), None)?;
    let deadline = app.deadline(&tuning, &parts.extensions);
    // Says nothing of how long answers take: it is dropped, not done.
    let _at_work = app.limits.enter(&tuning.guard, &deadline).await?;
    if app.catalogue.hidden(&deadline).await.contains(&id) {
        return Err(Problem::not_found());
    }
    let (catalogue, one) = (&app.catalogue, std::slice::from_ref(&id));
    let read = guarded(&app.videos, &tuning, &deadline, |deadline| async move {
        catalogue.load(one, &deadline).await
    });
    let body = match read.await {
        Ok(mut found) => {
            let video = found.pop().flatten().filter(|video| !video.hidden);
            let video = video.ok_or_else(Problem::not_found)?;
            serde_json::to_vec(&video).map_err(|_| Problem::internal())?
        }
        // The index has what the catalogue said last night.
        Err(unread) => indexed(&app, &id).ok_or_else(|| Problem::from(unread.kind()))?,
    };
    let freshness = web::Freshness::Shared;
    Ok(respond(body.into(), None, freshness, &parts.headers))
}

fn indexed(app: &App, id: &VideoId) -> Option<Vec<u8>> {
    let index = app.generations.current()?;
    let fragment = index.fragment(index.find(id.as_str())?);
    (!fragment.is_empty()).then(|| fragment.to_vec())
}
