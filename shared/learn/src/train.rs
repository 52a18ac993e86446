//! Training and judging the ranker.
//!
//! ```text
//! impressions of each day ─► vectors from the generation that served them ─► Rows
//! Rows ─► bins ─► grow ─► Forest           Rows of the newest day, held out ─► judge, duel
//! ```
//!
//! A histogram gradient-boosting machine of our own: logistic loss, 254 bins a feature, complete
//! trees grown level by level, second-order leaves with L2 (Friedman 2001; Chen and Guestrin, KDD
//! 2016; Ke et al., NIPS 2017). Everything drawn is drawn from a seed, so the same rows give the
//! same bytes.
//!
//! Position: an impression is a video that *was on the screen*, so who never scrolled that far is
//! no negative. What remains, that a first place is liked more for being first, is learned as an
//! offset per position beside the trees and left out when serving.

mod bins;
mod draw;
mod grow;
mod judge;

use engine::feature::Vector;
use std::sync::Arc;

use serde::Serialize;

pub use grow::grow;
pub use judge::{Duel, Judgement, Reliability, duel, judge};

/// How a ranker is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Days of impressions that are learned from, before the newest one, which judges; at least 2.
    pub days: u32,
    /// Impressions that are learned from, at most; users are left out whole, by a hash.
    pub rows_max: usize,
    /// With fewer impressions on a side nothing is concluded.
    pub rows_min: usize,
    /// Most trees; how many are kept is found out on the newest day that is learned from.
    pub trees_max: usize,
    /// Rounds without an improvement before growing ends.
    pub patience: usize,
    /// Steps from a root to a leaf.
    pub depth: usize,
    /// Share of each tree's answer that is taken.
    pub learning_rate: f32,
    /// Pulls leaves towards 0.
    pub l2: f32,
    /// Least weight (sum of p × (1 − p)) of a side of a split.
    pub child_weight_min: f32,
    /// Share of the rows each tree sees.
    pub row_share: f32,
    /// Share of the features each tree sees.
    pub feature_share: f32,
    /// Features that can only speak for a video (see [`engine::feature::FEATURES`]) may only lift.
    pub rising: bool,
    /// What is drawn is drawn from it.
    pub seed: u64,
    /// Users asked when it is found out how far the model leans the order.
    pub users_max: usize,
    /// The model that serves now, to be beaten.
    pub current: Option<Arc<[u8]>>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            days: 5,
            rows_max: 500_000,
            rows_min: 1_000,
            trees_max: 300,
            patience: 25,
            depth: 5,
            learning_rate: 0.05,
            l2: 10.0,
            child_weight_min: 10.0,
            row_share: 0.8,
            feature_share: 0.6,
            rising: true,
            seed: 1,
            users_max: 2_000,
            current: None,
        }
    }
}

/// Impressions: what was known, and what came of it. All lists are as long as each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// What was known.
    pub vectors: Vec<Vector>,
    /// Whether what is learned followed: a long view, or a click where no watching was measured.
    pub right: Vec<bool>,
    /// Whether a click followed.
    pub clicked: Vec<bool>,
    /// Position in the slate from 0; [`POSITION_UNKNOWN`] where not known.
    pub positions: Vec<u16>,
    /// Number of the user; rows of one user lie side by side.
    pub users: Vec<u32>,
    /// Dense id of the video in the generation its vector was read from.
    pub items: Vec<u32>,
}

/// No position was told.
pub const POSITION_UNKNOWN: u16 = u16::MAX;

impl Rows {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vectors.is_empty()
    }

    /// Adds the rows of another time.
    pub fn extend(&mut self, other: &Self) {
        self.vectors.extend_from_slice(&other.vectors);
        self.right.extend_from_slice(&other.right);
        self.clicked.extend_from_slice(&other.clicked);
        self.positions.extend_from_slice(&other.positions);
        self.users.extend_from_slice(&other.users);
        self.items.extend_from_slice(&other.items);
    }
}

/// What came of training.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Trained {
    /// Impressions that were learned from.
    pub learned: usize,
    /// Impressions, learned from or judged on, whose features were read from the generation that
    /// served them; the others' from their night made again.
    pub as_served: usize,
    /// Impressions of those days that name no generation that is kept, on days when most others do.
    pub left_out: usize,
    /// Trees that were kept.
    pub trees: usize,
    /// The new model on the newest day.
    pub judgement: Option<Judgement>,
    /// The new model against the one it would replace, or against the best single feature.
    pub duel: Option<Duel>,
    /// Power of the chance in a score.
    pub blend: f32,
    /// What was done with it.
    pub outcome: Outcome,
}

/// Which model a generation carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The one trained now: it did not lose.
    Published,
    /// The one of before: the new one lost, or there was too little to learn from.
    Kept,
    /// None: the first ranker serves.
    #[default]
    Absent,
}
