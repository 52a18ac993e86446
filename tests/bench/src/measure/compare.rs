//! Two ways of doing the same thing, side by side in one run.

use serde::Serialize;

/// Fewest pairs that make a comparison.
pub const PAIRS_MIN: usize = 30;
/// How far the control may be off.
const CONTROL_MAX: f64 = 0.05;
/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 2_000;

/// How a comparison is run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Pairs of blocks, at least [`PAIRS_MIN`].
    pub pairs: usize,
    /// Blocks of each that are run first and thrown away.
    pub warm_up: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            pairs: 40,
            warm_up: 3,
        }
    }
}

/// A median with its 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The median.
    pub median: f64,
    /// 2.5 % of the resampled medians are below.
    pub low: f64,
    /// 2.5 % of the resampled medians are above.
    pub high: f64,
}

/// What came of a comparison. Costs are whatever a block answers: nanoseconds per call, CPU time
/// per request; lower is better.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Cost of A.
    pub a: Interval,
    /// Cost of B.
    pub b: Interval,
    /// B over A, of blocks next to each other.
    pub ratio: Interval,
    /// A over A, of blocks next to each other in the same run.
    pub control: Interval,
    /// Every pair of costs, A first.
    pub pairs: Vec<(f64, f64)>,
    /// Every pair of the control.
    pub control_pairs: Vec<(f64, f64)>,
}

impl Comparison {
    fn of(pairs: Vec<(f64, f64)>, control_pairs: Vec<(f64, f64)>) -> Self {
        let ratio = |pairs: &[(f64, f64)]| pairs.iter().map(|(a, b)| b / a).collect::<Vec<f64>>();
        Self {
            a: interval(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>()),
            b: interval(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>()),
            ratio: interval(&ratio(&pairs)),
            control: interval(&ratio(&control_pairs)),
            pairs,
            control_pairs,
        }
    }

    /// Whether the control says that the run tells nothing.
    #[must_use]
    pub fn is_void(&self) -> bool {
        let Interval { low, high, .. } = self.control;
        let around_one = low <= 1.0 && 1.0 <= high;
        !(around_one && 1.0 - low <= CONTROL_MAX && high - 1.0 <= CONTROL_MAX)
    }
}

/// Runs blocks in the order A B B A, then A A A A for the control, until there are enough pairs.
/// Each block answers its cost.
pub fn compare(plan: Plan, mut a: impl FnMut() -> f64, mut b: impl FnMut() -> f64) -> Comparison {
    for _ in 0..plan.warm_up {
        a();
        b();
    }
    let wanted = plan.pairs.max(PAIRS_MIN);
    let (mut pairs, mut control_pairs) = (Vec::new(), Vec::new());
    while pairs.len() < wanted {
        let (a1, b1) = (a(), b());
        let (b2, a2) = (b(), a());
        pairs.extend([(a1, b1), (a2, b2)]);
        let (a1, other1) = (a(), a());
        let (other2, a2) = (a(), a());
        control_pairs.extend([(a1, other1), (a2, other2)]);
    }
    Comparison::of(pairs, control_pairs)
}

/// Compares a quantile of the costs of single calls. `both` answers the calls of A and of B that were
/// made in turn, `control` those of A twice; the quantiles of one pair make a ratio. So a spell in which
/// the machine was busy is one pair among many, and does not choose the quantile of all of them.
pub fn compare_quantile(
    quantile: f64,
    plan: Plan,
    mut both: impl FnMut() -> [Vec<f64>; 2],
    mut control: impl FnMut() -> [Vec<f64>; 2],
) -> Comparison {
    for _ in 0..plan.warm_up {
        both();
    }
    let wanted = plan.pairs.max(PAIRS_MIN);
    let at = |[a, b]: [Vec<f64>; 2]| (at_quantile(quantile, a), at_quantile(quantile, b));
    let (pairs, controls) = (0..wanted).map(|_| (at(both()), at(control()))).unzip();
    Comparison::of(pairs, controls)
}

/// The value below which this share of all lies; not a number when there is none.
fn at_quantile(quantile: f64, mut values: Vec<f64>) -> f64 {
    let place = (quantile * values.len() as f64) as usize;
    let place = place.min(values.len().saturating_sub(1));
    if values.is_empty() {
        return f64::NAN;
    }
    *values.select_nth_unstable_by(place, f64::total_cmp).1
}

/// The median of these values and how sure it is.
#[must_use]
pub fn interval(values: &[f64]) -> Interval {
    let mut random = Random(0x5eed);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = (0..values.len()).filter_map(|_| values.get(random.below(values.len())));
            median(drawn.copied().collect())
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * (RESAMPLES - 1) as f64).round() as usize;
        medians.get(place).copied().unwrap_or(f64::NAN)
    };
    Interval {
        median: median(values.to_vec()),
        low: at(0.025),
        high: at(0.975),
    }
}

/// The middle value; not a number when there is none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|place| values.get(place));
    f64::midpoint(lower.copied().unwrap_or(f64::NAN), upper)
}

/// SplitMix64: the same numbers in every run.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Costs around `base`, off by up to ± 2 %.
    fn noisy(base: f64, seed: u64) -> impl FnMut() -> f64 {
        let mut random = Random(seed);
        move || base * (0.98 + 0.04 * random.unit())
    }

    #[test]
    fn a_ratio_is_found_and_the_control_holds() {
        let found = compare(Plan::default(), noisy(100.0, 1), noisy(80.0, 2));
        assert!(!found.is_void(), "{:?}", found.control);
        assert!(found.ratio.low < 0.8 && 0.8 < found.ratio.high);
        assert!(
            found.ratio.high - found.ratio.low < 0.04,
            "{:?}",
            found.ratio
        );
        assert!(found.pairs.len() >= PAIRS_MIN);
    }

    #[test]
    fn a_run_whose_control_does_not_hold_is_void() {
        let mut calls = 0;
        let drifting = || {
            calls += 1;
            // Every second block is slower, as with a clock that is turned down.
            if calls % 2 == 0 { 120.0 } else { 100.0 }
        };
        assert!(compare(Plan::default(), drifting, noisy(100.0, 2)).is_void());
    }

    #[test]
    fn a_quantile_of_calls_is_compared_and_the_control_holds() {
        // Nine calls in ten cost 10, one in ten costs 50 or, of B, 40.
        let side = |seed: u64, rare: f64| {
            let mut random = Random(seed);
            move || -> Vec<f64> {
                let cost = |call: usize| if call.is_multiple_of(10) { rare } else { 10.0 };
                (0..1_000).map(|call| cost(call) + random.unit()).collect()
            }
        };
        let (mut a, mut b, mut more) = (side(1, 50.0), side(2, 40.0), side(3, 50.0));
        let mut other = side(4, 50.0);
        let found = compare_quantile(0.95, Plan::default(), || [a(), b()], || [more(), other()]);
        assert!(!found.is_void(), "{:?}", found.control);
        assert!((found.ratio.median - 0.8).abs() < 0.01, "{:?}", found.ratio);
        assert!((50.0..51.0).contains(&found.a.median), "{:?}", found.a);
    }

    #[test]
    fn the_middle_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
