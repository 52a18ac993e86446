//! How good a ranker's chances are, and whether one is better than another.

use serde::Serialize;

use super::Rows;
use super::draw::below;
use crate::evaluate::bootstrap::Interval;
use crate::evaluate::separation::{auc, separation};

/// Rows of the reliability table.
const RELIABILITY_ROWS: usize = 10;
/// Times that users are drawn.
const DRAWS: usize = 400;

/// A model on impressions it has not seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Judgement {
    /// Impressions.
    pub impressions: usize,
    /// The chance that a random right one is above a random wrong one.
    pub auc: f64,
    /// The same within each user, weighted by impressions.
    pub gauc: f64,
    /// The same as `auc` for clicks.
    pub click_auc: f64,
    /// Mean negative logarithm of the chance of what happened.
    pub log_loss: f64,
    /// What was said and what happened, from low chances to high ones, as many in each row.
    pub reliability: Vec<Reliability>,
}

/// One row of the reliability table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Reliability {
    /// Impressions.
    pub impressions: usize,
    /// Mean chance that was said.
    pub said: f64,
    /// Share that happened.
    pub happened: f64,
}

/// Two scores on the same impressions: the first less the second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Duel {
    /// Difference of AUC.
    pub auc: Interval,
    /// Difference of GAUC.
    pub gauc: Interval,
}

impl Duel {
    /// Whether the first is worse in either, surely.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.auc.high < 0.0 || self.gauc.high < 0.0
    }
}

/// Judges chances; `None` where there is nothing to separate.
#[must_use]
pub fn judge(rows: &Rows, chances: &[f32]) -> Option<Judgement> {
    let marked = rows.users.iter().zip(&rows.right).zip(chances);
    let marked: Vec<_> = marked
        .map(|((user, right), mark)| (*user, *right, *mark))
        .collect();
    let found = separation(&marked)?;
    let clicks = rows.clicked.iter().copied().zip(chances.iter().copied());
    let mut loss = 0.0;
    let mut said: Vec<(f32, bool)> = Vec::with_capacity(chances.len());
    for (_, right, chance) in &marked {
        let sure = f64::from(if *right { *chance } else { 1.0 - *chance });
        loss -= sure.max(1e-9).ln();
        said.push((*chance, *right));
    }
    said.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    let size = said.len().div_ceil(RELIABILITY_ROWS).max(1);
    let reliability = said.chunks(size).map(|rows| {
        let count = rows.len() as f64;
        Reliability {
            impressions: rows.len(),
            said: rows.iter().map(|row| f64::from(row.0)).sum::<f64>() / count,
            happened: rows.iter().filter(|row| row.1).count() as f64 / count,
        }
    });
    Some(Judgement {
        impressions: rows.len(),
        auc: found.auc,
        gauc: found.gauc,
        click_auc: auc(clicks.collect()).unwrap_or(0.5),
        log_loss: loss / rows.len().max(1) as f64,
        reliability: reliability.collect(),
    })
}

/// Compares two scores on users drawn again with replacement; both see the same draws.
#[must_use]
pub fn duel(rows: &Rows, first: &[f32], second: &[f32], seed: u64) -> Duel {
    let (mut units, mut unit_of) = (Vec::new(), Vec::with_capacity(rows.len()));
    for user in rows.users.chunk_by(|a, b| a == b) {
        let start = unit_of.len();
        unit_of.resize(start + user.len(), units.len());
        units.push(start..start + user.len());
    }
    let one = Contender::new(rows, first, &units);
    let other = Contender::new(rows, second, &units);
    let mut times = vec![1u32; units.len()];
    let mut found = vec![one.less(&other, rows, &unit_of, &times)];
    for round in 0..DRAWS {
        times.fill(0);
        for n in 0..units.len() {
            let draw = (round * units.len() + n) as u64;
            if let Some(slot) = times.get_mut(below(seed, draw, units.len())) {
                *slot += 1;
            }
        }
        found.push(one.less(&other, rows, &unit_of, &times));
    }
    Duel {
        auc: spread(&found, |pair| pair.0),
        gauc: spread(&found, |pair| pair.1),
    }
}

fn spread(found: &[(f64, f64)], of: impl Fn(&(f64, f64)) -> f64) -> Interval {
    let mean = found.first().map_or(0.0, &of);
    let mut drawn: Vec<f64> = found.iter().skip(1).map(of).collect();
    drawn.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * drawn.len().saturating_sub(1) as f64).round() as usize;
        drawn.get(place).copied().unwrap_or(mean)
    };
    Interval {
        mean,
        low: at(0.025),
        high: at(0.975),
    }
}

/// One score, sorted once for all draws.
struct Contender {
    /// Rows by score, ascending; a new number begins where the score is another.
    order: Vec<(usize, u32)>,
    /// AUC and impressions of each user with both kinds.
    users: Vec<(f64, f64)>,
}

impl Contender {
    fn new(rows: &Rows, scores: &[f32], units: &[std::ops::Range<usize>]) -> Self {
        let mut sorted: Vec<(f32, usize)> = scores.iter().copied().zip(0..).collect();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        let mut order = Vec::with_capacity(sorted.len());
        for (tie, tied) in (0u32..).zip(sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq())) {
            order.extend(tied.iter().map(|(_, row)| (*row, tie)));
        }
        let own = |span: &std::ops::Range<usize>| {
            let right = rows.right.get(span.clone()).unwrap_or_default();
            let marks = scores.get(span.clone()).unwrap_or_default();
            let pairs = right.iter().copied().zip(marks.iter().copied());
            auc(pairs.collect()).map_or((0.0, 0.0), |auc| (auc, span.len() as f64))
        };
        Self {
            order,
            users: units.iter().map(own).collect(),
        }
    }

    /// Differences of AUC and GAUC where each user counts as often as drawn.
    fn less(&self, other: &Self, rows: &Rows, units: &[usize], times: &[u32]) -> (f64, f64) {
        let auc = |one: &Self| one.auc(rows, units, times);
        let gauc = |one: &Self| one.gauc(times);
        (auc(self) - auc(other), gauc(self) - gauc(other))
    }

    fn auc(&self, rows: &Rows, units: &[usize], times: &[u32]) -> f64 {
        let (mut wrong, mut right, mut above) = (0.0, 0.0, 0.0);
        for tied in self.order.chunk_by(|a, b| a.1 == b.1) {
            let (mut tied_right, mut tied_wrong) = (0.0, 0.0);
            for (row, _) in tied {
                let unit = units.get(*row).and_then(|unit| times.get(*unit));
                let drawn = unit.map_or(0.0, |times| f64::from(*times));
                if rows.right.get(*row).copied().unwrap_or(false) {
                    tied_right += drawn;
                } else {
                    tied_wrong += drawn;
                }
            }
            above += tied_right * (wrong + tied_wrong / 2.0);
            wrong += tied_wrong;
            right += tied_right;
        }
        above / f64::max(right * wrong, f64::MIN_POSITIVE)
    }

    fn gauc(&self, times: &[u32]) -> f64 {
        let (mut sum, mut weight) = (0.0, 0.0);
        for ((auc, rows), drawn) in self.users.iter().zip(times) {
            sum += auc * rows * f64::from(*drawn);
            weight += rows * f64::from(*drawn);
        }
        sum / f64::max(weight, f64::MIN_POSITIVE)
    }
}
