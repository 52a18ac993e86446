//! Ten million requests over a million keys, ten generations, a dead Redis: nothing grows, nothing
//! fails, nobody notices.
//!
//! ```text
//! client ─ 64 at once ─┬─ the tiers ──────┐
//!                      └─ the router ─────┴─► seen ─► shown
//! meanwhile ─ swaps of the generation; Redis killed, back and used again
//! ```

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use futures_util::future::try_join_all;
use guard::Tasks;
use hdrhistogram::Histogram;
use store::{Ask, Kind, TierOutcome, Tiered, Who};
use tokio::runtime::Builder;

use crate::measure::machine::resident_bytes;
use crate::measure::report::Report;
use crate::redis::Redis;
use crate::town::{Process, Town};
use crate::world;

mod client;
mod seen;
mod shown;

use client::{Client, Crowd};
use seen::Seen;
use shown::Shown;

/// Scenes that slates for many are asked for in.
const SCENES: usize = 50;

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Requests in all.
    pub requests: u64,
    /// One request in so many is a newcomer's first, for whom a slate has to be made.
    pub newcomer_one_in: u64,
    /// Users with a long history, who ask again and again.
    pub users: usize,
    /// Ids of nobody that are asked for.
    pub strangers: usize,
    /// Videos of a generation.
    pub videos: usize,
    /// Generation swaps.
    pub swaps: usize,
    /// What the tier in the process may weigh, in MiB.
    pub tier_mib: u64,
}

/// The run that the page shows.
const WHOLE: Size = Size {
    requests: 10_000_000,
    newcomer_one_in: 10,
    users: 4_000,
    strangers: 200_000,
    videos: 5_000,
    swaps: 10,
    tier_mib: 64,
};
/// Requests under way at once.
const CONCURRENCY: u64 = 64;
/// Parts of a run after which memory and counters are looked at.
const PARTS: usize = 20;
/// Redis dies in the first of these parts, and is back in the one after the last.
const DEAD: Range<usize> = 8..12;
/// What a newcomer did so far.
const HISTORY: usize = 5;
/// How long into a part Redis dies or comes back: while it is asked.
const INTO_PART: Duration = Duration::from_millis(100);
/// How long it is waited for that Redis is used again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The soak.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    report.promise();
    soak(report, WHOLE)
}

/// A soak of this size.
///
/// # Errors
/// When the town cannot be set up, or Redis not be started.
pub fn soak(report: &mut Report, size: Size) -> anyhow::Result<()> {
    ops::metric::install();
    let mut generations = Vec::new();
    for swap in 0..=size.swaps {
        let name = format!("bench.{swap}");
        let (bytes, _) = world::build(&name, size.videos, size.users)?;
        generations.push((name, bytes));
    }
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(measured(report, size, &generations))
}

async fn measured(
    report: &mut Report,
    size: Size,
    generations: &[(String, Vec<u8>)],
) -> anyhow::Result<()> {
    let town = town(size).await?;
    let mut generations = generations.iter();
    if let Some((name, bytes)) = generations.next() {
        town.publish(name, bytes).await?;
    }
    let (mut redis, tasks) = (Redis::start().await?, Tasks::new());
    tasks.spawn(ops::metric::upkeep());
    let shared = redis.shared(&town.clock, &tasks).await?;
    let process = town.process(Some(shared), size.tier_mib).await?;
    let other = redis.shared(&town.clock, &tasks).await?;
    let other = town.process(Some(other), 1).await?;
    let (tiered, running) = (process.tiered.clone(), process.tasks.clone());
    let (reader, outbox) = (Arc::clone(&process.generations), process.outbox());
    let crowd = Arc::new(Crowd {
        size,
        seen: Seen::new(size.users + newcomers(size).len(), PARTS),
        router: Process::serve(process, Router::new()),
        tiered: tiered.clone(),
        newcomers: AtomicUsize::new(0),
        town,
    });
    let (town, seen) = (&crowd.town, &crowd.seen);
    let mut micros = Histogram::<u64>::new(3)?;
    let (started, mut shown) = (town.clock.now().mono, Shown::default());
    for part in 0..PARTS {
        // A swap in the middle of the traffic of every other part.
        let next = (part % 2 == 1).then(|| generations.next()).flatten();
        let meanwhile = async {
            if let Some((name, bytes)) = next {
                town.publish(name, bytes).await?;
                reader.refresh(&town.deadline(60_000)).await?;
                shown.swapped += 1;
            }
            if part == DEAD.start {
                tokio::time::sleep(INTO_PART).await;
                redis.kill()?;
            }
            if part == DEAD.end {
                tokio::time::sleep(INTO_PART).await;
                redis.restart().await?;
                shown.back = Some(found_again(&crowd, &other.tiered).await);
            }
            anyhow::Ok(())
        };
        let (parts, ()) = tokio::try_join!(work(&crowd, &tasks, part), meanwhile)?;
        for part in parts {
            micros.add(part)?;
        }
        outbox.flush(&town.deadline(5_000)).await;
        shown.memory.push(resident_bytes());
        shown.lapses.push(lapses());
        shown.found.push(seen.hits(TierOutcome::SharedHit));
    }
    shown.took = town.clock.now().mono.saturating_sub(started);
    let drained = running.drain(Duration::from_secs(10)).await;
    shown.tell(report, size, seen);
    report.check(
        "tasks, loads in flight after the run",
        format!("{}, {}", running.running(), tiered.in_flight()),
        "0, 0",
        drained && tiered.in_flight() == 0,
    );
    let [p50, p99, most] = [0.5, 0.99, 0.999].map(|share| micros.value_at_quantile(share));
    report.tell(
        "latency of the tiers, p50 · p99 · p99.9 · highest, 64 at once on 2 threads",
        format!("{p50} · {p99} · {most} · {} µs", micros.max()),
    );
    Ok(())
}

async fn town(size: Size) -> anyhow::Result<Town> {
    let diaries = world::diaries(size.videos, size.users);
    let brief = |diary: &Vec<engine::Event>| diary.iter().take(HISTORY).cloned().collect();
    let histories: Vec<Vec<engine::Event>> = diaries.iter().map(brief).collect();
    let town = Town::new(&diaries).await?.with_scenes(SCENES).patient();
    town.with_newcomers(newcomers(size), &histories).await
}

/// The numbers of those who may turn up.
fn newcomers(size: Size) -> Range<usize> {
    let most = usize::try_from(size.requests).unwrap_or(usize::MAX);
    size.users..size.users.saturating_add(most)
}

/// The requests of one part.
async fn work(
    crowd: &Arc<Crowd>,
    tasks: &Tasks,
    part: usize,
) -> anyhow::Result<Vec<Histogram<u64>>> {
    let each = crowd.size.requests.div_ceil(PARTS as u64 * CONCURRENCY);
    let work = (0..CONCURRENCY).map(|worker| {
        let client = Client::new(Arc::clone(crowd), part, worker);
        let task = tasks.spawn(client.ask(each));
        async move { task.await? }
    });
    try_join_all(work).await
}

/// Asks one process for newcomers until another finds in Redis what it made; how long that took.
async fn found_again(crowd: &Crowd, other: &Tiered) -> Duration {
    let clock = &crowd.town.clock;
    let began = clock.now().mono;
    loop {
        let ask = Ask::new(Who::User(world::user(crowd.newcomer())), Kind::Recommend);
        let patience = crowd.town.deadline(10_000);
        crowd.tiered.slate(ask.clone(), &patience).await;
        // Its write goes on after the answer.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let found = other.slate(ask, &patience).await.outcome == TierOutcome::SharedHit;
        let took = clock.now().mono.saturating_sub(began);
        if found || took > PATIENCE {
            return took;
        }
    }
}

/// Reads of Redis that came to nothing, by the metric.
fn lapses() -> u64 {
    let text = ops::metric::metrics_text();
    let lapsed =
        |line: &&str| line.starts_with(ops::metric::TIER_READS) && line.contains("\"redis_");
    let counts = text.lines().filter(lapsed).filter_map(|line| {
        let count = line.rsplit(' ').next()?;
        count.parse::<u64>().ok()
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_requests_survive_swaps_and_a_dead_redis() {
        let mut report = Report::begin("soak", "a short one");
        report.promise();
        let size = Size {
            requests: 100_000,
            // A slate made by a debug build takes long.
            newcomer_one_in: 500,
            users: 20,
            strangers: 500,
            videos: 120,
            swaps: 10,
            tier_mib: 4,
        };
        soak(&mut report, size).unwrap();
        println!("{}", report.table());
        // Its parts last less than a second, in which caches still fill and Redis comes back, and its
        // few videos do not fill every slate.
        let too_short_for = |what: &&str| {
            what.starts_with("resident memory")
                || what.starts_with("reads of Redis that came to nothing")
                || what.starts_with("answers that name something given up")
        };
        let broken = report.broken().filter(|what| !too_short_for(what));
        assert_eq!(broken.collect::<Vec<_>>(), Vec::<&str>::new());
        assert!(lapses() > 0, "Redis was away, and the metric says so");
    }
}
