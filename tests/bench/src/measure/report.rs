//! What a benchmark found: rows with targets, notes, raw figures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compare::{Comparison, Interval};
use super::machine::{Machine, load};

/// How a row stands to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The target is met.
    Met,
    /// It is not.
    Missed,
    /// The control did not hold: the row tells nothing.
    Void,
    /// There is no target.
    Told,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The figure, with its unit.
    pub measured: String,
    /// What it should be; empty without a target.
    pub target: String,
    /// How it stands to the target.
    pub verdict: Verdict,
    /// Whether it is a ratio; ratios are printed first.
    pub ratio: bool,
}

/// What one benchmark found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The command's name.
    pub name: String,
    /// One line on what it measures.
    pub title: String,
    /// When, in UTC, to the minute.
    pub at: String,
    /// On what.
    pub machine: Machine,
    /// Load averages before and after, over one minute.
    pub load: (f64, f64),
    /// The figures.
    pub rows: Vec<Row>,
    /// What a reader has to know about the method.
    pub notes: Vec<String>,
    /// Everything that the rows were made from.
    pub raw: BTreeMap<String, Value>,
    /// Whether its targets are promises, not aims.
    #[serde(skip)]
    promises: bool,
}

impl Report {
    /// An empty report of the benchmark `name`, begun now.
    #[must_use]
    pub fn begin(name: &str, title: &str) -> Self {
        let now = jiff::Timestamp::now();
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            at: now.strftime("%Y-%m-%d %H:%M").to_string(),
            machine: Machine::this(&root()),
            load: (load(), f64::NAN),
            rows: Vec::new(),
            notes: Vec::new(),
            raw: BTreeMap::new(),
            promises: false,
        }
    }

    /// A figure without a target.
    pub fn tell(&mut self, what: &str, measured: impl Into<String>) {
        self.row(what, measured, "", Verdict::Told);
    }

    /// A figure with a target that it meets or not.
    pub fn check(&mut self, what: &str, measured: impl Into<String>, target: &str, met: bool) {
        let verdict = if met { Verdict::Met } else { Verdict::Missed };
        self.row(what, measured, target, verdict);
    }

    /// A comparison; `shown` turns its ratio into the figure and says whether it is good enough.
    pub fn compared(
        &mut self,
        what: &str,
        comparison: &Comparison,
        target: &str,
        shown: impl FnOnce(Interval) -> (String, bool),
    ) {
        let (measured, met) = shown(comparison.ratio);
        let verdict = match (comparison.is_void(), target.is_empty(), met) {
            (true, _, _) => Verdict::Void,
            (false, true, _) => Verdict::Told,
            (false, false, true) => Verdict::Met,
            (false, false, false) => Verdict::Missed,
        };
        let Interval { median, low, high } = comparison.control;
        let pairs = comparison.pairs.len();
        let control = format!("A/A {median:.3} [{low:.3}, {high:.3}], {pairs} pairs");
        self.rows.push(Row {
            what: what.to_owned(),
            measured: format!("{measured}; {control}"),
            target: target.to_owned(),
            verdict,
            ratio: true,
        });
        self.keep(what, comparison);
    }

    /// A sentence about the method.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Keeps what a row was made from.
    pub fn keep(&mut self, key: &str, raw: impl Serialize) {
        let value = serde_json::to_value(raw).unwrap_or(Value::Null);
        self.raw.insert(key.to_owned(), value);
    }

    /// Whether some comparison tells nothing.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Void)
    }

    /// Makes every target a promise: a row that misses it fails the command.
    pub fn promise(&mut self) {
        self.promises = true;
    }

    /// What is promised and not kept.
    pub fn broken(&self) -> impl Iterator<Item = &str> {
        let broken = |row: &&Row| self.promises && row.verdict == Verdict::Missed;
        self.rows.iter().filter(broken).map(|row| row.what.as_str())
    }

    /// The rows as a table, ratios first.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::from("| What | Measured | Target | |\n|---|---|---|---|\n");
        let (ratios, others): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| row.ratio);
        for row in ratios.into_iter().chain(others) {
            let Row {
                what,
                measured,
                target,
                ..
            } = row;
            let verdict = match row.verdict {
                Verdict::Met => "met",
                Verdict::Missed => "missed",
                Verdict::Void => "void",
                Verdict::Told => "",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {what} | {measured} | {target} | {verdict} |");
        }
        text
    }

    /// Ends the report and writes it to `docs/performance/NAME.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&mut self) -> anyhow::Result<PathBuf> {
        self.load.1 = load();
        let folder = folder();
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", self.name));
        let mut json = serde_json::to_string(self)?;
        json.push('\n');
        std::fs::write(&path, json)?;
        Ok(path)
    }

    fn row(&mut self, what: &str, measured: impl Into<String>, target: &str, verdict: Verdict) {
        self.rows.push(Row {
            what: what.to_owned(),
            measured: measured.into(),
            target: target.to_owned(),
            verdict,
            ratio: false,
        });
    }
}

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where reports are kept.
#[must_use]
pub fn folder() -> PathBuf {
    root().join("docs/performance")
}
