//! Values as small numbers: each feature cut where its values are.

use engine::feature::{COUNT, Vector};

/// Most cuts of one feature.
const CUTS_MAX: usize = 253;
/// The bin of what is not known.
pub(super) const MISSING: u8 = 255;
/// Bins of one feature, the one of what is not known included.
pub(super) const BINS: usize = 256;

/// Where each feature is cut.
#[derive(Debug)]
pub(super) struct Bins {
    cuts: Vec<Vec<f32>>,
}

impl Bins {
    /// Cuts so that bins hold about as many values each.
    pub(super) fn new(vectors: &[Vector]) -> Self {
        let cut = |feature: usize| {
            let own = vectors.iter().filter_map(|vector| vector.get(feature));
            let mut values: Vec<f32> = own.copied().filter(|value| value.is_finite()).collect();
            values.sort_unstable_by(f32::total_cmp);
            cuts(&values)
        };
        Self {
            cuts: (0..COUNT).map(cut).collect(),
        }
    }

    /// Row by row, [`COUNT`] bins each.
    pub(super) fn numbers(&self, vectors: &[Vector]) -> Vec<u8> {
        let mut numbers = Vec::with_capacity(vectors.len() * COUNT);
        for vector in vectors {
            let pairs = vector.iter().zip(&self.cuts);
            numbers.extend(pairs.map(|(value, cuts)| bin(*value, cuts)));
        }
        numbers
    }

    /// The threshold behind a bin: values up to and with it are in this bin or a lower one.
    pub(super) fn threshold(&self, feature: usize, bin: usize) -> Option<f32> {
        self.cuts.get(feature)?.get(bin).copied()
    }

    /// How many cuts a feature has.
    pub(super) fn cuts(&self, feature: usize) -> usize {
        self.cuts.get(feature).map_or(0, Vec::len)
    }
}

fn bin(value: f32, cuts: &[f32]) -> u8 {
    if value.is_nan() {
        MISSING
    } else {
        cuts.partition_point(|cut| *cut < value) as u8
    }
}

/// Half way between neighbours, at distinct places among the sorted values.
fn cuts(values: &[f32]) -> Vec<f32> {
    let mut distinct = values.to_vec();
    distinct.dedup();
    let between = |low: f32, high: f32| {
        let middle = low + (high - low) / 2.0;
        if middle < high { middle } else { low }
    };
    if distinct.len() <= CUTS_MAX + 1 {
        let pairs = distinct.iter().zip(distinct.iter().skip(1));
        return pairs.map(|(low, high)| between(*low, *high)).collect();
    }
    let mut cuts: Vec<f32> = (1..=CUTS_MAX)
        .filter_map(|n| values.get(n * values.len() / (CUTS_MAX + 1)).copied())
        .collect();
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_and_its_threshold_say_the_same() {
        let vector = |n: u32| {
            let mut vector = [f32::NAN; COUNT];
            vector[0] = (n % 7) as f32;
            vector[1] = n as f32 * 0.1;
            vector
        };
        let vectors: Vec<Vector> = (0..2_000).map(vector).collect();
        let bins = Bins::new(&vectors);
        assert_eq!((bins.cuts(0), bins.cuts(2)), (6, 0));
        assert!(bins.cuts(1) > 200);
        let numbers = bins.numbers(&vectors);
        for (vector, row) in vectors.iter().zip(numbers.chunks(COUNT)) {
            assert_eq!(row[2], MISSING);
            for feature in 0..2 {
                for bin in 0..bins.cuts(feature) {
                    let threshold = bins.threshold(feature, bin).unwrap();
                    let left = usize::from(row[feature]) <= bin;
                    assert_eq!(left, vector[feature] <= threshold);
                }
            }
        }
    }
}
