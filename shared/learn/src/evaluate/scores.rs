//! What slates hit, per exam, and what they show together.
//!
//! The measures are defined as in the scorer that is independent of this project, so that both
//! print the same numbers: an exam without a slate counts 0, shares of the catalogue are shares of
//! what anybody met before the split or wanted after it.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use super::{Course, Log};

/// Lengths at which lists are cut.
pub const KS: [usize; 2] = [10, 20];
/// What is measured per exam and cut.
pub const MEASURES: [&str; 4] = ["HR", "Recall", "NDCG", "MRR"];
/// Columns of an exam: each measure at each cut, measures first.
pub const COLUMNS: usize = KS.len() * MEASURES.len();

/// `NDCG@10` and so on, in the order of the columns.
pub fn column_names() -> impl Iterator<Item = String> {
    MEASURES
        .iter()
        .flat_map(|measure| KS.iter().map(move |k| format!("{measure}@{k}")))
}

/// The place of `name` among [`column_names`].
#[must_use]
pub fn column(name: &str) -> Option<usize> {
    column_names().position(|own| own == name)
}

/// Breaches of the rules that every contender is held to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Breaches {
    /// Items the user had met.
    pub met: usize,
    /// Items that stand twice in a slate.
    pub repeated: usize,
    /// Items that are no candidates.
    pub foreign: usize,
    /// Slates shorter than the longest cut.
    pub short: usize,
}

impl Breaches {
    /// Whether a rule was broken; a short slate harms only itself.
    #[must_use]
    pub fn any(&self) -> bool {
        self.met + self.repeated + self.foreign > 0
    }
}

/// What the slates of one contender are worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Per exam, in the order of [`column_names`].
    pub exams: Vec<[f64; COLUMNS]>,
    /// `Cov@k`, `Gini@k`, `Pop@k`, `Novelty@k`: of all slates together.
    pub together: BTreeMap<String, f64>,
    /// Breaches of the rules.
    pub breaches: Breaches,
}

impl Scores {
    /// Judges slates, one per exam of the course.
    #[must_use]
    pub fn new(log: &Log, course: &Course, slates: &[Vec<u32>]) -> Self {
        let empty = Vec::new();
        let each = || {
            let slates = slates.iter().chain(std::iter::repeat(&empty));
            course.exams.iter().zip(slates)
        };
        let mut breaches = Breaches::default();
        let mut exams = Vec::with_capacity(course.exams.len());
        for (exam, slate) in each() {
            exams.push(score(slate, &exam.wanted));
            let distinct: FxHashSet<u32> = slate.iter().copied().collect();
            breaches.repeated += slate.len() - distinct.len();
            let met = |video: &&u32| exam.met.binary_search(video).is_ok();
            breaches.met += slate.iter().filter(met).count();
            breaches.foreign += slate.iter().filter(|v| !log.is_candidate(**v)).count();
            let longest = KS.iter().copied().max().unwrap_or(0);
            breaches.short += usize::from(slate.len() < longest);
        }
        let catalogue = Catalogue::new(course);
        let mut together = BTreeMap::new();
        for k in KS {
            catalogue.judge(each().map(|(_, slate)| slate.as_slice()), k, &mut together);
        }
        Self {
            exams,
            together,
            breaches,
        }
    }

    /// The mean of a column over the exams.
    #[must_use]
    pub fn mean(&self, column: usize) -> f64 {
        let sum: f64 = self.exams.iter().filter_map(|row| row.get(column)).sum();
        sum / self.exams.len().max(1) as f64
    }

    /// The mean gain at the longest cut, what parameters are chosen by.
    #[must_use]
    pub fn mean_ndcg(&self) -> f64 {
        column("NDCG@20").map_or(0.0, |column| self.mean(column))
    }
}

/// One exam's measures at each cut.
fn score(slate: &[u32], wanted: &[u32]) -> [f64; COLUMNS] {
    let mut row = [0.0; COLUMNS];
    for (cut, k) in KS.iter().enumerate() {
        let places = slate.iter().take(*k).zip(1u32..);
        let hits: Vec<u32> = places
            .filter(|(video, _)| wanted.binary_search(video).is_ok())
            .map(|(_, rank)| rank)
            .collect();
        let ideal: f64 = (1u32..).take(wanted.len().min(*k)).map(discount).sum();
        let gain: f64 = hits.iter().copied().map(discount).sum();
        let values = [
            f64::from(u8::from(!hits.is_empty())),
            hits.len() as f64 / wanted.len().max(1) as f64,
            if ideal > 0.0 { gain / ideal } else { 0.0 },
            hits.first().map_or(0.0, |rank| 1.0 / f64::from(*rank)),
        ];
        for (measure, value) in values.into_iter().enumerate() {
            if let Some(slot) = row.get_mut(measure * KS.len() + cut) {
                *slot = value;
            }
        }
    }
    row
}

fn discount(rank: u32) -> f64 {
    1.0 / f64::from(rank + 1).log2()
}

/// What anybody met before the split or wanted after it, and by how many it was met.
struct Catalogue {
    met_by: FxHashMap<u32, u32>,
    highest: u32,
    people: f64,
}

impl Catalogue {
    fn new(course: &Course) -> Self {
        let met = (0u32..).zip(course.audience.iter().copied());
        let mut met_by: FxHashMap<u32, u32> = met.filter(|(_, people)| *people > 0).collect();
        for video in course.exams.iter().flat_map(|exam| &exam.wanted) {
            met_by.entry(*video).or_default();
        }
        let highest = met_by.values().copied().max().unwrap_or(0).max(1);
        Self {
            met_by,
            highest,
            people: course.people as f64,
        }
    }

    fn judge<'s>(
        &self,
        slates: impl Iterator<Item = &'s [u32]>,
        k: usize,
        into: &mut BTreeMap<String, f64>,
    ) {
        let mut shown: FxHashMap<u32, u32> = FxHashMap::default();
        let (mut popular, mut novel, mut lists) = (0.0, 0.0, 0usize);
        for slate in slates {
            let list = slate.get(..k.min(slate.len())).unwrap_or_default();
            if list.is_empty() {
                continue;
            }
            lists += 1;
            let met_by = |video: &u32| f64::from(self.met_by.get(video).copied().unwrap_or(0));
            let length = list.len() as f64;
            popular += list.iter().map(met_by).sum::<f64>() / length / f64::from(self.highest);
            // One more of everything, so that what nobody met has a number.
            let bits = |video: &u32| -((met_by(video) + 1.0) / (self.people + 1.0)).log2();
            novel += list.iter().map(bits).sum::<f64>() / length;
            for video in list {
                *shown.entry(*video).or_default() += 1;
            }
        }
        let known = self.met_by.len().max(1) as f64;
        let mut put = |name: &str, value: f64| into.insert(format!("{name}@{k}"), value);
        put("Cov", shown.len() as f64 / known);
        put("Gini", self.gini(&shown));
        put("Pop", popular / lists.max(1) as f64);
        put("Novelty", novel / lists.max(1) as f64);
    }

    /// 0 when every video is shown as often, towards 1 when all places go to few.
    fn gini(&self, shown: &FxHashMap<u32, u32>) -> f64 {
        let times = |video: &u32| f64::from(shown.get(video).copied().unwrap_or(0));
        let mut all: Vec<f64> = self.met_by.keys().map(times).collect();
        all.sort_unstable_by(f64::total_cmp);
        let (sum, count) = (all.iter().sum::<f64>(), all.len() as f64);
        let weighted: f64 = (1u32..).zip(&all).map(|(n, x)| f64::from(n) * x).sum();
        if sum > 0.0 {
            2.0 * weighted / (count * sum) - (count + 1.0) / count
        } else {
            0.0
        }
    }
}
