//! Recommending without a server.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Body;
use engine::{Slate, UserId};
use futures_util::{StreamExt as _, stream};
use http::Request;
use serde::Serialize;
use smol_str::SmolStr;
use store::{Ask, Kind, Who};
use tower::ServiceExt as _;

use crate::cli;
use crate::service::Service;

/// Longest answer that is read back.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Users read at a time.
const USERS_PER_PAGE: usize = 500;
/// Slates made side by side.
const SLATES_AT_ONCE: usize = 16;
/// How long reading a page of users may take.
const PAGE_BUDGET: Duration = Duration::from_secs(30);
/// How long one slate may take: nobody waits, so it is never cut short.
const SLATE_BUDGET: Duration = Duration::from_secs(10);

/// What was written.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Users with a slate.
    pub users: u64,
    /// Lines, header left out.
    pub rows: u64,
}

/// The body that `GET /recommend` gives for one user.
///
/// # Errors
/// When the request is refused; the problem document says why.
pub async fn answer_of_one(
    service: &Service,
    user: &str,
    args: &cli::Recommend,
) -> anyhow::Result<String> {
    let user = UserId::parse(user).context("--user is not an id")?;
    let uri = format!(
        "/recommend?user_id={user}&limit={}&scene={}",
        args.limit, args.scene
    );
    let router = recommend::router(service.recommend_app());
    let request = Request::get(uri)
        .body(Body::empty())
        .context("--scene is not a word")?;
    let response = router.oneshot(request).await?;
    let good = response.status().is_success();
    let body = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await?;
    let text = String::from_utf8_lossy(&body).into_owned();
    if good { Ok(text) } else { bail!("{text}") }
}

/// Writes every known user's slate: `user`, `rank` from 1, `item`, separated by tabs.
///
/// # Errors
/// When the users cannot be read or the file cannot be written.
pub async fn write_all(
    service: &Service,
    path: &Path,
    args: &cli::Recommend,
) -> anyhow::Result<Report> {
    let file =
        File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
    let mut file = BufWriter::new(file);
    writeln!(file, "user\trank\titem")?;
    let mut report = Report { users: 0, rows: 0 };
    let mut after = None;
    loop {
        let deadline = service.deadline(PAGE_BUDGET);
        let page = service
            .serving
            .users
            .scan(after, USERS_PER_PAGE, &deadline)
            .await?;
        let users = page.users.into_iter().map(|(user, _)| user);
        let mut made = stream::iter(users)
            .map(|user| slate_of(service, user, &args.scene))
            .buffered(SLATES_AT_ONCE);
        while let Some((user, slate)) = made.next().await {
            report.users += 1;
            for (rank, item) in slate.items.iter().take(args.limit.into()).enumerate() {
                writeln!(file, "{user}\t{}\t{}", rank + 1, item.video_id)?;
                report.rows += 1;
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    file.flush()?;
    Ok(report)
}

/// On a task of its own, so that slates are made on every core.
async fn slate_of(service: &Service, user: UserId, scene: &str) -> (UserId, Arc<Slate>) {
    let tiered = service.serving.tiered.clone();
    let deadline = service.deadline(SLATE_BUDGET);
    let mut ask = Ask::new(Who::User(user.clone()), Kind::Recommend);
    ask.scene = SmolStr::new(scene);
    let fallback = ask.clone();
    let made = service
        .tasks
        .spawn(async move { tiered.slate(ask, &deadline).await })
        .await;
    let slate = match made {
        Ok(answer) => answer.slate,
        // The task panicked: the ladder is asked once more, here.
        Err(_) => {
            service
                .serving
                .tiered
                .slate(fallback, &service.deadline(SLATE_BUDGET))
                .await
                .slate
        }
    };
    (user, slate)
}
