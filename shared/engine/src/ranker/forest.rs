//! Boosted trees as flat arrays.
//!
//! Every tree is complete: the children of split n are 2n + 1 and 2n + 2, so there is no child to
//! be out of bounds or its own ancestor, and every way down is equally long. A branch
//! that ends early goes on through splits that everything passes to the left.
//!
//! What is compared are not the values but how many of the feature's thresholds lie below them,
//! as in histogram-based boosting (Ke et al.: LightGBM, NIPS 2017): the same answers, from numbers
//! of half the size, of which a processor compares twice as many at once.

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
    cuts: Cuts,
    /// The splits as they are asked.
    questions: Vec<Question>,
}

/// Of every feature the thresholds it is compared with, rising, each once.
type Cuts = [Vec<f32>; COUNT];

/// A split, told in ranks.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Question {
    /// Place in [`Columns`].
    column: u16,
    /// Place of the threshold among the feature's.
    rank: i16,
}

impl Forest {
    /// Checks every split and leaf and takes them; `None` when one is out of bounds or not finite, the
    /// arrays do not fit, or a feature has more than 32,766 different thresholds. `splits` holds 2^depth − 1 per tree, `leaves` 2^depth.
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
        if !fits || !sound {
            return None;
        }
        let cuts = cuts(&splits)?;
        let questions = splits.iter().map(|split| Question::new(split, &cuts));
        Some(Self {
            depth,
            base,
            questions: questions.collect(),
            splits,
            leaves,
            cuts,
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
        let (mut columns, mut answers) = (Columns::default(), Answers::default());
        for (vectors, sums) in vectors.chunks(LANES).zip(odds.chunks_mut(LANES)) {
            columns.fill(vectors, &self.cuts);
            let trees = self.questions.chunks_exact(inner);
            for (questions, leaves) in trees.zip(self.leaves.chunks_exact(inner + 1)) {
                let found = answers.of(questions, &columns);
                for (sum, leaf) in sums.iter_mut().zip(found) {
                    *sum += leaves.get(*leaf as usize).copied().unwrap_or(0.0);
                }
            }
        }
    }
}

/// `None` when there are more of one feature than a rank can tell apart.
fn cuts(splits: &[Split]) -> Option<Cuts> {
    let mut cuts: Cuts = std::array::from_fn(|_| Vec::new());
    for split in splits {
        cuts.get_mut(usize::from(split.feature))?
            .push(split.threshold);
    }
    for own in &mut cuts {
        own.sort_unstable_by(f32::total_cmp);
        own.dedup();
    }
    let told_apart = |own: &Vec<f32>| own.len() < i16::MAX as usize;
    cuts.iter().all(told_apart).then_some(cuts)
}

/// How many of the thresholds lie below a value.
#[inline]
fn rank(cuts: &[f32], value: f32) -> i16 {
    // There are fewer than `i16::MAX`, see [`cuts`].
    cuts.partition_point(|cut| *cut < value) as i16
}

impl Question {
    fn new(split: &Split, cuts: &Cuts) -> Self {
        let own = cuts.get(usize::from(split.feature));
        Self {
            column: 2 * split.feature + u16::from(split.missing_right),
            rank: own.map_or(0, |own| rank(own, split.threshold)),
        }
    }
}

/// One number per vector: a rank, or a leaf.
type Lanes = [i16; LANES];

/// Ranks of the vectors' values side by side, two columns per feature: one with what is not known
/// below every threshold, so that it goes left, one with what is not known above.
struct Columns([[Lanes; 2]; COUNT]);

impl Default for Columns {
    fn default() -> Self {
        Self([[[0; LANES]; 2]; COUNT])
    }
}

impl Columns {
    fn fill(&mut self, vectors: &[Vector], cuts: &Cuts) {
        for (feature, ([left, right], cuts)) in self.0.iter_mut().zip(cuts).enumerate() {
            // Much is the same for all candidates of somebody.
            let (mut last, mut known) = (f32::NEG_INFINITY, 0);
            let lanes = left.iter_mut().zip(right);
            for ((left, right), vector) in lanes.zip(vectors) {
                let value = vector.get(feature).copied().unwrap_or(f32::NAN);
                if value.is_nan() {
                    (*left, *right) = (0, i16::MAX);
                    continue;
                }
                if value != last {
                    (last, known) = (value, rank(cuts, value));
                }
                (*left, *right) = (known, known);
            }
        }
    }

    /// The ranks that a question compares.
    #[inline]
    fn of(&self, question: Question) -> &Lanes {
        let column = self.0.as_flattened().get(usize::from(question.column));
        column.unwrap_or(&[0; LANES])
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
            level: [[0; LANES]; 1 << (DEPTH_MAX - 1)],
            below: [[0; LANES]; 1 << (DEPTH_MAX - 1)],
        }
    }
}

impl Answers {
    /// The leaves that the vectors come to.
    #[inline]
    fn of(&mut self, questions: &[Question], columns: &Columns) -> &Lanes {
        let (mut level, mut below) = (&mut self.level, &mut self.below);
        let (mut above, lowest) = questions.split_at(questions.len() / 2);
        for ((answer, question), left) in level.iter_mut().zip(lowest).zip((0..).step_by(2)) {
            for (answer, rank) in answer.iter_mut().zip(columns.of(*question)) {
                *answer = left + i16::from(*rank > question.rank);
            }
        }
        while !above.is_empty() {
            std::mem::swap(&mut level, &mut below);
            let (higher, own) = above.split_at(above.len() / 2);
            let pairs = below.chunks_exact(2).zip(own);
            for (answer, (pair, question)) in level.iter_mut().zip(pairs) {
                if let [left, right] = pair {
                    choose(answer, *question, columns, left, right);
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
fn choose(answer: &mut Lanes, question: Question, columns: &Columns, left: &Lanes, right: &Lanes) {
    let mut above = [0_i16; LANES];
    for (above, rank) in above.iter_mut().zip(columns.of(question)) {
        *above = -i16::from(*rank > question.rank);
    }
    let sides = above.iter().zip(left.iter().zip(right));
    for (answer, (above, (left, right))) in answer.iter_mut().zip(sides) {
        *answer = (left & !above) | (right & above);
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
        // In two halves, side by side: 256 in both.
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_few_come_to_the_leaves_that_each_walks_to(
            forest in forest(),
            values in vec(vec(value(), COUNT), 0..LANES),
        ) {
            prop_assert_eq!(odds(&forest, &values), walks(&forest, &values));
        }

        #[test]
        fn many_at_once_come_to_the_leaves_that_each_walks_to(
            forest in forest(),
            values in vec(vec(value(), COUNT), LANES..3 * LANES),
        ) {
            prop_assert_eq!(odds(&forest, &values), walks(&forest, &values));
        }
    }

    fn vectors(values: &[Vec<f32>]) -> Vec<Vector> {
        let vector = |row: &Vec<f32>| Vector::try_from(&row[..]).unwrap();
        values.iter().map(vector).collect()
    }

    fn odds(forest: &Forest, values: &[Vec<f32>]) -> Vec<f32> {
        let mut odds = Vec::new();
        forest.odds(&vectors(values), &mut odds);
        odds
    }

    fn walks(forest: &Forest, values: &[Vec<f32>]) -> Vec<f32> {
        vectors(values)
            .iter()
            .map(|vector| walk(forest, vector))
            .collect()
    }
}
