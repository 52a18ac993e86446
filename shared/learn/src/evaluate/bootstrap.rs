//! How sure a mean is: users drawn again with replacement (Efron and Tibshirani, 1993).

use serde::Serialize;

/// Times that users are drawn.
pub const ROUNDS: usize = 1_000;

/// A mean and where it lies in 95 of 100 draws.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Interval {
    /// The mean itself.
    pub mean: f64,
    /// 2.5 of 100 draws lie below.
    pub low: f64,
    /// 2.5 of 100 draws lie above.
    pub high: f64,
}

impl Interval {
    /// Whether no draw of the middle 95 was 0 or had the other sign.
    #[must_use]
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// The means of `columns` in every round. Rows of one unit (a user) are drawn together, and all
/// columns see the same draws, so differences of columns are paired.
///
/// `units` numbers each row's unit; rows are `columns` long. The first entry is the mean without
/// drawing.
#[must_use]
pub fn draws(rows: &[Vec<f64>], units: &[u32], rounds: usize, seed: u64) -> Vec<Vec<f64>> {
    let columns = rows.first().map_or(0, Vec::len);
    let count = units.iter().max().map_or(0, |most| *most as usize + 1);
    let mut random = SplitMix(seed);
    let mut all = vec![weighted(rows, units, columns, |_| 1)];
    let mut times = vec![0u32; count];
    for _ in 0..rounds {
        times.fill(0);
        for _ in 0..count {
            if let Some(slot) = times.get_mut(random.below(count)) {
                *slot += 1;
            }
        }
        let drawn = |unit: u32| times.get(unit as usize).copied().unwrap_or(0);
        all.push(weighted(rows, units, columns, drawn));
    }
    all
}

/// The interval of a number made of each round's means.
#[must_use]
pub fn interval(draws: &[Vec<f64>], of: impl Fn(&[f64]) -> f64) -> Interval {
    let Some((whole, rounds)) = draws.split_first() else {
        return Interval::default();
    };
    let mean = of(whole);
    let mut drawn: Vec<f64> = rounds.iter().map(|round| of(round)).collect();
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

fn weighted(
    rows: &[Vec<f64>],
    units: &[u32],
    columns: usize,
    times: impl Fn(u32) -> u32,
) -> Vec<f64> {
    let (mut sums, mut total) = (vec![0.0; columns], 0.0);
    for (row, unit) in rows.iter().zip(units) {
        let times = times(*unit);
        if times == 0 {
            continue;
        }
        let weight = f64::from(times);
        total += weight;
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += weight * value;
        }
    }
    sums.iter_mut().for_each(|sum| *sum /= f64::max(total, 1.0));
    sums
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): enough to draw users, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`; 0 when there is nothing below it.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_cover_the_mean_and_pairs_cancel_what_is_common() {
        let mut random = SplitMix(7);
        let rows: Vec<Vec<f64>> = (0..2_000)
            .map(|_| {
                let common = (random.next() % 1_000) as f64 / 1_000.0;
                vec![common, common + 0.01]
            })
            .collect();
        let units: Vec<u32> = (0..2_000).collect();
        let draws = draws(&rows, &units, 400, 1);
        let own = interval(&draws, |means| means[0]);
        assert!(own.low < own.mean && own.mean < own.high, "{own:?}");
        // The standard error of a uniform share is 0.289 / √2000: 1.96 of it is 0.0127.
        assert!(
            (0.010..0.016).contains(&((own.high - own.low) / 2.0)),
            "{own:?}"
        );
        let pair = interval(&draws, |means| means[1] - means[0]);
        assert!(
            pair.excludes_zero() && (pair.high - pair.low) < 1e-9,
            "{pair:?}"
        );
    }

    #[test]
    fn rows_of_one_user_are_drawn_together() {
        let rows = vec![vec![0.0], vec![1.0]];
        let draws = draws(&rows, &[0, 0], 50, 3);
        assert!(draws.iter().all(|means| (means[0] - 0.5).abs() < 1e-9));
    }
}
