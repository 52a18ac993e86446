//! What a fault cost, as a row of the matrix.

use std::fmt::Write as _;
use std::time::Duration;

use tests::Report;
use tests::load::poisson_bound;

use super::Pace;

/// The page that the full run writes.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/chaos.md");

/// One fault.
#[derive(Debug)]
pub(super) struct Row {
    pub fault: String,
    pub report: Report,
    /// When the fault began and ended, from the start of the load.
    pub during: (Duration, Duration),
    /// Round trips to Redis and calls of AWS while it lasted.
    pub redis_trips: u64,
    pub aws_calls: u64,
    /// What else is worth saying.
    pub note: String,
}

pub(super) struct Matrix {
    pace: Pace,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Matrix {
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Takes a row, prints it, and fails at the first answer that is not valid.
    pub fn add(&mut self, row: Row) {
        println!("shown: chaos: {}", row.line());
        let Report {
            errors, complaints, ..
        } = &row.report;
        assert_eq!(*errors, 0, "{}: {complaints:?}", row.fault);
        self.rows.push(row);
    }

    /// Takes a finding that is no row.
    pub fn note(&mut self, note: String) {
        println!("shown: chaos: {note}");
        self.notes.push(note);
    }

    /// Sums up; the full run writes the page.
    pub fn finish(self) {
        let sent: u64 = self.rows.iter().map(|row| row.report.sent).sum();
        let errors: u64 = self.rows.iter().map(|row| row.report.errors).sum();
        let share = poisson_bound(errors) / sent.max(1) as f64;
        let total = format!(
            "{sent} requests under all faults, {errors} errors: at most {:.4} % with 95 % confidence",
            share * 100.0
        );
        println!("shown: chaos: {total}");
        if self.pace.full {
            std::fs::write(PAGE, self.page(&total)).unwrap();
        }
    }

    fn page(&self, total: &str) -> String {
        let mut page = String::from(HEAD);
        let _ = writeln!(
            page,
            "Load: {} requests/s, open model. {total}.\n",
            self.pace.rate_per_s
        );
        page.push_str("| fault | requests | errors (95 % bound) | p50 ms | p99 ms | max ms | rungs | Redis trips | AWS calls | degraded after | recovered after | |\n");
        page.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|\n");
        for row in &self.rows {
            let _ = writeln!(page, "{}", row.cells());
        }
        page.push('\n');
        for note in &self.notes {
            let _ = writeln!(page, "- {note}");
        }
        page
    }
}

const HEAD: &str = "# Chaos

Every fault of the promises, on the real local process (`reelway serve`, debug build, a Redis and a
stub of AWS behind a fault proxy) and on the Lambda binary. Written by `scripts/chaos`, which gives
every fault its full duration; `cargo test -p tests --test suite chaos` is the short form. Gates are
counts; times are those of one machine that did other work as well, and say so where the generator
itself was late. An answer under a label such as `personal, redis_open` is valid and names what it
had to do without. *Degraded* and *recovered* are counted from the beginning and the end of the
fault to the first and the last answer that named a cause.

";

impl Row {
    /// From the beginning of the fault to the first answer under another label than before it.
    fn degraded_after(&self) -> Option<Duration> {
        let (from, to) = self.during;
        let causes = self
            .report
            .ends
            .iter()
            .filter(|(due, label)| *due >= from && *due < to && is_degraded(label));
        causes.map(|(due, _)| *due - from).min()
    }

    /// From the end of the fault to the last answer that named a cause.
    fn recovered_after(&self) -> Duration {
        let (_, to) = self.during;
        let causes = self
            .report
            .ends
            .iter()
            .filter(|(due, label)| *due >= to && is_degraded(label));
        causes.map(|(due, _)| *due - to).max().unwrap_or_default()
    }

    fn labels(&self) -> String {
        let mut labels: Vec<_> = self.report.labels.iter().collect();
        labels.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let told = labels
            .iter()
            .take(4)
            .map(|(label, count)| format!("{label} {count}"));
        told.collect::<Vec<_>>().join("; ")
    }

    fn line(&self) -> String {
        let report = &self.report;
        format!(
            "{}: {} sent, {} errors (≤ {:.3} %), {} refused, p50 {:.1} p99 {:.1} max {:.1} ms, {}, {} Redis trips, {} AWS calls, degraded after {}, recovered after {:.1} s{}{}",
            self.fault,
            report.sent,
            report.errors,
            report.error_share_bound() * 100.0,
            report.refused,
            ms(report.latency(50.0)),
            ms(report.latency(99.0)),
            ms(report.latency(100.0)),
            self.labels(),
            self.redis_trips,
            self.aws_calls,
            self.degraded_after()
                .map_or("never".into(), |after| format!(
                    "{:.2} s",
                    after.as_secs_f64()
                )),
            self.recovered_after().as_secs_f64(),
            self.note_after("; "),
            self.void(),
        )
    }

    fn cells(&self) -> String {
        let report = &self.report;
        format!(
            "| {} | {} | {} ({:.4} %) | {:.1} | {:.1} | {:.1} | {} | {} | {} | {} | {:.1} s | {}{} |",
            self.fault,
            report.sent,
            report.errors,
            report.error_share_bound() * 100.0,
            ms(report.latency(50.0)),
            ms(report.latency(99.0)),
            ms(report.latency(100.0)),
            self.labels(),
            self.redis_trips,
            self.aws_calls,
            self.degraded_after()
                .map_or("never".into(), |after| format!(
                    "{:.2} s",
                    after.as_secs_f64()
                )),
            self.recovered_after().as_secs_f64(),
            self.note,
            self.void(),
        )
    }

    fn note_after(&self, between: &str) -> String {
        if self.note.is_empty() {
            String::new()
        } else {
            format!("{between}{}", self.note)
        }
    }

    fn void(&self) -> String {
        if self.report.is_void() {
            format!(
                " (times void: sent late by {:.1} ms at p99)",
                ms(self.report.lag_p99())
            )
        } else {
            String::new()
        }
    }
}

fn is_degraded(label: &str) -> bool {
    label.contains(',') || !label.starts_with("personal")
}

pub(super) fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
