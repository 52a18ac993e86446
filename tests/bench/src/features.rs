//! Reading a video's realtime counts: a dense table behind an atomic snapshot.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::RwLock;

use engine::realtime::{Builder, Row, Table};

use crate::measure::compare::Random;
use crate::measure::{Plan, Report, allocations, compare, cpu_nanos_per_call};
use crate::world;

/// Reads of one block.
const READS: u32 = 1_000_000;
/// Rows that fit no cache: 16 bytes each, 128 MiB.
const COLD_ROWS: usize = 8 << 20;
/// Places looked up in turn, so that the choice itself costs nothing.
const PLACES: usize = 4_096;

/// Row 5.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let (index, _) = world::generation("bench.1", 20_000, 5_000)?;
    let rows = index.videos();
    let table = filled(rows);
    let locked: RwLock<HashMap<u32, Row>> = RwLock::new(
        (0_u32..)
            .take(rows)
            .map(|item| (item, table.snapshot().row(item)))
            .collect(),
    );
    let mut random = Random(1);
    let items: Vec<u32> = (0..PLACES).map(|_| random.below(rows) as u32).collect();
    let ids: Vec<&str> = items.iter().map(|item| index.video_id(*item)).collect();
    let at = |step: u32| step as usize % PLACES;

    // One request reads hundreds of rows from the snapshot it loaded once.
    let dense = || {
        let (snapshot, mut step) = (table.snapshot(), 0_u32);
        cpu_nanos_per_call(READS, || {
            step = step.wrapping_add(1);
            snapshot.row(items.get(at(step)).copied().unwrap_or_default())
        })
    };
    let baseline = || {
        let mut step = 0_u32;
        cpu_nanos_per_call(READS, || {
            step = step.wrapping_add(1);
            let item = items.get(at(step)).copied().unwrap_or_default();
            let rows = locked
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            rows.get(&item).copied().unwrap_or_default()
        })
    };
    let found = compare(Plan::default(), dense, baseline);
    report.compared(
        "`RwLock<HashMap>` (written here, std's hasher) over the table, by dense id",
        &found,
        "≥ 10 ×",
        |ratio| {
            let text = format!(
                "{:.1} × [{:.1}, {:.1}]",
                ratio.median, ratio.low, ratio.high
            );
            (text, ratio.median >= 10.0)
        },
    );
    report.check(
        "one get by dense id, hot",
        format!(
            "{:.2} ns [{:.2}, {:.2}]",
            found.a.median, found.a.low, found.a.high
        ),
        "≤ 8 ns",
        found.a.median <= 8.0,
    );
    report.tell(
        "the same from `RwLock<HashMap>`",
        format!("{:.1} ns", found.b.median),
    );

    let (_, allocated) = allocations(|| {
        let snapshot = table.snapshot();
        items.iter().for_each(|item| {
            black_box(snapshot.row(*item));
        });
    });
    report.check(
        "allocations of a snapshot and 4,096 gets",
        allocated.calls.to_string(),
        "0",
        allocated.calls == 0,
    );
    let mut step = 0_u32;
    let external = cpu_nanos_per_call(READS, || {
        step = step.wrapping_add(1);
        let id = ids.get(at(step)).copied().unwrap_or_default();
        index.find(id).map(|item| table.snapshot().row(item))
    });
    report.tell(
        "one get by external id, a snapshot each time",
        format!("{external:.1} ns"),
    );
    let load = cpu_nanos_per_call(READS, || table.snapshot().as_of_ms());
    report.tell(
        "loading the snapshot, once per request",
        format!("{load:.1} ns"),
    );
    report.tell(
        "one get by dense id, cold memory",
        format!("{:.1} ns", cold()),
    );
    report.note("The original's reference is 31 ns per get with 0 allocations, in Go.");
    report.note("Hot: 20,000 rows, 4,096 of them at random. Cold: 8,388,608 rows (128 MiB), each get at a random row that depends on the one before.");
    Ok(())
}

fn filled(rows: usize) -> Table {
    let (table, mut random) = (Table::new(), Random(7));
    let mut builder = Builder::sized("bench.1", rows, 0, 3_600_000);
    for item in 0..rows {
        let counts = Row {
            impressions: random.below(1_000) as f32,
            clicks: random.below(100) as f32,
            likes: random.below(10) as f32,
            long_views: random.below(200) as f32,
        };
        builder.add(item as u32, 0, counts);
    }
    table.replace(builder.finish());
    table
}

fn cold() -> f64 {
    let table = filled(COLD_ROWS);
    let snapshot = table.snapshot();
    let (mut random, mut carried) = (Random(3), 0_usize);
    cpu_nanos_per_call(2_000_000, || {
        // What was read decides where to read next, so that no two reads overlap.
        let item = (random.below(COLD_ROWS) + (carried & 1)) % COLD_ROWS;
        carried = snapshot.row(item as u32).impressions as usize;
        carried
    })
}
