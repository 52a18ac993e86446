//! Grows trees, each on what the ones before left unexplained.

use engine::feature::{COUNT, FEATURES};
use engine::ranker::{Forest, Split};

use super::bins::{BINS, Bins, MISSING};
use super::draw::{mixed, within};
use super::{POSITION_UNKNOWN, Rows, TrainOptions};

/// Positions with an offset of their own; later ones share the last.
const POSITIONS: usize = 32;
/// Pulls the offsets of positions towards 0, in impressions.
const POSITION_L2: f64 = 100.0;

/// Grows a forest on `rows`. With `watched` rows growing ends when they are no longer explained
/// better, and the trees up to the best are kept. `None` when there is nothing to learn.
#[must_use]
pub fn grow(
    rows: &Rows,
    watched: Option<&Rows>,
    trees: usize,
    options: &TrainOptions,
) -> Option<Forest> {
    let right = rows.right.iter().filter(|right| **right).count();
    if right == 0 || right == rows.len() {
        return None;
    }
    let share = right as f32 / rows.len() as f32;
    let base = (share / (1.0 - share)).ln();
    let mut grower = Grower::new(rows, base, options);
    let mut watch = watched.map(|rows| Watch::new(rows, base));
    let depth = options.depth.clamp(1, 8);
    let (mut splits, mut leaves) = (Vec::new(), Vec::new());
    for round in 0..trees {
        let tree = grower.tree(round as u64, depth);
        splits.extend_from_slice(&tree.splits);
        leaves.extend_from_slice(&tree.leaves);
        if let Some(watch) = &mut watch {
            watch.add(round, Forest::new(depth, 0.0, tree.splits, tree.leaves)?);
            if round > watch.best + options.patience {
                break;
            }
        }
    }
    let kept = watch.map_or(trees, |watch| watch.best + 1);
    splits.truncate(kept * ((1 << depth) - 1));
    leaves.truncate(kept << depth);
    Forest::new(depth, base, splits, leaves)
}

/// Rows that growing does not see, and how well they are explained.
struct Watch<'a> {
    rows: &'a Rows,
    odds: Vec<f32>,
    one: Vec<f32>,
    lowest: f64,
    best: usize,
}

impl<'a> Watch<'a> {
    fn new(rows: &'a Rows, base: f32) -> Self {
        Self {
            rows,
            odds: vec![base; rows.len()],
            one: Vec::new(),
            lowest: f64::MAX,
            best: 0,
        }
    }

    fn add(&mut self, round: usize, tree: Forest) {
        tree.odds(&self.rows.vectors, &mut self.one);
        let mut loss = 0.0;
        for ((odds, more), right) in self.odds.iter_mut().zip(&self.one).zip(&self.rows.right) {
            *odds += more;
            let signed = if *right { -*odds } else { *odds };
            loss += f64::from(signed).exp().ln_1p();
        }
        if loss < self.lowest {
            (self.lowest, self.best) = (loss, round);
        }
    }
}

struct Tree {
    splits: Vec<Split>,
    leaves: Vec<f32>,
}

/// A sum of first and second derivatives of the loss.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    slope: f32,
    weight: f32,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.slope += other.slope;
        self.weight += other.weight;
    }

    fn less(self, other: Self) -> Self {
        Self {
            slope: self.slope - other.slope,
            weight: self.weight - other.weight,
        }
    }

    /// The best answer for these rows.
    fn best(self, l2: f32) -> f32 {
        -self.slope / (self.weight + l2)
    }

    /// How much an answer lowers the loss, twice.
    fn gain(self, answer: f32, l2: f32) -> f32 {
        -(2.0 * self.slope + (self.weight + l2) * answer) * answer
    }
}

/// What the answers below a node may be, so that rising features lift whatever the other splits say.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    low: f32,
    high: f32,
}

impl Bounds {
    const NONE: Self = Self {
        low: f32::NEG_INFINITY,
        high: f32::INFINITY,
    };

    fn within(self, answer: f32) -> f32 {
        answer.max(self.low).min(self.high)
    }

    /// Of the left and the right child.
    fn children(self, cut: Option<&Cut>) -> [Self; 2] {
        let Some(cut) = cut.filter(|cut| cut.rises) else {
            return [self, self];
        };
        let middle = cut.left + (cut.right - cut.left) / 2.0;
        let (left, right) = (
            Self {
                high: middle,
                ..self
            },
            Self {
                low: middle,
                ..self
            },
        );
        [left, right]
    }
}

fn rises(feature: usize) -> bool {
    FEATURES.get(feature).is_some_and(|feature| feature.rises)
}

/// A split in bins, as rows walk it while trees grow.
#[derive(Debug, Clone, Copy)]
struct Cut {
    feature: usize,
    rises: bool,
    bin: u8,
    missing_right: bool,
    gain: f32,
    /// The children's answers.
    left: f32,
    right: f32,
}

struct Grower<'a> {
    rows: &'a Rows,
    options: &'a TrainOptions,
    bins: Bins,
    numbers: Vec<u8>,
    odds: Vec<f32>,
    offsets: [f64; POSITIONS],
    slopes: Vec<Sum>,
    places: Vec<u16>,
    sums: Vec<Sum>,
}

impl<'a> Grower<'a> {
    fn new(rows: &'a Rows, base: f32, options: &'a TrainOptions) -> Self {
        let bins = Bins::new(&rows.vectors);
        let numbers = bins.numbers(&rows.vectors);
        Self {
            rows,
            options,
            bins,
            numbers,
            odds: vec![base; rows.len()],
            offsets: [0.0; POSITIONS],
            slopes: vec![Sum::default(); rows.len()],
            places: vec![0; rows.len()],
            sums: Vec::new(),
        }
    }

    fn tree(&mut self, round: u64, depth: usize) -> Tree {
        self.differentiate(round);
        let features = self.features(round);
        self.places.fill(0);
        let mut splits = Vec::with_capacity((1 << depth) - 1);
        let mut bounds = vec![Bounds::NONE];
        for _ in 0..depth {
            self.count(bounds.len(), &features);
            let nodes = bounds.iter().enumerate();
            let cuts: Vec<Option<Cut>> = nodes
                .map(|(node, bounds)| self.cut(node, *bounds, &features))
                .collect();
            splits.extend(cuts.iter().map(|cut| self.split(cut.as_ref())));
            self.descend(&cuts);
            let pairs = bounds.iter().zip(&cuts);
            bounds = pairs
                .flat_map(|(bounds, cut)| bounds.children(cut.as_ref()))
                .collect();
        }
        let leaves = self.leaves(&bounds);
        for (odds, place) in self.odds.iter_mut().zip(&self.places) {
            *odds += leaves.get(usize::from(*place)).copied().unwrap_or(0.0);
        }
        Tree { splits, leaves }
    }

    /// Derivatives of every row; those outside the round's sample weigh nothing. One Newton step
    /// for the offsets of positions on the way.
    fn differentiate(&mut self, round: u64) {
        let seed = mixed(self.options.seed, round);
        let mut positions = [(0.0f64, 0.0f64); POSITIONS];
        let known = self.rows.right.iter().zip(&self.rows.positions);
        let rows = self.odds.iter().zip(known).zip(&mut self.slopes);
        for (n, ((odds, (right, position)), sum)) in (0u64..).zip(rows) {
            let place = place_of(*position);
            let offset = place.and_then(|place| self.offsets.get(place));
            let odds = odds + offset.map_or(0.0, |offset| *offset as f32);
            let chance = 1.0 / (1.0 + (-odds).exp());
            let slope = chance - f32::from(u8::from(*right));
            let weight = (chance * (1.0 - chance)).max(1e-6);
            if let Some(own) = place.and_then(|place| positions.get_mut(place)) {
                own.0 += f64::from(slope);
                own.1 += f64::from(weight);
            }
            *sum = if within(seed, n, self.options.row_share) {
                Sum { slope, weight }
            } else {
                Sum::default()
            };
        }
        let rate = f64::from(self.options.learning_rate);
        for (offset, (slope, weight)) in self.offsets.iter_mut().zip(positions) {
            *offset -= rate * slope / (weight + POSITION_L2);
        }
        // What all positions share belongs to the trees.
        let total: f64 = positions.iter().map(|own| own.1).sum();
        let pairs = self.offsets.iter().zip(positions);
        let mean = pairs.map(|(offset, own)| offset * own.1).sum::<f64>() / total.max(1.0);
        for (offset, own) in self.offsets.iter_mut().zip(positions) {
            *offset -= if own.1 > 0.0 { mean } else { 0.0 };
        }
    }

    /// The features of a round, ascending.
    fn features(&self, round: u64) -> Vec<usize> {
        let seed = mixed(self.options.seed ^ 0x5eed, round);
        let mut order: Vec<(u64, usize)> = (0..COUNT).map(|n| (mixed(seed, n as u64), n)).collect();
        order.sort_unstable();
        let share = self.options.feature_share.clamp(0.0, 1.0);
        order.truncate(((COUNT as f32 * share).ceil() as usize).max(1));
        let mut features: Vec<usize> = order.into_iter().map(|(_, feature)| feature).collect();
        features.sort_unstable();
        features
    }

    /// Sums per node, feature and bin.
    fn count(&mut self, nodes: usize, features: &[usize]) {
        self.sums.clear();
        self.sums
            .resize(nodes * features.len() * BINS, Sum::default());
        let rows = self.slopes.iter().zip(&self.places);
        for ((sum, place), numbers) in rows.zip(self.numbers.chunks_exact(COUNT)) {
            if sum.weight == 0.0 {
                continue;
            }
            let first = usize::from(*place) * features.len() * BINS;
            let Some(own) = self.sums.get_mut(first..first + features.len() * BINS) else {
                continue;
            };
            for (feature, bins) in features.iter().zip(own.chunks_exact_mut(BINS)) {
                let bin = numbers.get(*feature).copied().unwrap_or(MISSING);
                if let Some(slot) = bins.get_mut(usize::from(bin)) {
                    slot.add(*sum);
                }
            }
        }
    }

    /// The best cut of a node; `None` when none gains anything.
    fn cut(&self, node: usize, bounds: Bounds, features: &[usize]) -> Option<Cut> {
        let first = node * features.len() * BINS;
        let own = self.sums.get(first..first + features.len() * BINS)?;
        let mut best: Option<Cut> = None;
        for (feature, bins) in features.iter().zip(own.chunks_exact(BINS)) {
            let mut total = Sum::default();
            bins.iter().for_each(|bin| total.add(*bin));
            let missing = bins.get(usize::from(MISSING)).copied().unwrap_or_default();
            let mut left = Sum::default();
            for (bin, sum) in bins.iter().enumerate().take(self.bins.cuts(*feature)) {
                left.add(*sum);
                let with_missing = Sum {
                    slope: left.slope + missing.slope,
                    weight: left.weight + missing.weight,
                };
                for (left, missing_right) in [(left, true), (with_missing, false)] {
                    let cut = Cut {
                        feature: *feature,
                        rises: self.options.rising && rises(*feature),
                        bin: bin as u8,
                        missing_right,
                        gain: best.map_or(0.0, |best| best.gain),
                        left: 0.0,
                        right: 0.0,
                    };
                    best = self.better(cut, left, total, bounds).or(best);
                }
            }
        }
        best
    }

    /// The cut with its gain and answers, where it gains more than it says and may be made.
    fn better(&self, cut: Cut, left: Sum, total: Sum, bounds: Bounds) -> Option<Cut> {
        let (right, l2) = (total.less(left), self.options.l2);
        let least = self.options.child_weight_min;
        if left.weight < least || right.weight < least {
            return None;
        }
        let answer = |sum: Sum| bounds.within(sum.best(l2));
        let (on_left, on_right) = (answer(left), answer(right));
        let gain =
            left.gain(on_left, l2) + right.gain(on_right, l2) - total.gain(answer(total), l2);
        let allowed = on_left <= on_right || !cut.rises;
        (allowed && gain > cut.gain).then_some(Cut {
            gain,
            left: on_left,
            right: on_right,
            ..cut
        })
    }

    fn split(&self, cut: Option<&Cut>) -> Split {
        let found = cut.and_then(|cut| {
            Some(Split {
                threshold: self.bins.threshold(cut.feature, usize::from(cut.bin))?,
                feature: u16::try_from(cut.feature).ok()?,
                missing_right: cut.missing_right,
            })
        });
        found.unwrap_or(Split::PASS)
    }

    /// Moves every row to its child.
    fn descend(&mut self, cuts: &[Option<Cut>]) {
        let rows = self.places.iter_mut();
        for (place, numbers) in rows.zip(self.numbers.chunks_exact(COUNT)) {
            let cut = cuts.get(usize::from(*place)).and_then(Option::as_ref);
            let right = cut.is_some_and(|cut| {
                let bin = numbers.get(cut.feature).copied().unwrap_or(MISSING);
                (bin == MISSING && cut.missing_right) || (bin != MISSING && bin > cut.bin)
            });
            *place = 2 * *place + u16::from(right);
        }
    }

    fn leaves(&self, bounds: &[Bounds]) -> Vec<f32> {
        let mut sums = vec![Sum::default(); bounds.len()];
        for (sum, place) in self.slopes.iter().zip(&self.places) {
            if let Some(own) = sums.get_mut(usize::from(*place)) {
                own.add(*sum);
            }
        }
        let rate = self.options.learning_rate;
        sums.iter()
            .zip(bounds)
            .map(|(sum, bounds)| rate * bounds.within(sum.best(self.options.l2)))
            .collect()
    }
}

fn place_of(position: u16) -> Option<usize> {
    (position != POSITION_UNKNOWN).then(|| usize::from(position).min(POSITIONS - 1))
}
