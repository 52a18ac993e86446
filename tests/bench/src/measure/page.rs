//! `docs/performance.md`: every kept report, in the order of the benchmarks.

use std::fmt::Write as _;

use super::report::{Report, folder, root};

/// What the page says before its tables.
const HEAD: &str = "# Performance

Written by `scripts/bench report` from the files in `docs/performance/`, which hold every raw figure.
`scripts/bench NAME` measures one of them again, `scripts/bench all` everything.

How: time is compared within one run only, in interleaved A-B-B-A blocks of at least 30 pairs; a ratio
is the median of the pairs' ratios with its 95 % bootstrap interval; an A/A control runs between the
pairs, and when it is off by more than 5 % the row is void and says so. Allocations come from a counting
allocator, round trips from the server's own counters, CPU time from the thread's clock. Absolute times
belong to the machine that is named above them, and to whatever else it did: the load averages say how
much that was. Baselines written here are named as such.
";

/// Writes the page anew from all kept reports of the named benchmarks.
///
/// # Errors
/// When a report cannot be read or the page cannot be written.
pub fn write(names: &[&str]) -> anyhow::Result<()> {
    let mut page = String::from(HEAD);
    for name in names {
        let path = folder().join(format!("{name}.json"));
        if !path.is_file() {
            continue;
        }
        let report: Report = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        section(&mut page, &report);
    }
    std::fs::write(root().join("docs/performance.md"), page)?;
    Ok(())
}

fn section(page: &mut String, report: &Report) {
    let Report {
        name,
        title,
        at,
        machine,
        load,
        notes,
        ..
    } = report;
    let on = format!(
        "{} × {}, {} GiB, Linux {}, {}, {} build of {}",
        machine.cores,
        machine.processor,
        machine.memory_gib,
        machine.kernel,
        machine.compiler,
        machine.build,
        machine.commit
    );
    // Writing to a String cannot fail.
    let _ = write!(page, "\n## {title} (`{name}`)\n\n{}", report.table());
    for note in notes {
        let _ = write!(page, "\n- {note}");
    }
    let (before, after) = load;
    let _ = writeln!(
        page,
        "\n\n{at} UTC on {on}; load average {before:.1} before, {after:.1} after."
    );
}
