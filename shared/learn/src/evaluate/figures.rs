//! Running averages of what ranked lists hit.

use rustc_hash::FxHashSet;

/// Averages over users of what their lists hit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Users judged.
    pub users: usize,
    /// Share of users with a hit.
    pub hit_rate: f64,
    /// Mean share of the wanted videos that were found.
    pub recall: f64,
    /// Mean of 1 / rank of the first hit.
    pub mrr: f64,
    /// Mean normalised discounted gain.
    pub ndcg: f64,
}

impl Figures {
    /// Adds one user's list, best first, cut at `k`; `wanted` are the videos it should hold.
    pub fn add<T: PartialEq>(&mut self, list: &[T], wanted: &[T], k: usize) {
        if wanted.is_empty() {
            return;
        }
        let places = list
            .iter()
            .take(k)
            .zip(1u32..)
            .filter(|(video, _)| wanted.contains(video));
        let (mut hits, mut first, mut gain) = (0u32, 0.0, 0.0);
        for (_, rank) in places {
            hits += 1;
            if hits == 1 {
                first = 1.0 / f64::from(rank);
            }
            gain += discount(rank);
        }
        let ideal: f64 = (1u32..).take(wanted.len().min(k)).map(discount).sum();
        self.users += 1;
        let grow = |mean: &mut f64, value: f64, users: usize| {
            *mean += (value - *mean) / users as f64;
        };
        grow(&mut self.hit_rate, f64::from(hits.min(1)), self.users);
        grow(
            &mut self.recall,
            f64::from(hits) / wanted.len() as f64,
            self.users,
        );
        grow(&mut self.mrr, first, self.users);
        grow(&mut self.ndcg, gain / ideal, self.users);
    }
}

fn discount(rank: u32) -> f64 {
    1.0 / f64::from(rank + 1).log2()
}

/// Share of what two lists have together that they have in common, 0 to 1.
#[must_use]
pub fn jaccard<T: std::hash::Hash + Eq>(a: &[T], b: &[T]) -> f64 {
    let (a, b): (FxHashSet<&T>, FxHashSet<&T>) = (a.iter().collect(), b.iter().collect());
    let both = a.intersection(&b).count();
    let either = a.len() + b.len() - both;
    if either == 0 {
        0.0
    } else {
        both as f64 / either as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_what_a_hand_computes() {
        let mut figures = Figures::default();
        figures.add(&["a", "b", "c"], &["b", "z"], 2);
        figures.add(&["a", "b", "c"], &["c"], 2);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        assert_eq!(figures.users, 2);
        close(figures.hit_rate, 0.5);
        close(figures.recall, 0.25);
        close(figures.mrr, 0.25);
        close(
            figures.ndcg,
            0.5 * discount(2) / (discount(1) + discount(2)),
        );
        close(jaccard(&["a", "b"], &["b", "c"]), 1.0 / 3.0);
    }
}
