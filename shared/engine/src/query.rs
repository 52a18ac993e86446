//! One fully prepared request.

use std::collections::HashSet;
use std::sync::Arc;

use guard::Deadline;
use smol_str::SmolStr;

use crate::index::Index;
use crate::tuning::EngineTuning;
use crate::{UserState, VideoId};

/// Everything a pipeline needs to know; it asks nobody else.
#[derive(Debug, Clone)]
pub struct Query {
    /// The generation to read, one for the whole request.
    pub index: Arc<Index>,
    /// Which sources answer.
    pub recipe: Recipe,
    /// Who asks, when known.
    pub user: Option<Arc<UserState>>,
    /// Recent videos named by the request itself, newest last.
    pub session: Vec<VideoId>,
    /// The place in the product.
    pub scene: SmolStr,
    /// The viewer's country; empty when not known.
    pub market: SmolStr,
    /// Only these categories; all when empty.
    pub categories: Vec<SmolStr>,
    /// Whether one of the categories is enough.
    pub categories_match: CategoriesMatch,
    /// Never these.
    pub exclude: Vec<VideoId>,
    /// Hidden or deleted since the generation was built.
    pub hidden: Arc<HashSet<VideoId>>,
    /// How many items are wanted, at most [`crate::slate::SLATE_ITEMS_MAX`].
    pub wanted: usize,
    /// The one snapshot this request reads.
    pub tuning: Arc<EngineTuning>,
    /// When the answer must exist.
    pub deadline: Deadline,
    /// Unix time in milliseconds, for availability windows and freshness.
    pub now_ms: i64,
    /// The randomness of this request.
    pub seed: u64,
}

/// Which sources answer a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// Every source the scene's tuning switches on.
    Personal,
    /// The slate of one cohort.
    Cohort(u32),
    /// Neighbours of one video.
    Similar(VideoId),
    /// What the market watches.
    Trending,
    /// The newest.
    Latest,
    /// Liked by many for long.
    Popular,
}

/// How several categories combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CategoriesMatch {
    /// One is enough.
    #[default]
    Any,
    /// Every one is needed.
    All,
}
