//! What one request allocates.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use store::{Ask, Kind, Who};
use tokio::runtime::Builder;
use tower::ServiceExt;

use crate::measure::{Allocations, Report, allocations};
use crate::town::Town;
use crate::world;

const VIDEOS: usize = 2_000;
const USERS: usize = 200;
/// Requests counted, after as many to warm up.
const REQUESTS: u64 = 1_000;

/// Row 7.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measured(report))
}

async fn measured(report: &mut Report) -> anyhow::Result<()> {
    let (bytes, diaries) = world::build("bench.1", VIDEOS, USERS)?;
    let town = Town::new(&diaries).await?;
    town.publish("bench.1", &bytes).await?;
    let process = town.process(None, 256).await?;
    for (what, who) in [
        ("a slate for many", Who::Anyone),
        ("a user's slate", Who::User(world::user(7))),
    ] {
        let ask = Ask::new(who, Kind::Recommend);
        process.tiered.slate(ask.clone(), &town.deadline(5_000)).await;
        let counted = each(|| {
            let (ask, deadline) = (ask.clone(), town.deadline(5_000));
            let (answer, counted) =
                allocations(|| process.tiered.slate(ask, &deadline).now_or_never());
            (answer.is_some(), counted)
        })?;
        report.check(
            &format!("{what}: `Tiered::slate`, local hit"),
            shown(counted),
            "0",
            counted.0 < 0.01,
        );
    }
    let process = town.process(None, 256).await?;
    let router = process.serve(Router::new().route("/same", get(same)));
    // What probes compare with is made once, before anything is counted.
    let below = Request::get("/recommend").body(Body::empty())?;
    router.clone().oneshot(below).await?;
    let baseline = handled(&router, "/same").await?;
    report.tell("router and middleware around a handler that copies an answer", shown(baseline));
    for (what, path) in [
        ("a slate for many", "/recommend?cohort=c1&limit=20"),
        ("a user's slate, `served` events included", "/recommend?user_id=user-7&limit=20"),
    ] {
        let counted = handled(&router, path).await?;
        let own = (counted.0 - baseline.0, counted.1 - baseline.1);
        report.check(
            &format!("{what}: the handler, above that"),
            shown(own),
            "≤ 8",
            own.0 <= 8.0,
        );
    }
    report.note(format!("Exact counts of one thread by a counting allocator, mean over {REQUESTS} requests after as many to warm up; metrics are off, as on Lambda."));
    report.note("That nothing grows over 10 million requests is shown by `soak`.");
    Ok(())
}

/// The same headers as an answer, without any work for them.
async fn same() -> Response {
    const HEADERS: [(&str, &str); 5] = [
        ("etag", "\"0123456789abcdef0123456789abcdef\""),
        ("cache-control", "private, no-cache"),
        ("content-type", "application/json"),
        ("x-age-ms", "12345"),
        ("server-timing", "total;dur=0.012"),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in HEADERS {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    let mut response = Response::new(Body::from(Bytes::from_static(b"{}")));
    *response.headers_mut() = headers;
    response
}

async fn handled(router: &Router, path: &str) -> anyhow::Result<(f64, f64)> {
    let first = Request::get(path).body(Body::empty())?;
    let response = router.clone().oneshot(first).await?;
    anyhow::ensure!(response.status() == 200, "{path}: {}", response.status());
    response.into_body().collect().await?;
    each(|| {
        let request = Request::get(path).body(Body::empty()).unwrap_or_default();
        let router = router.clone();
        let (answered, counted) = allocations(|| router.oneshot(request).now_or_never());
        (answered.is_some(), counted)
    })
}

/// Calls and bytes of one piece of work, on the mean.
fn each(mut work: impl FnMut() -> (bool, Allocations)) -> anyhow::Result<(f64, f64)> {
    let (mut calls, mut bytes) = (0, 0);
    for request in 0..2 * REQUESTS {
        let (ready, counted) = work();
        anyhow::ensure!(ready, "it had to wait");
        if request >= REQUESTS {
            calls += counted.calls;
            bytes += counted.bytes;
        }
    }
    Ok((calls as f64 / REQUESTS as f64, bytes as f64 / REQUESTS as f64))
}

fn shown((calls, bytes): (f64, f64)) -> String {
    format!("{calls:.2} allocations, {bytes:.0} bytes")
}
