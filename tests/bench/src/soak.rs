//! Ten million requests over a million keys, ten generations, a dead Redis: nothing grows, nothing fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use engine::Rung;
use futures_util::future::try_join_all;
use guard::Tasks;
use hdrhistogram::Histogram;
use http::Request;
use http_body_util::BodyExt;
use store::{Ask, Kind, TierOutcome, Who};
use tokio::runtime::Builder;
use tower::ServiceExt;

use crate::measure::compare::Random;
use crate::measure::machine::resident_bytes;
use crate::measure::report::Report;
use crate::redis::Redis;
use crate::town::{Process, Town, scene};
use crate::world;

mod seen;

use seen::{Asker, Seen};

/// Scenes that slates for many are asked for in.
const SCENES: usize = 50;

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Requests in all.
    pub requests: u64,
    /// Users with a history.
    pub users: usize,
    /// Ids of nobody that are asked for.
    pub strangers: usize,
    /// Videos of a generation.
    pub videos: usize,
    /// Generation swaps.
    pub swaps: u64,
    /// What the tier in the process may weigh, in MiB.
    pub tier_mib: u64,
}

/// The run that the page shows.
const WHOLE: Size = Size {
    requests: 10_000_000,
    users: 4_000,
    strangers: 1_200_000,
    videos: 5_000,
    swaps: 10,
    tier_mib: 64,
};
/// Requests under way at once.
const CONCURRENCY: u64 = 64;
/// Parts of a run after which memory is looked at.
const PARTS: u64 = 20;
/// Redis dies at the start of this part and is back at the start of the other.
const DEAD: std::ops::Range<u64> = 8..12;
/// Of so many requests one goes through the router, the others ask the tiers.
const ROUTED_ONE_IN: u64 = 20;

/// The soak.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    soak(report, WHOLE)
}

/// A soak of this size.
///
/// # Errors
/// When the town cannot be set up, or Redis not be started.
pub fn soak(report: &mut Report, size: Size) -> anyhow::Result<()> {
    let mut generations = Vec::new();
    for swap in 0..=size.swaps {
        let name = format!("bench.{swap}");
        generations.push((
            name.clone(),
            world::build(&name, size.videos, size.users)?.0,
        ));
    }
    let diaries = world::diaries(size.videos, size.users);
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(measured(report, size, generations, &diaries))
}

async fn measured(
    report: &mut Report,
    size: Size,
    generations: Vec<(String, Vec<u8>)>,
    diaries: &[Vec<engine::Event>],
) -> anyhow::Result<()> {
    let town = Arc::new(Town::new(diaries).await?.with_scenes(SCENES));
    let mut generations = generations.into_iter();
    if let Some((name, bytes)) = generations.next() {
        town.publish(&name, &bytes).await?;
    }
    let (mut redis, tasks) = (Redis::start().await?, Tasks::new());
    let shared = redis.shared(&town.clock, &tasks).await?;
    let process = town.process(Some(shared), size.tier_mib).await?;
    let (tiered, reader, running) = (
        process.tiered.clone(),
        Arc::clone(&process.generations),
        process.tasks.clone(),
    );
    let outbox = process.outbox();
    let router = Process::serve(process, Router::new());
    let askers = size.users + size.strangers + SCENES;
    let (seen, started) = (Arc::new(Seen::new(askers)), town.clock.now().mono);
    let (mut memory, mut shared_hits_after, mut swapped) = (Vec::new(), 0, 0);
    let mut micros = Histogram::<u64>::new(3)?;
    for part in 0..PARTS {
        if part == DEAD.start {
            redis.kill()?;
        }
        if part == DEAD.end {
            redis.restart().await?;
        }
        // A swap in the middle of the traffic of every other part.
        let next = (part % 2 == 1).then(|| generations.next()).flatten();
        let swap = async {
            if let Some((name, bytes)) = next {
                town.publish(&name, &bytes).await?;
                reader.refresh(&town.deadline(60_000)).await?;
                swapped += 1;
            }
            anyhow::Ok(())
        };
        let each = size.requests / PARTS / CONCURRENCY;
        let work = (0..CONCURRENCY).map(|worker| {
            let (town, tiered, router, seen) = (
                Arc::clone(&town),
                tiered.clone(),
                router.clone(),
                Arc::clone(&seen),
            );
            let task = tasks.spawn(async move {
                let random = Random(part * CONCURRENCY + worker + 1);
                let client = Client {
                    size,
                    town,
                    tiered,
                    router,
                    random,
                    seen,
                };
                client.ask(each).await
            });
            async move { anyhow::Ok(task.await??) }
        });
        let (parts, ()) = tokio::try_join!(try_join_all(work), swap)?;
        for part in parts {
            micros.add(part)?;
        }
        outbox.flush(&town.deadline(5_000)).await;
        memory.push(resident_bytes());
        let shared_hits = seen.hits(TierOutcome::SharedHit);
        if part + 1 == DEAD.end {
            shared_hits_after = shared_hits;
        }
    }
    let back = seen.hits(TierOutcome::SharedHit) - shared_hits_after;
    let took = town.clock.now().mono.saturating_sub(started);
    let drained = running.drain(Duration::from_secs(10)).await;
    tell(report, size, &seen, &memory, took, (swapped, back));
    report.check(
        "tasks, loads in flight after the run",
        format!("{}, {}", running.running(), tiered.in_flight()),
        "0, 0",
        drained && tiered.in_flight() == 0,
    );
    let at = |share: f64| micros.value_at_quantile(share);
    report.tell(
        "latency of the tiers, p50 · p99 · p99.9 · highest, 64 at once on 2 threads",
        format!(
            "{} · {} · {} · {} µs",
            at(0.5),
            at(0.99),
            at(0.999),
            micros.max()
        ),
    );
    Ok(())
}

fn tell(
    report: &mut Report,
    size: Size,
    seen: &Seen,
    memory: &[u64],
    took: Duration,
    (swapped, back): (u64, u64),
) {
    let errors = seen.errors.load(Ordering::Relaxed);
    let routed = seen.routed.load(Ordering::Relaxed);
    let asked: u64 = TierOutcome::ALL.iter().map(|one| seen.hits(*one)).sum();
    let answered = routed + asked;
    let keys = seen.askers();
    let wanted = (size.strangers * 9 / 10) as u64;
    let bound = 3.0 / answered.max(1) as f64 * 100.0;
    report.check(
        "requests, errors (a refusal or an empty answer)",
        format!("{answered}, {errors}; 95 % bound on the rate {bound:.6} %"),
        &format!("{}, 0", size.requests),
        errors == 0 && answered >= size.requests * 99 / 100,
    );
    report.check(
        "distinct keys",
        keys.to_string(),
        &format!("≥ {wanted}"),
        keys >= wanted,
    );
    let (foreign, owned) = (
        seen.foreign.load(Ordering::Relaxed),
        seen.owned.load(Ordering::Relaxed),
    );
    report.check(
        "slates of one user that another was given, of all users' slates",
        format!("{foreign} of {owned}"),
        "0",
        foreign == 0 && owned > 0,
    );
    report.check(
        "generation swaps under load",
        swapped.to_string(),
        "10",
        swapped >= size.swaps,
    );
    let mib = |bytes: &u64| bytes >> 20;
    let half = memory.get(memory.len() / 2..).unwrap_or_default();
    let (low, high) = (half.iter().min().copied(), half.iter().max().copied());
    let growth = match (half.first(), half.last()) {
        (Some(first), Some(last)) if *first > 0 => *last as f64 / *first as f64,
        _ => f64::NAN,
    };
    report.check(
        "resident memory over the second half, first to last",
        format!(
            "{growth:.3} × ({} to {} MiB)",
            low.map_or(0, |low| mib(&low)),
            high.map_or(0, |high| mib(&high))
        ),
        "≤ 1.05 ×",
        growth <= 1.05,
    );
    report.check(
        "answers from Redis after its death and return",
        back.to_string(),
        "> 0",
        back > 0,
    );
    for outcome in TierOutcome::ALL {
        let count = seen.hits(outcome);
        let share = count as f64 / asked.max(1) as f64 * 100.0;
        report.tell(
            &format!("answers `{}`", outcome.as_str()),
            format!("{count} ({share:.2} %)"),
        );
    }
    report.tell("answers through the router", routed.to_string());
    report.tell("wall time", format!("{:.0} s", took.as_secs_f64()));
    report.keep("resident_bytes", memory);
    report.note(format!("{size:?}: 45 % of the requests ask for users with a history (Zipf-like), 35 % for ids of nobody, 20 % for slates for many; one in {ROUTED_ONE_IN} goes through the router. Redis (1 GiB, LRU) is killed after 8 of {PARTS} parts and is back, empty, after 12. The tier in the process is bounded at {} MiB, so that it evicts.", size.tier_mib));
}

/// One of those who ask.
struct Client {
    size: Size,
    town: Arc<Town>,
    tiered: store::Tiered,
    router: Router,
    random: Random,
    seen: Arc<Seen>,
}

impl Client {
    async fn ask(mut self, requests: u64) -> anyhow::Result<Histogram<u64>> {
        let mut micros = Histogram::<u64>::new(3)?;
        for number in 0..requests {
            let (asker, ask, path) = self.question();
            self.seen.ask(asker);
            if number % ROUTED_ONE_IN == 0 {
                self.route(asker, &path).await?;
                continue;
            }
            let started = self.town.clock.now().mono;
            let answer = self.tiered.slate(ask, &self.town.deadline(1_000)).await;
            let took = self.town.clock.now().mono.saturating_sub(started);
            micros.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1))?;
            let slate = &answer.slate;
            if slate.items.is_empty() {
                self.seen.errors.fetch_add(1, Ordering::Relaxed);
            }
            self.seen.answer(asker, slate.rung, &slate.slate_id);
            self.seen.count(answer.outcome);
        }
        Ok(micros)
    }

    fn question(&mut self) -> (Asker, Ask, String) {
        let Size {
            users, strangers, ..
        } = self.size;
        let kind = self.random.unit();
        let asker = |number, has_history| Asker {
            number,
            has_history,
        };
        if kind < 0.8 {
            let has_history = kind < 0.45;
            let number = if has_history {
                // Cubing prefers few of them, about as Zipf's law does.
                let skewed = self.random.unit().powi(3);
                ((skewed * users as f64) as usize).min(users.saturating_sub(1))
            } else {
                users + self.random.below(strangers)
            };
            let user = world::user(number);
            let path = format!("/recommend?user_id={}", user.as_str());
            let ask = Ask::new(Who::User(user), Kind::Recommend);
            (asker(number, has_history), ask, path)
        } else {
            let number = self.random.below(SCENES);
            let scene = scene(number);
            let path = format!("/recommend?scene={scene}");
            let ask = Ask {
                scene,
                ..Ask::new(Who::Anyone, Kind::Recommend)
            };
            (asker(users + strangers + number, false), ask, path)
        }
    }

    async fn route(&self, asker: Asker, path: &str) -> anyhow::Result<()> {
        let request = Request::get(path).body(Body::empty())?;
        let response = self.router.clone().oneshot(request).await?;
        let fine = response.status() == 200;
        let body = response.into_body().collect().await?.to_bytes();
        match serde_json::from_slice::<Page>(&body) {
            Ok(page) if fine && body.len() >= 500 => {
                let rung = match page.rung.as_str() {
                    "personal" => Rung::Personal,
                    "stale" => Rung::Stale,
                    _ => Rung::Trending,
                };
                self.seen.answer(asker, rung, &page.recommendation_id);
            }
            Ok(_) | Err(_) => {
                self.seen.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.seen.routed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// What is looked at of a page.
#[derive(serde::Deserialize)]
struct Page {
    recommendation_id: String,
    rung: String,
}
