//! The routes that answer with a page of a slate.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use engine::VideoId;
use store::Kind;
use web::problem::ProblemDocument;
use web::{Freshness, PathId, Problem};

use crate::answer::SlateAnswer;
use crate::app::App;
use crate::openapi::{ListParameters, RecommendParameters};
use crate::request::{LIST, RECOMMEND, SlateRequest};
use crate::serving::{serve, serve_posted};

/// The best videos for a user, a cohort or anybody.
#[utoipa::path(
    get, path = "/recommend", tag = "reads", params(RecommendParameters),
    responses(
        (status = 200, description = "A page", body = SlateAnswer),
        (status = 304, description = "As the client has it"),
        (status = 400, description = "A wrong field", body = ProblemDocument),
        (status = 403, description = "Another user's", body = ProblemDocument),
        (status = 414, description = "Use POST", body = ProblemDocument),
        (status = 429, description = "Too many requests", body = ProblemDocument),
        (status = 503, description = "As much as may be is at work", body = ProblemDocument),
    ),
)]
pub(crate) async fn recommend(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let asked = SlateRequest::of_query(&parts, RECOMMEND)?;
    serve(&app, Kind::Recommend, asked, &parts).await
}

/// As `GET /recommend`, for lists too long for an address.
#[utoipa::path(
    post, path = "/recommend", tag = "reads", request_body = RecommendParameters,
    responses(
        (status = 200, description = "A page", body = SlateAnswer),
        (status = 400, description = "A wrong field", body = ProblemDocument),
        (status = 403, description = "Another user's", body = ProblemDocument),
        (status = 413, description = "Above 64 KiB", body = ProblemDocument),
        (status = 415, description = "Not JSON", body = ProblemDocument),
        (status = 429, description = "Too many requests", body = ProblemDocument),
        (status = 503, description = "As much as may be is at work", body = ProblemDocument),
    ),
)]
pub(crate) async fn recommend_posted(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut response = serve_posted(&app, Kind::Recommend, &parts, body).await?;
    Freshness::NoStore.write(response.headers_mut());
    Ok(response)
}

/// Neighbours of one video.
#[utoipa::path(
    get, path = "/videos/{id}/similar", tag = "reads",
    params(("id" = String, Path, description = "The video's id"), ListParameters),
    responses(
        (status = 200, description = "A page", body = SlateAnswer),
        (status = 304, description = "As the client has it"),
        (status = 400, description = "A wrong field", body = ProblemDocument),
        (status = 429, description = "Too many requests", body = ProblemDocument),
        (status = 503, description = "As much as may be is at work", body = ProblemDocument),
    ),
)]
pub(crate) async fn similar(
    State(app): State<Arc<App>>,
    PathId(video): PathId<VideoId>,
    request: Request,
) -> Result<Response, Problem> {
    list(&app, Kind::Similar(video), request).await
}

/// What the market watches.
#[utoipa::path(
    get, path = "/trending", tag = "reads", params(ListParameters),
    responses(
        (status = 200, description = "A page", body = SlateAnswer),
        (status = 304, description = "As the client has it"),
        (status = 400, description = "A wrong field", body = ProblemDocument),
        (status = 429, description = "Too many requests", body = ProblemDocument),
        (status = 503, description = "As much as may be is at work", body = ProblemDocument),
    ),
)]
pub(crate) async fn trending(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    list(&app, Kind::Trending, request).await
}

/// The newest.
#[utoipa::path(
    get, path = "/latest", tag = "reads", params(ListParameters),
    responses(
        (status = 200, description = "A page", body = SlateAnswer),
        (status = 304, description = "As the client has it"),
        (status = 400, description = "A wrong field", body = ProblemDocument),
        (status = 429, description = "Too many requests", body = ProblemDocument),
        (status = 503, description = "As much as may be is at work", body = ProblemDocument),
    ),
)]
pub(crate) async fn latest(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    list(&app, Kind::Latest, request).await
}

/// Liked by many for long.
#[utoipa::path(
    get, path = "/popular", tag = "reads", params(ListParameters),
    responses(
        (status = 200, description = "A page", body = SlateAnswer),
        (status = 304, description = "As the client has it"),
        (status = 400, description = "A wrong field", body = ProblemDocument),
        (status = 429, description = "Too many requests", body = ProblemDocument),
        (status = 503, description = "As much as may be is at work", body = ProblemDocument),
    ),
)]
pub(crate) async fn popular(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    list(&app, Kind::Popular, request).await
}

async fn list(app: &App, kind: Kind, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let asked = SlateRequest::of_query(&parts, LIST)?;
    serve(app, kind, asked, &parts).await
}
