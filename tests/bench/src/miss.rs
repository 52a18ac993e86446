//! Making a slate that nobody has: the pipeline on the index, and the whole way of a miss.

use std::collections::HashSet;
use std::sync::Arc;

use engine::{CategoriesMatch, EngineTuning, Index, Pipeline, Query, Recipe, UserState};
use futures_util::FutureExt;
use guard::Tasks;
use hdrhistogram::Histogram;
use store::{Ask, Kind, TierOutcome, Who, apply_event};
use tokio::runtime::Builder;

use crate::measure::{Report, cpu, nanos};
use crate::redis::Redis;
use crate::town::{Town, scene};
use crate::world;

const VIDEOS: usize = 20_000;
const USERS: usize = 5_000;
/// Rounds over all users; the first warms up.
const ROUNDS: usize = 4;

/// Row 3.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let (bytes, diaries) = world::build("bench.1", VIDEOS, USERS)?;
    let index = Arc::new(Index::open(Arc::new(bytes.clone()))?);
    pipeline(report, &index, &diaries)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let town = Town::new(&diaries).await?.with_scenes(ROUNDS);
        town.publish("bench.1", &bytes).await?;
        whole(
            report,
            &town,
            None,
            "whole miss without a shared tier: user state, pipeline, local tier",
        )
        .await?;
        let redis = Redis::start().await?;
        whole(
            report,
            &town,
            Some(&redis),
            "whole miss with Redis on loopback: its read, user state, pipeline, both tiers",
        )
        .await?;
        anyhow::Ok(())
    })?;
    report.note(format!(
        "A made town: {VIDEOS} videos, {USERS} users with 40 watched videos each, seeded. The ranker is the \
         built-in prior: the town's generation carries no trained model."
    ));
    report.note("One thread; per core means per second of CPU time of that thread. The engine's latencies are wall time, so whatever else ran is in their tail.");
    Ok(())
}

/// Runs the pipeline for every user, on this thread.
fn pipeline(
    report: &mut Report,
    index: &Arc<Index>,
    diaries: &[Vec<engine::Event>],
) -> anyhow::Result<()> {
    let (clock, pipeline) = (ops::RealClock::new(), Pipeline::standard());
    let shared: Arc<dyn guard::Clock> = Arc::new(clock);
    let states: Vec<Arc<UserState>> = diaries
        .iter()
        .map(|diary| {
            let mut state = UserState::default();
            diary.iter().for_each(|event| {
                apply_event(&mut state, event);
            });
            Arc::new(state)
        })
        .collect();
    let (tuning, hidden) = (Arc::<EngineTuning>::default(), Arc::<HashSet<_>>::default());
    let mut micros = Histogram::<u64>::new(3)?;
    let (mut slates, mut candidates, mut spent) = (0_u64, 0_u64, std::time::Duration::ZERO);
    for round in 0..ROUNDS {
        if round == 1 {
            (slates, candidates) = (0, 0);
            micros.reset();
            spent = cpu::this_thread();
        }
        for state in &states {
            let query = Query {
                index: Arc::clone(index),
                recipe: Recipe::Personal,
                user: Some(Arc::clone(state)),
                session: Vec::new(),
                scene: "home".into(),
                market: "".into(),
                categories: Vec::new(),
                categories_match: CategoriesMatch::Any,
                exclude: Vec::new(),
                hidden: Arc::clone(&hidden),
                wanted: 200,
                tuning: Arc::clone(&tuning),
                deadline: guard::Deadline::after(
                    Arc::clone(&shared),
                    std::time::Duration::from_secs(5),
                ),
                now_ms: world::NOW_MS,
                seed: slates,
            };
            let start = guard::Clock::now(&clock).mono;
            let ranked = pipeline.run(&query).now_or_never();
            let took = guard::Clock::now(&clock).mono.saturating_sub(start);
            micros.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1))?;
            let ranked =
                ranked.ok_or_else(|| anyhow::anyhow!("the built-in sources are ready at once"))?;
            slates += u64::from(ranked.items.len() == 200);
            let merged = ranked.stages.iter().find(|stage| stage.name == "merge");
            candidates += merged.map_or(0, |stage| stage.output as u64);
        }
    }
    let spent = cpu::this_thread().saturating_sub(spent);
    let per_second = slates as f64 / spent.as_secs_f64();
    report.check(
        "slates of 200 per second and core, pipeline on the index",
        format!(
            "{per_second:.0}/s, {:.0} candidates each",
            candidates as f64 / slates.max(1) as f64
        ),
        "≥ 10,000/s",
        per_second >= 10_000.0,
    );
    let at = |share: f64| micros.value_at_quantile(share);
    report.check(
        "inside the engine, p50 · p90 · p99 · p99.9",
        format!(
            "{} · {} · {} · {} µs",
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999)
        ),
        "p99 ≤ 2 ms",
        at(0.99) <= 2_000,
    );
    report.keep(
        "engine_micros",
        [at(0.5), at(0.9), at(0.99), at(0.999), micros.max()],
    );
    Ok(())
}

/// Asks for every user's slate once, in processes that have none.
async fn whole(
    report: &mut Report,
    town: &Town,
    redis: Option<&Redis>,
    what: &str,
) -> anyhow::Result<()> {
    let mut micros = Histogram::<u64>::new(3)?;
    let (mut asked, mut late, mut spent) = (0_u32, 0, std::time::Duration::ZERO);
    for round in 0..ROUNDS {
        let tasks = Tasks::new();
        let shared = match redis {
            Some(redis) => Some(redis.shared(&town.clock, &tasks).await?),
            None => None,
        };
        let process = town.process(shared, 512).await?;
        let before = cpu::this_thread();
        for number in 0..USERS {
            // Every round asks another question, so that no tier has it.
            let mut ask = Ask::new(Who::User(world::user(number)), Kind::Recommend);
            ask.scene = scene(round);
            let start = town.clock.now().mono;
            let answer = process.tiered.slate(ask, &town.deadline(5_000)).await;
            let took = town.clock.now().mono.saturating_sub(start);
            if answer.outcome != TierOutcome::Origin {
                // A machine that stands still for long makes a load overrun; told, not hidden.
                late += 1;
                anyhow::ensure!(late * 100 <= USERS, "{:?}", answer.slate.degraded);
            } else if round > 0 {
                micros.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1))?;
                asked += 1;
            }
        }
        process
            .tasks
            .drain(std::time::Duration::from_secs(10))
            .await;
        if round > 0 {
            spent += cpu::this_thread().saturating_sub(before);
        }
    }
    let cost_us = nanos(spent) / f64::from(asked) / 1e3;
    let at = |share: f64| micros.value_at_quantile(share);
    report.tell(
        what,
        format!(
            "{:.0}/s and core ({cost_us:.0} µs of CPU); p50 {} · p99 {} µs; {late} loads overran",
            1e6 / cost_us,
            at(0.5),
            at(0.99)
        ),
    );
    Ok(())
}
