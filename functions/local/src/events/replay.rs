//! `reelway events replay`: what arrived on a day, applied again.
//!
//! ```text
//! shard ─► records of the day ─► up to the consumer's offset ─► consume
//!                            └─► behind it: left to the pump, counted
//! ```
//!
//! A consumer's rows remember the last position they applied and skip everything at or below it. So a
//! replay never passes the offset: what lies between the offset and a later day would count as
//! applied, and be lost. What was applied before changes nothing.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use guard::Deadline;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use store::counters::KEPT_S;
use store::intake::Intake;
use store::{Control, Position, Stream, StreamRecord};

use crate::cli::{self, Replayed};
use crate::output::Output;
use crate::pump::{self, Route};
use crate::service::Service;
use crate::settings::Settings;

/// How long a replay may take.
const BUDGET: Duration = Duration::from_secs(6 * 3_600);

/// What a replay did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Report {
    records: u64,
    events: u64,
    batches: u64,
    /// Records of the day that the consumer has not come to yet.
    left: u64,
    /// Records of the day in shards of which nobody knows how far the consumer is: not applied.
    unknown: u64,
}

/// Applies a day again.
pub(super) async fn run(
    settings: &Settings,
    args: &cli::Replay,
    out: Output,
) -> anyhow::Result<()> {
    let day = day_ms(args.date)?;
    let service = Service::open(settings).await?;
    let route = match args.to {
        Replayed::Clickstream => {
            still_remembered(&day, service.clock.now().wall_ms)?;
            Route::prompt(
                clickstream::Clickstream::NAME,
                Arc::new(service.clickstream()),
            )
        }
        Replayed::Archive => Route::wide(archive::Archive::NAME, Arc::new(service.archive())),
    };
    let deadline = service.deadline(BUDGET);
    let replay = Replay {
        stream: &*service.backend.ports.stream,
        control: &service.control,
        route,
        day,
    };
    let report = replay.run(&deadline).await?;
    if report.records + report.left + report.unknown == 0 {
        return Err(anyhow::anyhow!(
            "the log has nothing that arrived on {}",
            args.date
        ))
        .context("nothing was replayed");
    }
    let mut text = format!(
        "{} events of {} records applied again in {} batches",
        report.events, report.records, report.batches
    );
    if report.left > 0 {
        text.push_str(&format!(
            "; {} records are left to {}, which has not come to them yet",
            report.left, replay.route.name
        ));
    }
    if report.unknown > 0 {
        text.push_str(&format!(
            "; {} records are not applied: how far {name} is in their shards is not known here. \
             `reelway serve` applies them and keeps it; what Lambda consumes, Lambda alone knows",
            report.unknown,
            name = replay.route.name
        ));
    }
    Ok(out.result(&report, &text)?)
}

struct Replay<'a> {
    stream: &'a dyn Stream,
    control: &'a Control,
    /// Who gets the records, in batches as large as the pump's.
    route: Route,
    /// When they arrived, Unix time in milliseconds.
    day: Range<i64>,
}

impl Replay<'_> {
    async fn run(&self, deadline: &Deadline) -> anyhow::Result<Report> {
        let mut report = Report::default();
        for shard in self.stream.shards(deadline).await? {
            let name = self.route.name;
            let applied = pump::offset(self.control, name, &shard, deadline).await?;
            let mut after: Option<String> = None;
            loop {
                let limit = self.route.records_max;
                let read = self.stream.read(&shard, after.as_deref(), limit, deadline);
                let mut records = read.await?;
                let Some(last) = records.last() else { break };
                after = Some(last.position.sequence.clone());
                records.retain(|record| self.day.contains(&record.arrived_ms));
                let known = records.partition_point(|record| {
                    let sequence = &record.position.sequence;
                    let applied = applied.as_deref().unwrap_or_default();
                    Position::compare_sequences(sequence, applied).is_le()
                });
                let beyond = records.split_off(known).len() as u64;
                match applied {
                    Some(_) => report.left += beyond,
                    None => report.unknown += beyond,
                }
                self.apply(records, &mut report, deadline).await?;
            }
        }
        Ok(report)
    }

    async fn apply(
        &self,
        records: Vec<StreamRecord>,
        report: &mut Report,
        deadline: &Deadline,
    ) -> anyhow::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        report.batches += 1;
        report.records += records.len() as u64;
        report.events += Intake::decode(&records).events.len() as u64;
        let outcome = self.route.consumer.consume(records, deadline).await;
        if let Some(from) = outcome.failed_from {
            bail!(
                "a batch was not applied, from {} of {}",
                from.sequence,
                from.shard
            );
        }
        Ok(())
    }
}

fn day_ms(date: Date) -> anyhow::Result<Range<i64>> {
    let begins = |date: Date| anyhow::Ok(date.to_zoned(TimeZone::UTC)?.timestamp());
    Ok(begins(date)?.as_millisecond()..begins(date.tomorrow()?)?.as_millisecond())
}

/// What a row has applied is known for as long as the row is kept after its last write; without it
/// everything would be counted anew.
fn still_remembered(day: &Range<i64>, now_ms: i64) -> anyhow::Result<()> {
    // The last of the day may be applied when the budget is all but spent.
    let budget_ms = i64::try_from(BUDGET.as_millis())?;
    let oldest_ms = now_ms.saturating_add(budget_ms) - KEPT_S * 1_000;
    let oldest = Timestamp::from_millisecond(oldest_ms)?;
    ensure!(
        day.start >= oldest_ms,
        "that day is too long ago: what was counted before {oldest} is not remembered any more and \
         would be counted twice"
    );
    Ok(())
}

#[cfg(test)]
mod tests;
