//! Round trips to Redis and reads of the tables, counted by those who are asked.

use std::sync::atomic::Ordering;

use guard::Tasks;
use store::{Ask, Kind, TierOutcome, Who};
use tokio::runtime::Builder;

use crate::measure::Report;
use crate::redis::Redis;
use crate::town::{Process, Town, scene};
use crate::world;

const VIDEOS: usize = 2_000;
/// Users, each of whom asks once per step; as many scenes for slates for many.
const USERS: usize = 1_000;
/// Questions between two looks at the counters.
const PART: usize = 100;

/// Row 6.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measured(report))
}

async fn measured(report: &mut Report) -> anyhow::Result<()> {
    let (bytes, diaries) = world::build("bench.1", VIDEOS, USERS)?;
    let town = Town::new(&diaries).await?.with_scenes(USERS);
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
    let user = |number| Ask::new(Who::User(world::user(number)), Kind::Recommend);
    let everybody = |number| Ask {
        scene: scene(number),
        ..Ask::new(Who::Anyone, Kind::Recommend)
    };
    type Question<'a> = (&'a str, &'a dyn Fn(usize) -> Ask, Counts);
    let questions: [Question<'_>; 2] = [
        ("a user's slate", &user, [1, 0, 1, 1]),
        ("a slate for many", &everybody, [1, 1, 1, 0]),
    ];
    for (whose, ask, whole) in questions {
        let mut steps = [
            ("full miss", first, TierOutcome::Origin, whole),
            ("local hit", first, TierOutcome::LocalHit, [0; 4]),
            (
                "local miss that the shared tier has",
                second,
                TierOutcome::SharedHit,
                [1, 0, 0, 0],
            ),
        ]
        .map(|step| (step, [0; 4]));
        // In parts, each through all steps: a user's slate is a hit for no longer than its soft life.
        for from in (0..USERS).step_by(PART) {
            for ((_, process, due, _), sum) in &mut steps {
                let asks = (from..from + PART).map(ask);
                let found = counted(&town, &redis, process, asks, *due).await?;
                sum.iter_mut().zip(found).for_each(|(sum, one)| *sum += one);
            }
        }
        for ((what, _, _, target), found) in steps {
            check(report, &format!("{whose}, {what}"), found, target);
        }
    }
    let row = town.tables.bytes_max.load(Ordering::Relaxed);
    let units = 0.5 * (row as f64 / 4_096.0).ceil();
    report.check(
        "DynamoDB read units per recommendation that reads a user (one item, eventually consistent)",
        format!("{units:.1} for the largest row read, {row} bytes"),
        "≤ 0.5",
        units <= 0.5,
    );
    report.note(format!("{USERS} questions per row, one after the other, each answered from where the row says; counts are Redis' own (`INFO commandstats`) and those of the table adapter, not timings."));
    report.note("A full miss of a slate for many takes a lease, so that of several processes one makes it; users' slates do so when they are asked for all the time.");
    Ok(())
}

/// Reads, leases, writes of Redis and reads of the tables.
type Counts = [u64; 4];

/// Asks all of these and counts what that took; each answer has to come from where it is `due`.
async fn counted(
    town: &Town,
    redis: &Redis,
    process: &Process,
    asks: impl Iterator<Item = Ask>,
    due: TierOutcome,
) -> anyhow::Result<Counts> {
    let counts = || -> anyhow::Result<Counts> {
        // A script that reads counts as a read only; one that writes calls SET.
        let (scripts, reads) = (redis.calls("eval")?, redis.calls("mget")?);
        let leases = redis.calls("set")?;
        let tables = town.tables.loads.load(Ordering::Relaxed);
        Ok([reads, leases, scripts, tables])
    };
    let (before, mut inside) = (counts()?, 0);
    for ask in asks {
        // Each write is a script that sets the slate, and for a user the version, too.
        inside = 1 + u64::from(ask.user().is_some());
        let answer = process.tiered.slate(ask, &town.deadline(5_000)).await;
        let (outcome, causes) = (answer.outcome, &answer.slate.degraded);
        anyhow::ensure!(
            outcome == due && causes.is_empty(),
            "{outcome:?} instead of {due:?}, {causes:?}"
        );
    }
    process
        .tasks
        .drain(std::time::Duration::from_secs(10))
        .await;
    let [reads, sets, scripts, tables] = counts()?;
    let [reads_before, sets_before, scripts_before, tables_before] = before;
    let scripts = scripts - scripts_before;
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
