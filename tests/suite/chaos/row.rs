//! What a fault cost, as a row of the matrix.

use std::ops::Sub;
use std::time::Duration;

use tests::Report;
use tests::load::poisson_bound;

use super::Pace;
use super::page::{Section, load_average};

/// Degraded answers among all that are due from then on, once everything is as before.
const SETTLED_SHARE: f64 = 0.01;
/// Labels that a row names.
const LABELS_MAX: usize = 4;
/// The label of an answer to events.
pub(super) const ACCEPTED: &str = "accepted";

/// One fault.
#[derive(Debug)]
pub(super) struct Row {
    pub fault: String,
    pub report: Report,
    /// When the fault began and ended, from the start of the load.
    pub during: (Duration, Duration),
    pub traffic: Traffic,
    /// Whether a limit is part of what is shown; elsewhere a refusal is as bad as an error.
    pub may_refuse: bool,
    /// Over the last minute, when the row ended.
    pub load_average: f64,
    /// What else is worth saying.
    pub note: String,
}

/// Round trips to Redis and calls of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Calls {
    pub redis: u64,
    pub aws: u64,
}

/// What a row asked of others: while the fault lasted, after it, and from the first request on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub during: Calls,
    pub after: Calls,
    pub in_all: Calls,
}

/// The rows of one part of the page.
pub(super) struct Matrix {
    pace: Pace,
    section: Section,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Matrix {
    /// An empty matrix; the full run puts it under this heading.
    pub fn new(heading: &'static str, pace: Pace) -> Self {
        Self {
            pace,
            section: Section::begin(heading),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Takes a row, prints it, and fails at the first answer that is not valid. A refusal is none,
    /// except where a limit is what is shown.
    pub fn add(&mut self, row: Row) {
        println!("shown: chaos: {}", row.line());
        let Report {
            errors,
            complaints,
            refused,
            ..
        } = &row.report;
        assert_eq!(*errors, 0, "{}: {complaints:?}", row.fault);
        assert!(
            row.may_refuse || *refused == 0,
            "{}: {refused} refused",
            row.fault
        );
        self.rows.push(row);
    }

    /// Takes a finding that is no row.
    pub fn note(&mut self, note: String) {
        println!("shown: chaos: {note}");
        self.notes.push(note);
    }

    /// Sums up; the full run writes its part of the page.
    pub fn finish(self) {
        let sent: u64 = self.rows.iter().map(|row| row.report.sent).sum();
        let errors: u64 = self.rows.iter().map(|row| row.report.errors).sum();
        let share = poisson_bound(errors) / sent.max(1) as f64;
        let total = format!(
            "{sent} requests in all rows, {errors} errors: at most {:.4} % with 95 % confidence",
            share * 100.0
        );
        if sent > 0 {
            println!("shown: chaos: {total}");
        }
        if self.pace.full {
            let body = self.body(&total);
            self.section.end(&body);
        }
    }

    fn body(&self, total: &str) -> String {
        let mut lines = Vec::new();
        if let Some(row) = self.rows.first() {
            let rate = self.pace.rate_per_s;
            lines.push(format!("Load: {rate} requests/s, open model. {total}.\n"));
            let names = row.figures().map(|(name, _)| name);
            lines.push(format!("| fault | {} | |", names.join(" | ")));
            lines.push("|---".repeat(names.len() + 2) + "|");
            lines.extend(self.rows.iter().map(Row::cells));
            lines.push(String::new());
        }
        lines.extend(self.notes.iter().map(|note| format!("- {note}")));
        lines.join("\n")
    }
}

impl Row {
    /// A row without a remark; the load average is taken now.
    pub fn of(fault: &str, report: Report, during: (Duration, Duration), traffic: Traffic) -> Self {
        Self {
            fault: fault.to_owned(),
            report,
            during,
            traffic,
            may_refuse: false,
            load_average: load_average(),
            note: String::new(),
        }
    }

    /// From the beginning of the fault to the first answer that named a cause.
    fn degraded_after(&self) -> Option<Duration> {
        let (from, to) = self.during;
        let within = |due: &Duration| *due >= from && *due < to;
        let ends = self.report.ends.iter();
        let causes = ends.filter(|(due, label)| within(due) && is_degraded(label));
        causes.map(|(due, _)| *due - from).min()
    }

    /// From the end of the fault to the moment from which on fewer than one answer in a hundred
    /// names a cause; none when the run ended before.
    pub fn recovered_after(&self) -> Option<Duration> {
        let (_, to) = self.during;
        let mut after: Vec<_> = self
            .report
            .ends
            .iter()
            .filter(|(due, _)| *due >= to)
            .map(|(due, label)| (*due - to, is_degraded(label)))
            .collect();
        after.sort_unstable();
        let (mut degraded, mut since) = (0_usize, None);
        for (seen, (due, is_degraded)) in after.iter().rev().enumerate() {
            degraded += usize::from(*is_degraded);
            if degraded as f64 <= SETTLED_SHARE * (seen + 1) as f64 {
                since = Some(*due);
            }
        }
        since
    }

    /// Answers under labels that this holds for.
    pub fn labelled(&self, which: impl Fn(&str) -> bool) -> u64 {
        let labels = self.report.labels.iter();
        let which = labels.filter(|(label, _)| which(label));
        which.map(|(_, count)| count).sum()
    }

    /// In words; a run that ended with its fault cannot say.
    fn recovered(&self) -> String {
        let (_, to) = self.during;
        match self.recovered_after() {
            Some(after) => seconds(after),
            None if self.report.ends.iter().all(|(due, _)| *due < to) => "not asked".to_owned(),
            None => "not within the run".to_owned(),
        }
    }

    fn labels(&self) -> String {
        let mut labels: Vec<_> = self.report.labels.iter().collect();
        labels.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let told = labels
            .iter()
            .take(LABELS_MAX)
            .map(|(label, count)| format!("{label} {count}"));
        told.collect::<Vec<_>>().join("; ")
    }

    /// Names and values, in the order of the page.
    fn figures(&self) -> [(&'static str, String); 12] {
        let report = &self.report;
        let latency = |percentile| format!("{:.1}", ms(report.latency(percentile)));
        let of = |during: u64, in_all: u64| format!("{during} of {in_all}");
        let (during, in_all) = (self.traffic.during, self.traffic.in_all);
        let bound = report.error_share_bound() * 100.0;
        [
            ("requests", report.sent.to_string()),
            (
                "errors (95 % bound)",
                format!("{} ({bound:.4} %)", report.errors),
            ),
            ("refused", report.refused.to_string()),
            ("p50 ms", latency(50.0)),
            ("p99 ms", latency(99.0)),
            ("max ms", latency(100.0)),
            ("rungs", self.labels()),
            ("Redis trips", of(during.redis, in_all.redis)),
            ("AWS calls", of(during.aws, in_all.aws)),
            (
                "degraded after",
                self.degraded_after().map_or("never".into(), seconds),
            ),
            ("recovered after", self.recovered()),
            ("load average", format!("{:.1}", self.load_average)),
        ]
    }

    fn line(&self) -> String {
        let figures = self
            .figures()
            .map(|(name, value)| format!("{name} {value}"));
        format!("{}: {} {}", self.fault, figures.join(", "), self.remark())
    }

    fn cells(&self) -> String {
        let figures = self.figures().map(|(_, value)| value);
        format!(
            "| {} | {} | {} |",
            self.fault,
            figures.join(" | "),
            self.remark()
        )
    }

    /// The note, and whether the generator was late.
    fn remark(&self) -> String {
        let late = self.report.is_void().then(|| {
            let lag = ms(self.report.lag_p99());
            format!("times void: sent late by {lag:.1} ms at p99")
        });
        let note = Some(self.note.clone()).filter(|note| !note.is_empty());
        let parts: Vec<String> = note.into_iter().chain(late).collect();
        parts.join("; ")
    }
}

impl Sub for Calls {
    type Output = Self;

    /// What was called in between; counters that were set back count from there.
    fn sub(self, earlier: Self) -> Self {
        Self {
            redis: self.redis.saturating_sub(earlier.redis),
            aws: self.aws.saturating_sub(earlier.aws),
        }
    }
}

fn is_degraded(label: &str) -> bool {
    label.contains(',') || !matches!(label, "personal" | ACCEPTED)
}

fn seconds(span: Duration) -> String {
    format!("{:.2} s", span.as_secs_f64())
}

pub(super) fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
