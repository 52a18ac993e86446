//! One table for everybody.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::bootstrap::{Interval, ROUNDS, draws, interval};
use super::scores::{Breaches, column_names};
use super::separation::{Separation, separation};
use super::{Course, Log, Protocol, Scores, Slates, Target};

/// One way of recommending, on the judged part.
#[derive(Debug, Clone, Default)]
pub struct Contender {
    /// Its name.
    pub name: String,
    /// What was chosen for it on the validation part.
    pub chosen: String,
    /// One slate per exam.
    pub slates: Slates,
    /// A mark for everything viewers were shown, in their order; empty where it gives none.
    pub marks: Vec<f32>,
    /// How long a slate took; none where somebody else made them.
    pub latency: Option<Latency>,
    /// The contender that it differs from in one thing, to be compared with.
    pub twin: Option<&'static str>,
}

/// How long slates took, one at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half took no longer, microseconds.
    pub p50_us: f64,
    /// 99 of 100 took no longer, microseconds.
    pub p99_us: f64,
}

/// What one source brought to the full pipeline's slates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contribution {
    /// Its name.
    pub source: String,
    /// Share of all places whose video it proposed.
    pub places: f64,
    /// Share of all hits whose video it proposed.
    pub hits: f64,
    /// Share of all hits for which it spoke most.
    pub strongest: f64,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The contender.
    pub name: String,
    /// What was chosen for it on the validation part.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub chosen: String,
    /// `HR@10`, `NDCG@10` … with 95 % intervals.
    pub measures: BTreeMap<String, Interval>,
    /// The first contender minus this one, user by user; empty for the first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub first_minus_this: BTreeMap<String, Interval>,
    /// The contender it is compared with besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twin: Option<&'static str>,
    /// This one minus its twin, user by user; empty without one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub this_minus_twin: BTreeMap<String, Interval>,
    /// Coverage, Gini, popularity, novelty.
    pub together: BTreeMap<String, f64>,
    /// How it separates what was watched from what was only shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separation: Option<Separation>,
    /// How long a slate took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Rules that were broken.
    pub breaches: Breaches,
}

/// Everything that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How the log was split.
    pub protocol: Protocol,
    /// What counted as right.
    pub target: Target,
    /// Questions asked.
    pub exams: usize,
    /// Users they were asked of.
    pub users: usize,
    /// Videos that could be proposed.
    pub candidates: usize,
    /// Exams of the validation part, on which parameters were chosen.
    pub validation_exams: usize,
    /// Times users were drawn for the intervals.
    pub rounds: usize,
    /// One per contender, the full pipeline first.
    pub rows: Vec<Row>,
    /// What each source brought.
    pub contributions: Vec<Contribution>,
}

impl Report {
    /// Judges all contenders on the same exams; the first is compared with each other one.
    #[must_use]
    pub fn new(log: &Log, course: &Course, contenders: &[Contender], seed: u64) -> Self {
        let scores: Vec<Scores> = contenders
            .iter()
            .map(|contender| Scores::new(log, course, &contender.slates))
            .collect();
        let rows: Vec<Vec<f64>> = (0..course.exams.len())
            .map(|exam| {
                let own = scores.iter().filter_map(|scores| scores.exams.get(exam));
                own.flatten().copied().collect()
            })
            .collect();
        let (units, users) = units(course);
        let draws = draws(&rows, &units, ROUNDS, seed);
        let names: Vec<String> = column_names().collect();
        let row = |(place, (contender, scores)): (usize, (&Contender, &Scores))| {
            let at = |place: usize, column: usize| place * names.len() + column;
            let measure = |of: &dyn Fn(&[f64], usize) -> f64| -> BTreeMap<String, Interval> {
                let each = names.iter().enumerate();
                each.map(|(column, name)| (name.clone(), interval(&draws, |m| of(m, column))))
                    .collect()
            };
            let value = |means: &[f64], place: usize| means.get(place).copied().unwrap_or(0.0);
            let own = measure(&|means, column| value(means, at(place, column)));
            let minus = |one: usize, other: usize| {
                measure(&|means, column| {
                    value(means, at(one, column)) - value(means, at(other, column))
                })
            };
            let twin = contenders
                .iter()
                .position(|other| Some(other.name.as_str()) == contender.twin);
            Row {
                name: contender.name.clone(),
                chosen: contender.chosen.clone(),
                measures: own,
                first_minus_this: if place > 0 {
                    minus(0, place)
                } else {
                    BTreeMap::new()
                },
                twin: twin.and(contender.twin),
                this_minus_twin: twin.map_or_else(BTreeMap::new, |twin| minus(place, twin)),
                together: scores.together.clone(),
                separation: separate(course, &contender.marks),
                latency: contender.latency,
                breaches: scores.breaches,
            }
        };
        Self {
            protocol: course.protocol,
            target: log.target,
            exams: course.exams.len(),
            users,
            candidates: log
                .candidates
                .iter()
                .filter(|candidate| **candidate)
                .count(),
            validation_exams: 0,
            rounds: ROUNDS,
            rows: contenders
                .iter()
                .zip(&scores)
                .enumerate()
                .map(row)
                .collect(),
            contributions: Vec::new(),
        }
    }

    /// The row of a contender.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The tables, in Markdown, aligned for reading as they are.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} questions of {} users, {} candidates; right is {}; \
             parameters chosen on {} earlier questions; 95 % intervals from {} draws of users\n\n",
            self.exams,
            self.users,
            self.candidates,
            match self.target {
                Target::LongView => "what was watched long",
                Target::Interest => "what was liked",
            },
            self.validation_exams,
            self.rounds
        );
        let sure = |i: &Interval| format!("{:.4} [{:.4}, {:.4}]", i.mean, i.low, i.high);
        let mut main = vec![
            "contender|HR@10|NDCG@10|Recall@20|MRR@20|Cov@20|Gini@20|Novelty@20|AUC|GAUC|p50 µs|p99 µs|rules"
                .to_owned(),
        ];
        for row in &self.rows {
            let mean = |name: &str| row.measures.get(name).map_or(0.0, |i| i.mean);
            let of_all = |name: &str| row.together.get(name).copied().unwrap_or(0.0);
            let separation = row.separation.map_or("|".to_owned(), |found| {
                format!("{:.4}|{:.4}", found.auc, found.gauc)
            });
            let latency = row.latency.map_or("|".to_owned(), |took| {
                format!("{:.0}|{:.0}", took.p50_us, took.p99_us)
            });
            main.push(format!(
                "{}|{:.4}|{:.4}|{}|{:.4}|{:.3}|{:.3}|{:.2}|{separation}|{latency}|{}",
                row.name,
                mean("HR@10"),
                mean("NDCG@10"),
                row.measures.get("Recall@20").map(sure).unwrap_or_default(),
                mean("MRR@20"),
                of_all("Cov@20"),
                of_all("Gini@20"),
                of_all("Novelty@20"),
                rules(row.breaches),
            ));
        }
        text.push_str(&aligned(&main));
        let first = self.rows.first().map_or("", |row| row.name.as_str());
        let mut pairs = vec![format!(
            "{first} minus|Recall@20|NDCG@10|HR@10|MRR@20|chosen"
        )];
        for row in self.rows.iter().skip(1) {
            let pair = |name: &str| row.first_minus_this.get(name).map(sure).unwrap_or_default();
            pairs.push(format!(
                "{}|{}|{}|{}|{}|{}",
                row.name,
                pair("Recall@20"),
                pair("NDCG@10"),
                pair("HR@10"),
                pair("MRR@20"),
                row.chosen
            ));
        }
        for row in &self.rows {
            let Some(twin) = row.twin else { continue };
            let pair = |name: &str| row.this_minus_twin.get(name).map(sure).unwrap_or_default();
            pairs.push(format!(
                "({} minus {twin})|{}|{}|{}|{}|",
                row.name,
                pair("Recall@20"),
                pair("NDCG@10"),
                pair("HR@10"),
                pair("MRR@20"),
            ));
        }
        text.push('\n');
        text.push_str(&aligned(&pairs));
        if !self.contributions.is_empty() {
            let mut sources =
                vec!["source|share of places|share of hits|spoke most for hits".to_owned()];
            sources.extend(self.contributions.iter().map(|one| {
                format!(
                    "{}|{:.3}|{:.3}|{:.3}",
                    one.source, one.places, one.hits, one.strongest
                )
            }));
            text.push('\n');
            text.push_str(&aligned(&sources));
        }
        text
    }
}

fn rules(breaches: Breaches) -> String {
    let parts = [
        ("met", breaches.met),
        ("repeated", breaches.repeated),
        ("foreign", breaches.foreign),
        ("short", breaches.short),
    ];
    let broken: Vec<String> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if broken.is_empty() {
        "kept".to_owned()
    } else {
        broken.join(", ")
    }
}

/// A number per exam's user, and how many there are.
fn units(course: &Course) -> (Vec<u32>, usize) {
    let (mut units, mut next, mut last) = (Vec::with_capacity(course.exams.len()), 0u32, None);
    for exam in &course.exams {
        if last.is_some_and(|last| last != exam.user) {
            next += 1;
        }
        last = Some(exam.user);
        units.push(next);
    }
    let users = units.last().map_or(0, |last| *last as usize + 1);
    (units, users)
}

fn separate(course: &Course, marks: &[f32]) -> Option<Separation> {
    let shown = course.viewers.iter().flat_map(|viewer| {
        let of = |(_, right): &(u32, bool)| (viewer.exam.user, *right);
        viewer.shown.iter().map(of)
    });
    let rows: Vec<(u32, bool, f32)> = shown
        .zip(marks)
        .map(|((user, right), mark)| (user, right, *mark))
        .collect();
    separation(&rows)
}

/// Rows of cells separated by `|`, the first a header, as a Markdown table with even columns.
fn aligned(rows: &[String]) -> String {
    let cells: Vec<Vec<&str>> = rows.iter().map(|row| row.split('|').collect()).collect();
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let own = cells.iter().filter_map(|row| row.get(column));
        own.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (place, row) in cells.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let cell = row.get(column).copied().unwrap_or("");
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if place == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}
