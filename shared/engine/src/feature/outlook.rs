//! What a generation says of creators, categories and scenes.

use xxhash_rust::xxh3::xxh3_64;

use crate::Index;
use crate::index::format::StatsRow;

/// Impressions that a video's or creator's own rate has to outweigh.
const PRIOR_IMPRESSIONS: f32 = 20.0;
/// Impressions that a category's own rate has to outweigh.
const PRIOR_CATEGORY: f32 = 50.0;
/// Impressions that a scene's own rate has to outweigh.
const PRIOR_SCENE: f32 = 100.0;
/// The rate where nothing was counted.
const RATE_UNKNOWN: f32 = 0.5;

/// What is the same for all users of a generation; made once, when it is opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    pub(super) rates: Rates,
    creators: Vec<Counted>,
    categories: Vec<Counted>,
    scenes: Scenes,
}

/// Rates over everything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    pub(super) long_view: f32,
    pub(super) click: f32,
    pub(super) reaction: f32,
}

/// Impressions and long views.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counted {
    impressions: f32,
    long_views: f32,
}

impl Counted {
    fn add(&mut self, row: &StatsRow) {
        self.impressions += row.impressions.get() as f32;
        self.long_views += row.long_views.get() as f32;
    }
}

impl Outlook {
    /// Adds up what the generation counted.
    #[must_use]
    pub fn new(index: &Index, scenes: Scenes) -> Self {
        let mut creators = vec![Counted::default(); index.creators().len()];
        let mut categories = vec![Counted::default(); index.categories().len()];
        let (mut shown, mut long, mut clicks, mut reactions) = (0.0f64, 0.0, 0.0, 0.0);
        let of_video = index.item_categories();
        for (item, (row, stats)) in (0u32..).zip(index.items().iter().zip(index.stats())) {
            shown += f64::from(stats.impressions.get());
            long += f64::from(stats.long_views.get());
            clicks += f64::from(stats.clicks.get());
            reactions += f64::from(stats.reactions.get());
            if let Some(creator) = creators.get_mut(row.creator.get() as usize) {
                creator.add(stats);
            }
            for category in of_video.row(item) {
                if let Some(category) = categories.get_mut(category.get() as usize) {
                    category.add(stats);
                }
            }
        }
        let rate = |part: f64| {
            if shown > 0.0 {
                (part / shown).min(1.0) as f32
            } else {
                RATE_UNKNOWN
            }
        };
        Self {
            rates: Rates {
                long_view: rate(long),
                click: rate(clicks),
                reaction: rate(reactions),
            },
            creators,
            categories,
            scenes,
        }
    }

    /// The smoothed rate of a place in the product; everybody's where nothing is known of it.
    #[must_use]
    pub fn scene(&self, name: &str) -> f32 {
        self.scenes.rate(name)
    }

    pub(super) fn creator(&self, number: u32) -> (f32, f32) {
        let own = self.creators.get(number as usize);
        own.map_or((f32::NAN, f32::NAN), |own| {
            let rate = smoothed(own.long_views, own.impressions, self.rates.long_view);
            (rate, own.impressions.ln_1p())
        })
    }

    pub(super) fn category(&self, number: u32) -> f32 {
        let own = self.categories.get(number as usize);
        own.map_or(f32::NAN, |own| {
            (own.long_views + PRIOR_CATEGORY * self.rates.long_view)
                / (own.impressions + PRIOR_CATEGORY)
        })
    }
}

/// A rate pulled towards everybody's where little was counted.
pub(super) fn smoothed(part: f32, of: f32, prior: f32) -> f32 {
    (part + PRIOR_IMPRESSIONS * prior) / (of + PRIOR_IMPRESSIONS)
}

/// Smoothed rates of the places in the product, by a hash of their names.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenes {
    rows: Vec<(u64, f32)>,
    overall: f32,
}

impl Default for Scenes {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            overall: RATE_UNKNOWN,
        }
    }
}

impl Scenes {
    /// From impressions and positive ones per scene.
    #[must_use]
    pub fn counted<'a>(rows: impl Iterator<Item = (&'a str, u32, u32)> + Clone) -> Self {
        let (shown, positive) = rows
            .clone()
            .fold((0.0, 0.0), |(shown, positive), (_, n, m)| {
                (shown + n as f32, positive + m as f32)
            });
        if shown <= 0.0 {
            return Self::default();
        }
        let overall = positive / shown;
        let rate = |n: u32, m: u32| (m as f32 + PRIOR_SCENE * overall) / (n as f32 + PRIOR_SCENE);
        let rows = rows.map(|(name, n, m)| (hash(name), rate(n, m)));
        Self::from_rows(rows.collect(), overall)
    }

    /// From hashes of names and rates, in any order.
    #[must_use]
    pub fn from_rows(mut rows: Vec<(u64, f32)>, overall: f32) -> Self {
        rows.sort_unstable_by_key(|(name, _)| *name);
        rows.dedup_by_key(|(name, _)| *name);
        Self { rows, overall }
    }

    /// Hashes of names and rates, ascending by hash.
    #[must_use]
    pub fn rows(&self) -> &[(u64, f32)] {
        &self.rows
    }

    /// The rate over all scenes.
    #[must_use]
    pub fn overall(&self) -> f32 {
        self.overall
    }

    /// The rate of a scene; the one over all where it is not known.
    #[must_use]
    pub fn rate(&self, name: &str) -> f32 {
        let place = self.rows.binary_search_by_key(&hash(name), |row| row.0);
        let row = place.ok().and_then(|place| self.rows.get(place));
        row.map_or(self.overall, |row| row.1)
    }
}

fn hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}
