//! What one user's profile says of every video.

use super::outlook::{Outlook, smoothed};
use super::{Named, Vector};
use crate::index::format::{ItemRow, NONE, Scored, StatsRow};
use crate::{Index, Profile};

/// Remembered long views that speak for others, the newest first.
const SEEDS_MAX: usize = 50;
/// Weight of the next older one.
const SEED_DECAY: f32 = 0.95;
const DAY_MS: f32 = 86_400_000.0;

/// Sums per dense id, reused from user to user, so that a user costs no allocation once grown.
#[derive(Debug, Default)]
pub struct Scratch {
    cells: Vec<Cell>,
    touched: Vec<u32>,
    seeds: Vec<u32>,
    creators: Vec<u32>,
    categories: Vec<(u32, f32)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    together: f32,
    best: f32,
    alike: f32,
}

/// A user's profile, looked up in a generation.
#[derive(Debug)]
pub struct Taste<'a> {
    index: &'a Index,
    outlook: &'a Outlook,
    items: &'a [ItemRow],
    stats: &'a [StatsRow],
    scratch: &'a mut Scratch,
    known: Option<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    rate: f32,
    duration: f32,
}

impl<'a> Taste<'a> {
    /// Looks a profile up; without one everything personal is unknown.
    #[must_use]
    pub fn new(
        index: &'a Index,
        outlook: &'a Outlook,
        profile: Option<&Profile>,
        scratch: &'a mut Scratch,
    ) -> Self {
        scratch.begin(index.videos());
        let mut taste = Self {
            index,
            outlook,
            items: index.items(),
            stats: index.stats(),
            scratch,
            known: None,
        };
        if let Some(profile) = profile {
            taste.take(profile);
        }
        taste
    }

    /// What is known of a video for this user, in a scene of that rate, at that Unix time in
    /// milliseconds.
    #[must_use]
    pub fn vector(&self, item: u32, scene_rate: f32, now_ms: i64) -> Vector {
        let Some(row) = self.items.get(item as usize) else {
            return [f32::NAN; super::COUNT];
        };
        let stats = self.stats.get(item as usize).copied().unwrap_or_default();
        let rates = self.outlook.rates;
        let shown = stats.impressions.get() as f32;
        let share = |part: u32, prior: f32| smoothed(part as f32, shown, prior);
        let quality = row.quality.get();
        let (popularity, momentum) = (row.popularity.get().max(0.0), row.momentum.get().max(0.0));
        let (creator_long_view_rate, creator_impressions) = self.outlook.creator(row.creator.get());
        let duration = ln_seconds(row.duration_ms.get());
        let cell = self.scratch.cells.get(item as usize).copied();
        let cell = cell.unwrap_or_default();
        let known = self.known;
        let personal = |value: f32| known.map_or(f32::NAN, |_| value);
        let rate = known.map_or(f32::NAN, |known| known.rate);
        Named {
            video_long_view_rate: quality,
            video_click_rate: share(stats.clicks.get(), rates.click),
            video_reaction_rate: share(stats.reactions.get(), rates.reaction),
            video_impressions: shown.ln_1p(),
            video_popularity: popularity.ln_1p(),
            video_momentum: momentum.ln_1p(),
            video_rise: momentum / (popularity + 1.0),
            video_age: age_days(row.published_ms.get(), now_ms),
            video_duration: duration,
            creator_long_view_rate,
            creator_impressions,
            category_long_view_rate: self.category_rate(item),
            user_long_view_rate: rate,
            user_long_views: personal((self.scratch.seeds.len() as f32).ln_1p()),
            user_video_chance: rate * quality / rates.long_view.max(1e-3),
            user_category_share: personal(self.category_share(item)),
            user_creator_views: personal(self.creator_views(row.creator.get())),
            user_duration_gap: duration - known.map_or(f32::NAN, |known| known.duration),
            watched_together: personal(cell.together),
            watched_together_best: personal(cell.best),
            about_the_same: personal(cell.alike),
            scene_long_view_rate: scene_rate,
        }
        .vector()
    }

    fn take(&mut self, profile: &Profile) {
        let names = self.index.categories();
        let weights = profile.categories.iter();
        let numbered = weights.filter_map(|(name, weight)| Some((names.find(name)?, *weight)));
        self.scratch.categories.extend(numbered);
        let newest = profile.long_term.iter().rev();
        let found = newest.filter_map(|video| self.index.find(video.as_str()));
        self.scratch.seeds.extend(found.take(SEEDS_MAX));
        let (mut sum, mut count, mut weight) = (0.0, 0.0, 1.0);
        for place in 0..self.scratch.seeds.len() {
            let Some(seed) = self.scratch.seeds.get(place).copied() else {
                break;
            };
            if let Some(row) = self.items.get(seed as usize) {
                self.scratch.creators.push(row.creator.get());
                let length = ln_seconds(row.duration_ms.get());
                if length.is_finite() {
                    (sum, count) = (sum + length, count + 1.0);
                }
            }
            self.scratch
                .watched_together(self.index.neighbours().row(seed), weight);
            self.scratch.alike(self.index.content().row(seed), weight);
            weight *= SEED_DECAY;
        }
        self.known = Some(Known {
            rate: profile.long_view_rate,
            duration: if count > 0.0 { sum / count } else { f32::NAN },
        });
    }

    fn category_rate(&self, item: u32) -> f32 {
        let own = self.index.item_categories().row(item);
        own.iter()
            .map(|category| self.outlook.category(category.get()))
            .fold(f32::NAN, f32::max)
    }

    fn category_share(&self, item: u32) -> f32 {
        let own = self.index.item_categories().row(item);
        let weights = self.scratch.categories.iter();
        let shared = weights.filter(|(number, _)| own.iter().any(|c| c.get() == *number));
        shared.map(|(_, weight)| weight).sum()
    }

    fn creator_views(&self, creator: u32) -> f32 {
        let all = self.scratch.creators.iter();
        all.filter(|own| **own == creator && creator != NONE)
            .count() as f32
    }
}

impl Scratch {
    fn begin(&mut self, videos: usize) {
        for item in self.touched.drain(..) {
            if let Some(cell) = self.cells.get_mut(item as usize) {
                *cell = Cell::default();
            }
        }
        if self.cells.len() < videos {
            self.cells.resize(videos, Cell::default());
        }
        self.seeds.clear();
        self.creators.clear();
        self.categories.clear();
    }

    fn watched_together(&mut self, row: &[Scored], weight: f32) {
        for near in row {
            let (item, score) = (near.item.get(), near.score.get());
            if let Some(cell) = self.cells.get_mut(item as usize) {
                cell.together += weight * score;
                cell.best = cell.best.max(score);
                self.touched.push(item);
            }
        }
    }

    fn alike(&mut self, row: &[Scored], weight: f32) {
        for near in row {
            let (item, score) = (near.item.get(), near.score.get());
            if let Some(cell) = self.cells.get_mut(item as usize) {
                cell.alike += weight * score;
                self.touched.push(item);
            }
        }
    }
}

fn ln_seconds(duration_ms: u32) -> f32 {
    if duration_ms == 0 {
        f32::NAN
    } else {
        (duration_ms as f32 / 1000.0).ln()
    }
}

fn age_days(published_ms: i64, now_ms: i64) -> f32 {
    if published_ms <= 0 {
        f32::NAN
    } else {
        now_ms.saturating_sub(published_ms) as f32 / DAY_MS
    }
}
