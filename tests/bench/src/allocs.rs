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

use crate::measure::compare::median;
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
        process
            .tiered
            .slate(ask.clone(), &town.deadline(5_000))
            .await;
        let counted = each(|| {
            let (ask, deadline) = (ask.clone(), town.deadline(5_000));
            let (answer, counted) =
                allocations(|| process.tiered.slate(ask, &deadline).now_or_never());
            (answer.is_some(), counted)
        })?;
        report.check(
            &format!("{what}: `Tiered::slate`, local hit"),
            counted.shown(),
            "0",
            counted.median == 0.0,
        );
    }
    let process = town.process(None, 256).await?;
    let router = process.serve(Router::new().route("/same", get(same)));
    // What probes compare with is made once, before anything is counted.
    let below = Request::get("/recommend").body(Body::empty())?;
    router.clone().oneshot(below).await?;
    let baseline = handled(&router, "/same").await?;
    report.tell(
        "router and middleware around a handler that copies an answer",
        baseline.shown(),
    );
    for (what, path) in [
        ("a slate for many", "/recommend?cohort=c1&limit=20"),
        (
            "a user's slate, `served` events included",
            "/recommend?user_id=user-7&limit=20",
        ),
    ] {
        let counted = handled(&router, path).await?;
        let own = counted.above(baseline);
        report.check(
            &format!("{what}: the handler, above that"),
            own.shown(),
            "≤ 8",
            own.median <= 8.0,
        );
    }
    report.note(format!("Exact counts of one thread by a counting allocator, over {REQUESTS} requests after as many to warm up; the mean has the cache's own housekeeping in it, which some requests do for all. Metrics are off, as on Lambda."));
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

async fn handled(router: &Router, path: &str) -> anyhow::Result<Each> {
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

/// Calls of one piece of work, the median and the mean, and bytes, the mean.
fn each(mut work: impl FnMut() -> (bool, Allocations)) -> anyhow::Result<Each> {
    let (mut calls, mut bytes) = (Vec::new(), 0);
    for request in 0..2 * REQUESTS {
        let (ready, counted) = work();
        anyhow::ensure!(ready, "it had to wait");
        if request >= REQUESTS {
            calls.push(counted.calls as f64);
            bytes += counted.bytes;
        }
    }
    Ok(Each {
        mean: calls.iter().sum::<f64>() / REQUESTS as f64,
        median: median(calls),
        bytes: bytes as f64 / REQUESTS as f64,
    })
}

/// What one request allocates.
#[derive(Debug, Clone, Copy)]
struct Each {
    median: f64,
    mean: f64,
    bytes: f64,
}

impl Each {
    fn above(self, other: Self) -> Self {
        Self {
            median: self.median - other.median,
            mean: self.mean - other.mean,
            bytes: self.bytes - other.bytes,
        }
    }

    fn shown(self) -> String {
        let Self {
            median,
            mean,
            bytes,
        } = self;
        format!("{median} allocations (mean {mean:.2}, {bytes:.0} bytes)")
    }
}
