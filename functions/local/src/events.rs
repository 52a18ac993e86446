//! `reelway events`: what is in the log, and applying it again.
//!
//! ```text
//! tail ───┐                     the log as it lies there, also while a server writes to it
//! stats ──┴► Log ─► shards ─► records ─► events
//! replay ──► Service ─► the consumers, up to where they are
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use embedded::EmbeddedStream;
use engine::{Event, EventKind};
use guard::{Clock, Deadline};
use ops::RealClock;
use serde::Serialize;
use store::intake::Intake;
use store::{Control, Stream, StreamRecord};

use crate::backend::Backend;
use crate::cli;
use crate::output::Output;
use crate::pump;
use crate::settings::{Settings, Storage};

mod replay;

/// How long one call of the log may take.
const CALL_BUDGET: Duration = Duration::from_secs(60);
/// Records read at a time.
const RECORDS_MAX: usize = 1_000;
/// How often `tail --follow` looks again.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);

/// Runs one of the commands.
///
/// # Errors
/// When there is no log, or it cannot be read; for `replay` also when a server has the folder or a
/// consumer fails.
pub async fn run(settings: &Settings, command: &cli::Events, out: Output) -> anyhow::Result<()> {
    match command {
        cli::Events::Tail(args) => tail(settings, args).await,
        cli::Events::Stats => stats(settings, out).await,
        cli::Events::Replay(args) => replay::run(settings, args, out).await,
    }
}

/// The log, and the consumers' offsets where nobody else has the tables open.
struct Log {
    stream: Arc<dyn Stream>,
    /// The same, where it lies on this machine.
    embedded: Option<EmbeddedStream>,
    control: Option<Control>,
    clock: Arc<dyn Clock>,
    _backend: Option<Backend>,
}

impl Log {
    async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let taken = match (Backend::open(settings).await, &settings.storage) {
            (Ok(backend), _) => {
                let tables = Arc::clone(&backend.ports.tables);
                return Ok(Self {
                    stream: Arc::clone(&backend.ports.stream),
                    embedded: backend.log().cloned(),
                    control: Some(Control::new(tables, Arc::clone(&clock))),
                    clock,
                    _backend: Some(backend),
                });
            }
            (Err(taken), Storage::Embedded) => taken,
            #[cfg(feature = "aws")]
            (Err(error), Storage::Aws(_)) => return Err(error),
        };
        // Probably a server: its log can be looked at all the same.
        Box::pin(Self::look(settings)).await.map_err(|_| taken)
    }

    /// The log as it is at this moment, in nobody's way.
    async fn look(settings: &Settings) -> anyhow::Result<Self> {
        match &settings.storage {
            Storage::Embedded => {
                let log = EmbeddedStream::open_to_read(&settings.folder("log"))?;
                Ok(Self {
                    stream: Arc::new(log.clone()),
                    embedded: Some(log),
                    control: None,
                    clock: Arc::new(RealClock::new()),
                    _backend: None,
                })
            }
            #[cfg(feature = "aws")]
            Storage::Aws(_) => Box::pin(Self::open(settings)).await,
        }
    }

    fn soon(&self) -> Deadline {
        Deadline::after(Arc::clone(&self.clock), CALL_BUDGET)
    }

    /// Reads a shard from behind `after`, or from its oldest record, to its end.
    async fn read_on(
        &self,
        shard: &str,
        mut after: Option<String>,
        mut each: impl FnMut(Vec<StreamRecord>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<String>> {
        loop {
            let soon = self.soon();
            let read = self
                .stream
                .read(shard, after.as_deref(), RECORDS_MAX, &soon);
            let records = read.await?;
            let Some(last) = records.last() else {
                return Ok(after);
            };
            after = Some(last.position.sequence.clone());
            each(records)?;
        }
    }
}

async fn tail(settings: &Settings, args: &cli::Tail) -> anyhow::Result<()> {
    let wanted = |event: &Event| {
        let kind = args.kind.as_ref();
        let user = args.user.as_ref();
        kind.is_none_or(|kind| event.kind.as_str() == kind)
            && user.is_none_or(|user| event.user_id.as_str() == user)
    };
    if let Some(kind) = &args.kind
        && !EventKind::ALL.iter().any(|known| known.as_str() == kind)
    {
        bail!("--kind {kind} is no kind of event");
    }
    let mut log = Log::look(settings).await?;
    let mut ends = BTreeMap::new();
    let mut newest: Vec<(i64, Event)> = Vec::new();
    for shard in log.stream.shards(&log.soon()).await? {
        // The newest that are wanted: those may lie far behind others.
        let mut kept = VecDeque::new();
        let keep = |records: Vec<StreamRecord>| {
            kept.extend(arrived(&records).filter(|(_, event)| wanted(event)));
            let surplus = kept.len().saturating_sub(args.limit);
            kept.drain(..surplus);
            Ok(())
        };
        let end = log.read_on(&shard, None, keep).await?;
        newest.extend(kept);
        ends.insert(shard, end);
    }
    // What was sent first is printed first; arrival decides, because shards know nothing of each other.
    newest.sort_by_key(|(arrived_ms, event)| (*arrived_ms, event.ts_ms));
    let surplus = newest.len().saturating_sub(args.limit);
    for (_, event) in newest.drain(surplus..) {
        print(&event)?;
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(FOLLOW_EVERY).await;
        // A look is of one moment.
        log = Log::look(settings).await?;
        for (shard, end) in &mut ends {
            let mut found = Vec::new();
            let next = log.read_on(shard, end.clone(), |records| {
                found.extend(arrived(&records).filter(|(_, event)| wanted(event)));
                Ok(())
            });
            *end = next.await?;
            found.iter().try_for_each(|(_, event)| print(event))?;
        }
    }
}

fn arrived(records: &[StreamRecord]) -> impl Iterator<Item = (i64, Event)> + use<> {
    let events = Intake::decode(records).events.into_iter();
    events.map(|placed| (placed.arrived_ms, placed.event))
}

fn print(event: &Event) -> anyhow::Result<()> {
    Ok(Output::line(&serde_json::to_string(event)?)?)
}

/// What is in the log.
#[derive(Debug, Default, Serialize)]
struct Stats {
    records: u64,
    events: u64,
    bytes: u64,
    /// Records or payloads that cannot be decoded.
    poison: u64,
    /// Records that a damaged disk took.
    lost: u64,
    kinds: BTreeMap<&'static str, u64>,
    shards: Vec<ShardStats>,
    /// Whether `behind` is known; not while a server has the tables open.
    offsets_known: bool,
}

#[derive(Debug, Default, Serialize)]
struct ShardStats {
    shard: String,
    records: u64,
    oldest: Option<String>,
    newest: Option<String>,
    /// Records that each consumer has not applied yet.
    behind: BTreeMap<&'static str, u64>,
}

async fn stats(settings: &Settings, out: Output) -> anyhow::Result<()> {
    let log = Log::open(settings).await?;
    let mut stats = Stats {
        offsets_known: log.control.is_some(),
        ..Stats::default()
    };
    for shard in log.stream.shards(&log.soon()).await? {
        let of_shard = stats_of(&log, shard, &mut stats).await?;
        stats.shards.push(of_shard);
    }
    // Known now that everything was read.
    stats.lost = log.embedded.as_ref().map_or(0, EmbeddedStream::lost);
    let mut text = format!(
        "{} events in {} records, {} bytes, {} that cannot be read",
        stats.events, stats.records, stats.bytes, stats.poison
    );
    if stats.lost > 0 {
        text.push_str(&format!("\ndamage took {} records", stats.lost));
    }
    for (kind, count) in &stats.kinds {
        text.push_str(&format!("\n  {kind:<12} {count}"));
    }
    for shard in &stats.shards {
        let known = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".to_owned());
        let (oldest, newest) = (known(&shard.oldest), known(&shard.newest));
        let (name, records) = (&shard.shard, shard.records);
        text.push_str(&format!(
            "\n{name}: {records} records, {oldest} to {newest}"
        ));
        for (consumer, behind) in &shard.behind {
            text.push_str(&format!(", {consumer} {behind} behind"));
        }
    }
    if !stats.offsets_known {
        text.push_str(
            "\na server has the tables open: how far its consumers are is not known here",
        );
    }
    Ok(out.result(&stats, &text)?)
}

async fn stats_of(log: &Log, shard: String, stats: &mut Stats) -> anyhow::Result<ShardStats> {
    let mut of_shard = ShardStats::default();
    let mut applied = BTreeMap::new();
    if let Some(control) = &log.control {
        for consumer in [clickstream::Clickstream::NAME, archive::Archive::NAME] {
            applied.insert(
                consumer,
                pump::offset(control, consumer, &shard, &log.soon()).await?,
            );
            of_shard.behind.insert(consumer, 0);
        }
    }
    let each = |records: Vec<StreamRecord>| {
        let at = |record: Option<&StreamRecord>| {
            let ms = record.map(|record| record.arrived_ms);
            let time = ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
            time.map(|time| time.to_string())
        };
        of_shard.oldest = of_shard.oldest.take().or_else(|| at(records.first()));
        of_shard.newest = at(records.last());
        of_shard.records += records.len() as u64;
        stats.records += records.len() as u64;
        stats.bytes += records
            .iter()
            .map(|record| record.data.len() as u64)
            .sum::<u64>();
        for record in &records {
            for (consumer, to) in &applied {
                let to = to.as_deref().unwrap_or_default();
                let sequence = &record.position.sequence;
                if store::Position::compare_sequences(sequence, to).is_gt() {
                    *of_shard.behind.entry(consumer).or_default() += 1;
                }
            }
        }
        let intake = Intake::decode(&records);
        stats.poison += intake.poison.len() as u64;
        stats.events += intake.events.len() as u64;
        for placed in intake.events {
            *stats.kinds.entry(placed.event.kind.as_str()).or_default() += 1;
        }
        Ok(())
    };
    log.read_on(&shard, None, each).await?;
    of_shard.shard = shard;
    Ok(of_shard)
}
