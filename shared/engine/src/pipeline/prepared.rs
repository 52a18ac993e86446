//! A query with its videos looked up, once for all stages.

mod met;

use std::borrow::Cow;
use std::time::Duration;

use guard::Deadline;
use rustc_hash::FxHashSet;

use crate::index::format::{ItemRow, NONE};
use crate::interest::{Meeting, interest};
use crate::tuning::Scene;
use crate::{CategoriesMatch, Index, Query, Recipe, UserState, VideoId};
use met::Met;

/// Seeds taken from recent interactions and the request's session.
pub const SEEDS_MAX: usize = 50;
/// Seeds taken from the long-term profile.
pub const LONG_TERM_MAX: usize = 150;

/// A video that the user liked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seed {
    /// Dense id.
    pub item: u32,
    /// Interest, above 0, at most 1.
    pub weight: f32,
}

/// A query with everything in it resolved to dense ids of its index.
#[derive(Debug)]
pub struct Prepared<'a> {
    /// What was asked.
    pub query: &'a Query,
    /// The generation.
    pub index: &'a Index,
    /// Tuning of the scene.
    pub scene: Cow<'a, Scene>,
    /// The rows of the index.
    pub items: &'a [ItemRow],
    /// Number of the viewer's market, when the generation knows it.
    pub market: Option<u32>,
    /// What the user liked, newest first, without repeats.
    pub seeds: Vec<Seed>,
    /// What the user liked before that, newest first, without repeats and without seeds.
    pub long_term: Vec<Seed>,
    /// When proposals must exist.
    pub recall_deadline: Deadline,
    met: Met,
    hidden_items: FxHashSet<u32>,
    hidden_creators: Vec<u32>,
    excluded: FxHashSet<u32>,
    categories: Option<Vec<u32>>,
}

impl<'a> Prepared<'a> {
    /// Looks everything up.
    #[must_use]
    pub fn new(query: &'a Query) -> Self {
        let index: &Index = &query.index;
        let scene = query.tuning.scene(&query.scene);
        let recall = Duration::from_millis(u64::from(query.tuning.budgets.recall_ms));
        let mut prepared = Self {
            query,
            index,
            scene: scene.map_or_else(|| Cow::Owned(Scene::default()), Cow::Borrowed),
            items: index.items(),
            market: index.markets().find(&query.market),
            seeds: Vec::new(),
            long_term: Vec::new(),
            recall_deadline: query.deadline.child(recall),
            met: Met::default(),
            hidden_items: FxHashSet::default(),
            hidden_creators: Vec::new(),
            excluded: resolve(index, &query.exclude),
            categories: None,
        };
        prepared.take_categories();
        prepared.take_session();
        if let Some(user) = query.user.as_deref() {
            prepared.take_user(user);
        }
        if let Recipe::Similar(video) = &query.recipe {
            prepared.become_similar_to(video);
        }
        prepared
    }

    /// Whether the user met the video before.
    #[must_use]
    pub fn seen(&self, item: u32) -> bool {
        self.met.contains(item, self.seen_hash(item))
    }

    /// At most so many videos were met before; where hashes collide, more look so.
    #[must_use]
    pub fn met_max(&self) -> usize {
        self.met.len_max()
    }

    /// Whether the user hid the video or its creator.
    #[must_use]
    pub fn hidden_by_user(&self, item: u32) -> bool {
        let creator = self
            .items
            .get(item as usize)
            .map_or(NONE, |row| row.creator.get());
        self.hidden_items.contains(&item) || self.hidden_creators.contains(&creator)
    }

    /// Whether the user hid nothing at all.
    #[must_use]
    pub fn hides_none(&self) -> bool {
        self.hidden_items.is_empty() && self.hidden_creators.is_empty()
    }

    /// Whether the request named nothing as unwanted.
    #[must_use]
    pub fn excludes_none(&self) -> bool {
        self.excluded.is_empty()
    }

    /// Whether the request named the video as unwanted.
    #[must_use]
    pub fn excluded(&self, item: u32) -> bool {
        self.excluded.contains(&item)
    }

    /// Whether the video is about what was asked for.
    #[must_use]
    pub fn in_categories(&self, item: u32) -> bool {
        let Some(wanted) = &self.categories else {
            return true;
        };
        let own = self.index.item_categories().row(item);
        let has = |category: &u32| own.iter().any(|other| other.get() == *category);
        match self.query.categories_match {
            CategoriesMatch::Any => wanted.iter().any(has),
            CategoriesMatch::All => wanted.iter().all(has),
        }
    }

    /// Numbers of the categories asked for ([`NONE`] for unknown ones); `None` for all.
    #[must_use]
    pub fn categories(&self) -> Option<&[u32]> {
        self.categories.as_deref()
    }

    /// Whether a source should spend one of its places on the video: a quick look, the filters
    /// still decide.
    #[must_use]
    pub fn worth_proposing(&self, item: u32) -> bool {
        !self.seen(item) && self.in_categories(item)
    }

    fn take_categories(&mut self) {
        if !self.query.categories.is_empty() {
            let names = self.index.categories();
            let numbers = self
                .query
                .categories
                .iter()
                .map(|name| names.find(name).unwrap_or(NONE));
            self.categories = Some(numbers.collect());
        }
    }

    fn take_session(&mut self) {
        for video in self.query.session.iter().rev() {
            if let Some(item) = self.index.find(video.as_str()) {
                self.take_seed(item, 1.0);
            }
        }
    }

    fn take_user(&mut self, user: &UserState) {
        let long_view_ms = self.query.tuning.long_view_ms;
        let remembered = user.profile.as_ref().map_or(0, |own| own.long_term.len());
        self.met.reserve(user.recent.len() + remembered);
        for past in user.recent.iter().rev() {
            let Some(item) = self.index.find(past.video_id.as_str()) else {
                continue;
            };
            let duration_ms = self
                .items
                .get(item as usize)
                .map_or(0, |row| row.duration_ms.get());
            let meeting = Meeting {
                kind: past.kind,
                watch_ratio: past.watch_ratio,
                duration_ms,
            };
            let weight = interest(meeting, long_view_ms);
            if weight > 0.0 {
                self.take_seed(item, weight);
            } else {
                self.meet(item);
            }
        }
        let long_term = user
            .profile
            .iter()
            .flat_map(|profile| profile.long_term.iter().rev());
        for video in long_term {
            let Some(item) = self.index.find(video.as_str()) else {
                continue;
            };
            if self.meet(item) && self.long_term.len() < LONG_TERM_MAX {
                self.long_term.push(Seed { item, weight: 1.0 });
            }
        }
        self.met.extend(&user.seen);
        self.hidden_items = resolve(self.index, &user.hidden_videos);
        let creators = self.index.creators();
        self.hidden_creators = user
            .hidden_creators
            .iter()
            .filter_map(|c| creators.find(c.as_str()))
            .collect();
    }

    fn take_seed(&mut self, item: u32, weight: f32) {
        if self.meet(item) && self.seeds.len() < SEEDS_MAX {
            self.seeds.push(Seed { item, weight });
        }
    }

    /// `false` when it was met already.
    fn meet(&mut self, item: u32) -> bool {
        let hash = self.seen_hash(item);
        self.met.insert(item, hash)
    }

    fn seen_hash(&self, item: u32) -> u32 {
        let row = self.items.get(item as usize);
        row.map_or(0, |row| row.seen_hash.get())
    }

    fn become_similar_to(&mut self, video: &VideoId) {
        self.long_term.clear();
        self.seeds.clear();
        if let Some(item) = self.index.find(video.as_str()) {
            self.seeds.push(Seed { item, weight: 1.0 });
            self.meet(item);
        }
    }
}

fn resolve(index: &Index, videos: &[VideoId]) -> FxHashSet<u32> {
    videos
        .iter()
        .filter_map(|video| index.find(video.as_str()))
        .collect()
}
