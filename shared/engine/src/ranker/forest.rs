//! Boosted trees as flat arrays.
//!
//! Every tree is complete: the children of split n are 2n + 1 and 2n + 2, so there is no child to
//! be out of bounds or its own ancestor, and every way down is equally long. A branch
//! that ends early goes on through splits that everything passes to the left.

use crate::feature::{COUNT, Vector};

/// Most trees.
pub const TREES_MAX: usize = 2_000;
/// Most steps from a root to a leaf.
pub const DEPTH_MAX: usize = 8;
/// Vectors that are taken through the trees side by side.
const LANES: usize = 32;

/// One question: is the feature above the threshold?
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Above goes right, up to and with it left. Finite.
    pub threshold: f32,
    /// Which feature, below [`COUNT`].
    pub feature: u16,
    /// Where what is not known goes.
    pub missing_right: bool,
}

impl Split {
    /// A split that everything passes to the left.
    pub const PASS: Self = Self {
        threshold: f32::MAX,
        feature: 0,
        missing_right: false,
    };
}

/// Trees whose leaves add up to the logarithm of the odds.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    depth: usize,
    base: f32,
    splits: Vec<Split>,
    leaves: Vec<f32>,
}

impl Forest {
    /// Checks every split and leaf and takes them; `None` when one is out of bounds or not finite,
    /// or the arrays do not fit. `splits` holds 2^depth − 1 per tree, `leaves` 2^depth.
    #[must_use]
    pub fn new(depth: usize, base: f32, splits: Vec<Split>, leaves: Vec<f32>) -> Option<Self> {
        if !(1..=DEPTH_MAX).contains(&depth) || !base.is_finite() {
            return None;
        }
        let trees = leaves.len() >> depth;
        let fits = trees <= TREES_MAX
            && trees << depth == leaves.len()
            && splits.len() == trees * ((1 << depth) - 1);
        let sound = splits
            .iter()
            .all(|split| split.threshold.is_finite() && usize::from(split.feature) < COUNT)
            && leaves.iter().all(|leaf| leaf.is_finite());
        (fits && sound).then_some(Self {
            depth,
            base,
            splits,
            leaves,
        })
    }

    /// Steps from a root to a leaf.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How many trees there are.
    #[must_use]
    pub fn trees(&self) -> usize {
        self.leaves.len() >> self.depth
    }

    /// The logarithm of the odds before any tree.
    #[must_use]
    pub fn base(&self) -> f32 {
        self.base
    }

    /// Splits, tree by tree.
    #[must_use]
    pub fn splits(&self) -> &[Split] {
        &self.splits
    }

    /// Leaves, tree by tree.
    #[must_use]
    pub fn leaves(&self) -> &[f32] {
        &self.leaves
    }

    /// The logarithm of the odds of each vector, into `odds`; allocates only to grow it.
    ///
    /// Every split of a tree is asked, for many vectors at once, and answers are handed up from the
    /// leaves: more comparisons than a walk from the root, but none waits for another, none is a
    /// branch, and a processor makes several in one instruction.
    pub fn odds(&self, vectors: &[Vector], odds: &mut Vec<f32>) {
        odds.clear();
        odds.resize(vectors.len(), self.base);
        let inner = (1 << self.depth) - 1;
        let mut answers = Answers::default();
        for (vectors, sums) in vectors.chunks(LANES).zip(odds.chunks_mut(LANES)) {
            let columns = Columns::new(vectors);
            let trees = self.splits.chunks_exact(inner);
            for (splits, leaves) in trees.zip(self.leaves.chunks_exact(inner + 1)) {
                let found = answers.of(splits, leaves, &columns);
                for (sum, found) in sums.iter_mut().zip(found) {
                    *sum += found;
                }
            }
        }
    }
}

/// One number per vector.
type Lanes = [f32; LANES];

/// Vectors side by side, feature by feature: first with what is not known below everything, so that
/// it goes left, then with what is not known above everything.
struct Columns([[Lanes; COUNT]; 2]);

impl Columns {
    fn new(vectors: &[Vector]) -> Self {
        let mut columns = [[[0.0; LANES]; COUNT]; 2];
        let unknown = [f32::NEG_INFINITY, f32::INFINITY];
        for (columns, unknown) in columns.iter_mut().zip(unknown) {
            for (lane, vector) in vectors.iter().enumerate() {
                for (column, value) in columns.iter_mut().zip(vector) {
                    if let Some(slot) = column.get_mut(lane) {
                        *slot = if value.is_nan() { unknown } else { *value };
                    }
                }
            }
        }
        Self(columns)
    }

    /// The values that a split compares.
    #[inline]
    fn of(&self, split: &Split) -> &Lanes {
        let [left, right] = &self.0;
        let columns = if split.missing_right { right } else { left };
        let column = columns.get(usize::from(split.feature));
        column.unwrap_or(&[f32::NEG_INFINITY; LANES])
    }
}

/// What the splits of one level and of the one below it answer.
struct Answers {
    level: [Lanes; 1 << (DEPTH_MAX - 1)],
    below: [Lanes; 1 << (DEPTH_MAX - 1)],
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            level: [[0.0; LANES]; 1 << (DEPTH_MAX - 1)],
            below: [[0.0; LANES]; 1 << (DEPTH_MAX - 1)],
        }
    }
}

impl Answers {
    /// The leaves that the vectors come to.
    #[inline]
    fn of(&mut self, splits: &[Split], leaves: &[f32], columns: &Columns) -> &Lanes {
        let (mut level, mut below) = (&mut self.level, &mut self.below);
        let (mut above, lowest) = splits.split_at(splits.len() / 2);
        let pairs = leaves.chunks_exact(2).zip(lowest);
        for (answer, (pair, split)) in level.iter_mut().zip(pairs) {
            if let [left, right] = pair {
                choose(answer, split, columns, &[*left; LANES], &[*right; LANES]);
            }
        }
        while !above.is_empty() {
            std::mem::swap(&mut level, &mut below);
            let (higher, own) = above.split_at(above.len() / 2);
            let pairs = below.chunks_exact(2).zip(own);
            for (answer, (pair, split)) in level.iter_mut().zip(pairs) {
                if let [left, right] = pair {
                    choose(answer, split, columns, left, right);
                }
            }
            above = higher;
        }
        let [root, ..] = level;
        root
    }
}

/// What each vector gets from a split: the answer from the right where it is above the threshold.
///
/// First whether it is, as bits, for all; then the choice. In one go a compiler loads from chosen
/// places, one vector after the other.
#[inline(always)]
fn choose(answer: &mut Lanes, split: &Split, columns: &Columns, left: &Lanes, right: &Lanes) {
    let mut above = [0u32; LANES];
    for (above, value) in above.iter_mut().zip(columns.of(split)) {
        *above = u32::from(*value > split.threshold).wrapping_neg();
    }
    let sides = above.iter().zip(left.iter().zip(right));
    for (answer, (above, (left, right))) in answer.iter_mut().zip(sides) {
        *answer = f32::from_bits((left.to_bits() & !above) | (right.to_bits() & above));
    }
}

/// The chance that odds of this logarithm stand for.
#[must_use]
pub fn chance(odds: f32) -> f32 {
    1.0 / (1.0 + (-odds).exp())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![
            8 => (-4i8..4).prop_map(f32::from),
            1 => Just(f32::NAN),
            1 => Just(f32::INFINITY),
            1 => Just(f32::NEG_INFINITY),
        ]
    }

    prop_compose! {
        fn split()(threshold in -4i8..4, feature in 0..COUNT as u16, missing_right: bool, pass in 0..5) -> Split {
            let own = Split { threshold: f32::from(threshold), feature, missing_right };
            if pass == 0 { Split::PASS } else { own }
        }
    }

    prop_compose! {
        fn forest()(depth in 1..=DEPTH_MAX, trees in 0usize..4)(
            splits in vec(split(), trees * ((1 << depth) - 1)),
            leaves in vec(-1.0f32..1.0, trees << depth),
            depth in Just(depth),
        ) -> Forest {
            Forest::new(depth, 0.25, splits, leaves).unwrap()
        }
    }

    /// From the root to a leaf, tree by tree.
    fn walk(forest: &Forest, vector: &Vector) -> f32 {
        let inner = (1 << forest.depth) - 1;
        let mut sum = forest.base;
        for (splits, leaves) in forest
            .splits
            .chunks(inner)
            .zip(forest.leaves.chunks(inner + 1))
        {
            let mut at = 0;
            while at < inner {
                let value = vector[usize::from(splits[at].feature)];
                let right =
                    value > splits[at].threshold || value.is_nan() && splits[at].missing_right;
                at = 2 * at + 1 + usize::from(right);
            }
            sum += leaves[at - inner];
        }
        sum
    }

    proptest! {
        #[test]
        fn many_at_once_come_to_the_leaves_that_each_walks_to(
            forest in forest(),
            values in vec(vec(value(), COUNT), 0..3 * LANES),
        ) {
            let vectors: Vec<Vector> = values.iter().map(|row| Vector::try_from(&row[..]).unwrap()).collect();
            let mut odds = Vec::new();
            forest.odds(&vectors, &mut odds);
            let walked: Vec<f32> = vectors.iter().map(|vector| walk(&forest, vector)).collect();
            prop_assert_eq!(odds, walked);
        }
    }
}
