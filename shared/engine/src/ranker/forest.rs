//! Boosted trees as flat arrays.
//!
//! Every tree is complete: the children of split n are 2n + 1 and 2n + 2, so there is no child to
//! be out of bounds or its own ancestor, and every walk takes the same number of steps. A branch
//! that ends early goes on through splits that everything passes to the left.

use crate::feature::{COUNT, Vector};

/// Most trees.
pub const TREES_MAX: usize = 2_000;
/// Most steps from a root to a leaf.
pub const DEPTH_MAX: usize = 8;
/// Vectors that walk a tree side by side.
const LANES: usize = 8;

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
    /// Tree by tree, so that a tree stays in the first cache, and some vectors at a time, so that
    /// walks that do not wait for each other overlap. No step depends on a branch.
    pub fn odds(&self, vectors: &[Vector], odds: &mut Vec<f32>) {
        odds.clear();
        odds.resize(vectors.len(), self.base);
        let inner = (1 << self.depth) - 1;
        let trees = self.splits.chunks_exact(inner);
        for (splits, leaves) in trees.zip(self.leaves.chunks_exact(inner + 1)) {
            let lanes = vectors.chunks(LANES).zip(odds.chunks_mut(LANES));
            for (vectors, sums) in lanes {
                let mut places = [0; LANES];
                for _ in 0..self.depth {
                    for (vector, at) in vectors.iter().zip(&mut places) {
                        *at = step(splits, vector, *at);
                    }
                }
                for (sum, at) in sums.iter_mut().zip(places) {
                    *sum += leaves.get(at - inner).copied().unwrap_or(0.0);
                }
            }
        }
    }
}

/// The child that a vector goes to from a split.
#[inline]
fn step(splits: &[Split], vector: &Vector, at: usize) -> usize {
    let split = splits.get(at).copied().unwrap_or(Split::PASS);
    let value = vector.get(usize::from(split.feature));
    let value = value.copied().unwrap_or(f32::NAN);
    let right = (value > split.threshold) | (value.is_nan() & split.missing_right);
    2 * at + 1 + usize::from(right)
}

/// The chance that odds of this logarithm stand for.
#[must_use]
pub fn chance(odds: f32) -> f32 {
    1.0 / (1.0 + (-odds).exp())
}
