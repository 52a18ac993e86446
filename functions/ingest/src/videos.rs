//! The catalogue's routes.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use engine::{Video, VideoId};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use web::problem::{ProblemDocument, Rejected};
use web::{BodyRules, PathId, Problem, read_json};

use crate::app::App;
use crate::openapi::{VideoBatch, VideoDocument};
use crate::video;

/// Most videos of one request.
pub(crate) const VIDEOS_MAX: usize = 500;

/// What became of a batch of videos.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VideosAnswer {
    /// Videos stored.
    pub stored: usize,
    /// The others, by their place.
    pub rejected: Vec<Rejected>,
}

/// Stores a video, replacing what was there.
#[utoipa::path(
    put, path = "/videos/{id}", tag = "admin", request_body = VideoDocument,
    params(("id" = String, Path, description = "The video's id")),
    responses(
        (status = 204, description = "Stored"),
        (status = 400, description = "A wrong field", body = ProblemDocument),
        (status = 401, description = "The admin key is needed", body = ProblemDocument),
        (status = 403, description = "Not from here", body = ProblemDocument),
        (status = 413, description = "Above 64 KiB", body = ProblemDocument),
        (status = 415, description = "Not JSON", body = ProblemDocument),
        (status = 503, description = "Try again later", body = ProblemDocument),
    ),
)]
pub(crate) async fn put_video(
    State(app): State<Arc<App>>,
    id: Result<PathId<VideoId>, Problem>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (parts, body) = request.into_parts();
    app.admit(&parts)?;
    let PathId(id) = id?;
    let deadline = app.deadline(&parts.extensions);
    let body = read_json(&parts.headers, body, BodyRules::JSON, &deadline).await?;
    let video = video::whole(id, body)?;
    app.catalogue.put(vec![video], &deadline).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stores several videos, replacing what was there. Of two with one id the later one counts.
#[utoipa::path(
    put, path = "/videos", tag = "admin", request_body = VideoBatch,
    responses(
        (status = 200, description = "Stored, except what is listed", body = VideosAnswer),
        (status = 400, description = "None of them is valid", body = ProblemDocument),
        (status = 401, description = "The admin key is needed", body = ProblemDocument),
        (status = 403, description = "Not from here", body = ProblemDocument),
        (status = 413, description = "Above 64 KiB", body = ProblemDocument),
        (status = 415, description = "Not JSON", body = ProblemDocument),
        (status = 503, description = "Try again later", body = ProblemDocument),
    ),
)]
pub(crate) async fn put_videos(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    app.admit(&parts)?;
    let deadline = app.deadline(&parts.extensions);
    let body = read_json(&parts.headers, body, BodyRules::JSON, &deadline).await?;
    let (videos, rejected) = judge(body)?;
    if videos.is_empty() && !rejected.is_empty() {
        let none = Problem::bad_request("no_valid_video", "none of the videos can be stored");
        return Err(none.at("videos").rejecting(rejected));
    }
    let stored = videos.len();
    app.catalogue.put(videos, &deadline).await?;
    Ok(Json(VideosAnswer { stored, rejected }).into_response())
}

/// Changes some fields of a video. `hidden` takes effect within 5 seconds everywhere.
#[utoipa::path(
    patch, path = "/videos/{id}", tag = "admin", request_body = VideoDocument,
    params(("id" = String, Path, description = "The video's id")),
    responses(
        (status = 200, description = "The video as it is now", body = VideoDocument),
        (status = 400, description = "A wrong field", body = ProblemDocument),
        (status = 401, description = "The admin key is needed", body = ProblemDocument),
        (status = 403, description = "Not from here", body = ProblemDocument),
        (status = 404, description = "No such video", body = ProblemDocument),
        (status = 413, description = "Above 64 KiB", body = ProblemDocument),
        (status = 415, description = "Not JSON", body = ProblemDocument),
        (status = 503, description = "Try again later", body = ProblemDocument),
    ),
)]
pub(crate) async fn patch_video(
    State(app): State<Arc<App>>,
    id: Result<PathId<VideoId>, Problem>,
    request: Request,
) -> Result<Json<Video>, Problem> {
    let (parts, body) = request.into_parts();
    app.admit(&parts)?;
    let PathId(id) = id?;
    let deadline = app.deadline(&parts.extensions);
    let body = read_json(&parts.headers, body, BodyRules::JSON, &deadline).await?;
    let patch = video::patch(body)?;
    Ok(Json(app.catalogue.patch(&id, &patch, &deadline).await?))
}

/// Removes a video. One that is not there is removed already.
#[utoipa::path(
    delete, path = "/videos/{id}", tag = "admin",
    params(("id" = String, Path, description = "The video's id")),
    responses(
        (status = 204, description = "It is not there any more"),
        (status = 400, description = "Not an id", body = ProblemDocument),
        (status = 401, description = "The admin key is needed", body = ProblemDocument),
        (status = 403, description = "Not from here", body = ProblemDocument),
        (status = 503, description = "Try again later", body = ProblemDocument),
    ),
)]
pub(crate) async fn delete_video(
    State(app): State<Arc<App>>,
    id: Result<PathId<VideoId>, Problem>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (parts, _) = request.into_parts();
    app.admit(&parts)?;
    let PathId(id) = id?;
    let deadline = app.deadline(&parts.extensions);
    app.catalogue.delete(&id, &deadline).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Valid videos with distinct ids, and what is wrong with the others.
fn judge(body: Value) -> Result<(Vec<Video>, Vec<Rejected>), Problem> {
    let Value::Object(mut object) = body else {
        return Err(Problem::field("body"));
    };
    let batch = match object.remove("videos") {
        Some(Value::Array(videos)) if videos.len() <= VIDEOS_MAX => videos,
        _ => return Err(Problem::field("videos")),
    };
    let (mut videos, mut rejected) = (Vec::new(), Vec::new());
    for (index, value) in batch.into_iter().enumerate() {
        match video::named(value) {
            Ok(video) => videos.push(video),
            Err(problem) => {
                let field = problem.field_name().map(Into::into);
                rejected.push(Rejected {
                    index,
                    code: problem.code(),
                    field,
                });
            }
        }
    }
    let mut met = HashSet::new();
    videos.reverse();
    videos.retain(|video: &Video| met.insert(video.video_id.clone()));
    Ok((videos, rejected))
}
