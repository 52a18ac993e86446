//! Round trips to Redis and reads of the tables, counted by those who are asked.

use std::sync::atomic::Ordering;

use guard::Tasks;
use store::{Ask, Kind, Who};
use tokio::runtime::Builder;

use crate::measure::Report;
use crate::redis::Redis;
use crate::town::{Process, Town};
use crate::world;

const VIDEOS: usize = 2_000;
/// Users, each of whom asks once per step.
const USERS: usize = 1_000;

/// Row 6.
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
    let (redis, tasks) = (Redis::start().await?, Tasks::new());
    let mut processes = Vec::new();
    for _ in 0..2 {
        let shared = redis.shared(&town.clock, &tasks).await?;
        processes.push(town.process(Some(shared), 256).await?);
    }
    let [first, second] = processes.as_slice() else {
        anyhow::bail!("two processes");
    };
    for (what, process, target) in [
        ("full miss", first, [1, 0, 1, 1]),
        ("local hit", first, [0, 0, 0, 0]),
        ("local miss that the shared tier has", second, [1, 0, 0, 0]),
    ] {
        let found = step(&town, &redis, process, |number| {
            Who::User(world::user(number))
        })
        .await?;
        check(report, &format!("a user's slate, {what}"), found, target);
    }
    let everybody = |number: usize| Ask {
        scene: smol_str::format_smolstr!("scene{number}"),
        ..Ask::new(Who::Anyone, Kind::Recommend)
    };
    for (what, process, target) in [
        ("full miss", first, [1, 1, 1, 0]),
        ("local hit", first, [0, 0, 0, 0]),
        ("local miss that the shared tier has", second, [1, 0, 0, 0]),
    ] {
        let found = counted(&town, &redis, process, everybody).await?;
        check(report, &format!("a slate for many, {what}"), found, target);
    }
    let row = town.tables.bytes_max.load(Ordering::Relaxed);
    let units = 0.5 * (row as f64 / 4_096.0).ceil();
    report.check(
        "DynamoDB read units per recommendation that reads a user (one item, eventually consistent)",
        format!("{units:.1} for the largest row read, {row} bytes"),
        "≤ 0.5",
        units <= 0.5,
    );
    report.note(format!("{USERS} questions per row, one after the other; counts are Redis' own (`INFO commandstats`) and those of the table adapter, not timings."));
    report.note("A full miss of a slate for many takes a lease, so that of several processes one makes it; users' slates do so when they are asked for all the time.");
    Ok(())
}

/// Reads, leases, writes of Redis and reads of the tables.
type Counts = [u64; 4];

async fn step(
    town: &Town,
    redis: &Redis,
    process: &Process,
    who: impl Fn(usize) -> Who,
) -> anyhow::Result<Counts> {
    counted(town, redis, process, |number| {
        Ask::new(who(number), Kind::Recommend)
    })
    .await
}

async fn counted(
    town: &Town,
    redis: &Redis,
    process: &Process,
    ask: impl Fn(usize) -> Ask,
) -> anyhow::Result<Counts> {
    let counts = || -> anyhow::Result<Counts> {
        // A script that reads counts as a read only; one that writes calls SET.
        let (scripts, reads) = (redis.calls("eval")?, redis.calls("mget")?);
        let leases = redis.calls("set")?;
        let tables = town.tables.loads.load(Ordering::Relaxed);
        Ok([reads, leases, scripts, tables])
    };
    let before = counts()?;
    for number in 0..USERS {
        let answer = process
            .tiered
            .slate(ask(number), &town.deadline(5_000))
            .await;
        anyhow::ensure!(
            answer.slate.degraded.is_empty(),
            "{:?}",
            answer.slate.degraded
        );
    }
    process
        .tasks
        .drain(std::time::Duration::from_secs(10))
        .await;
    let [reads, sets, scripts, tables] = counts()?;
    let [reads_before, sets_before, scripts_before, tables_before] = before;
    let scripts = scripts - scripts_before;
    // Each write is a script that sets the slate, and for a user the version, too.
    let inside = match ask(0).who {
        Who::User(_) => 2,
        Who::Cohort(_) | Who::Anyone => 1,
    };
    let leases = (sets - sets_before).saturating_sub(scripts * inside);
    Ok([
        reads - reads_before,
        leases,
        scripts,
        tables - tables_before,
    ])
}

fn check(report: &mut Report, what: &str, found: Counts, target: Counts) {
    let shown = |[reads, leases, writes, tables]: [f64; 4]| {
        format!("{reads} reads, {leases} leases, {writes} writes; {tables} table reads")
    };
    let each = found.map(|count| count as f64 / USERS as f64);
    let most = target.map(|count| count as f64);
    let met = each.iter().zip(most).all(|(each, most)| *each <= most);
    report.check(what, shown(each), &format!("≤ {}", shown(most)), met);
    report.keep(what, found);
}
