//! What happened lately: decayed, corrected for impressions, everywhere and per viewers' market.

use engine::index::format::Scored;
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use super::counts::half;
use super::diary::{History, Liked, Once};
use super::neighbours::best;
use super::shelf::Catalogue;
use crate::options::Window;

const HOUR_MS: i64 = 3_600_000;
/// Decayed impressions that a video's own rate has to outweigh.
const PRIOR_IMPRESSIONS: f64 = 20.0;
/// Less than this is no trend, only history.
const MOMENTUM_MIN: f64 = 1e-6;

/// Decayed likings and impressions of a video.
#[derive(Debug, Clone, Copy, Default)]
struct Trend {
    likes: f64,
    shown: f64,
}

/// What happened lately, everywhere and per viewers' market.
#[derive(Debug)]
pub(super) struct Trends {
    /// By dense id.
    everywhere: Vec<Trend>,
    markets: FxHashMap<SmolStr, FxHashMap<u32, Trend>>,
}

/// What an hour counts for.
struct Hours {
    window: Window,
    now_hour: i64,
    last: (i64, f64),
}

impl Hours {
    fn weight(&mut self, hour: i64) -> f64 {
        if self.last.0 != hour {
            let age_ms = self.now_hour.saturating_sub(hour).saturating_mul(HOUR_MS);
            let counts = hour <= self.now_hour && age_ms < self.window.longest_ms;
            let weight = half(age_ms, self.window.half_life_ms);
            self.last = (hour, if counts { weight } else { 0.0 });
        }
        self.last.1
    }
}

impl Trends {
    /// What has happened by `now_ms`, as `window` counts it. One user counts once per video and
    /// hour; an hour counts by its age.
    pub(super) fn new(history: &History, videos: usize, window: Window, now_ms: i64) -> Self {
        let now_hour = now_ms.div_euclid(HOUR_MS);
        let last = (i64::MAX, 0.0);
        let mut hours = Hours {
            window,
            now_hour,
            last,
        };
        let mut trends = Self {
            everywhere: vec![Trend::default(); videos],
            markets: FxHashMap::default(),
        };
        let mut once = Once::new(videos);
        for user in &history.users {
            let mut now = i64::MIN;
            // What was liked before impressions were reported cannot be corrected for them.
            let counts =
                |liked: &&Liked| liked.ts_ms >= history.rated_from_ms && liked.ts_ms <= now_ms;
            for liked in history.liked(user).iter().filter(counts) {
                let hour = liked.ts_ms.div_euclid(HOUR_MS);
                if std::mem::replace(&mut now, hour) != hour {
                    once.begin();
                }
                let likes = hours.weight(hour);
                if once.first(liked.item) && likes > 0.0 {
                    let trend = Trend { likes, shown: 0.0 };
                    trends.add(history, liked.market, liked.item, trend);
                }
            }
        }
        for (shown, count) in &history.shown {
            let weight = hours.weight(shown.hour);
            let trend = Trend {
                likes: 0.0,
                shown: weight * f64::from(*count),
            };
            if weight > 0.0 {
                trends.add(history, shown.market, shown.item, trend);
            }
        }
        trends
    }

    /// Decayed likings of a video, everywhere.
    pub(super) fn momentum(&self, item: u32) -> f32 {
        let trend = self.everywhere.get(item as usize);
        trend.map_or(0.0, |trend| trend.likes as f32)
    }

    /// The best everywhere.
    pub(super) fn everywhere(&self, catalogue: &Catalogue, most: usize) -> Vec<Scored> {
        list(catalogue, self.rows(), most)
    }

    /// The best of a market; empty where nothing happened.
    pub(super) fn of_market(
        &self,
        catalogue: &Catalogue,
        market: &SmolStr,
        most: usize,
    ) -> Vec<Scored> {
        let trended = self.markets.get(market);
        let mut rows: Vec<(u32, Trend)> = trended
            .into_iter()
            .flatten()
            .map(|(item, trend)| (*item, *trend))
            .collect();
        // Sums of floats depend on their order; a hash table has none.
        rows.sort_unstable_by_key(|(item, _)| *item);
        list(catalogue, rows, most)
    }

    /// The best of each category, everywhere; each list is corrected by its own rate.
    pub(super) fn categories(&self, catalogue: &Catalogue, most: usize) -> Vec<Vec<Scored>> {
        let mut rows: Vec<Vec<(u32, Trend)>> = vec![Vec::new(); catalogue.categories.len()];
        for (item, trend) in self.rows() {
            for category in catalogue.categories_of(item) {
                if let Some(own) = rows.get_mut(*category as usize) {
                    own.push((item, trend));
                }
            }
        }
        rows.into_iter()
            .map(|own| list(catalogue, own, most))
            .collect()
    }

    fn rows(&self) -> Vec<(u32, Trend)> {
        let all = (0u32..).zip(self.everywhere.iter().copied());
        all.filter(|(_, trend)| trend.likes > 0.0 || trend.shown > 0.0)
            .collect()
    }

    fn add(&mut self, history: &History, market: u32, item: u32, trend: Trend) {
        let market = history.markets.get(market as usize);
        if let Some(market) = market.filter(|market| !market.is_empty()) {
            let own = match self.markets.get_mut(market) {
                Some(own) => own,
                None => self.markets.entry(market.clone()).or_default(),
            };
            own.entry(item).or_default().grow(trend);
        }
        if let Some(own) = self.everywhere.get_mut(item as usize) {
            own.grow(trend);
        }
    }
}

impl Trend {
    fn grow(&mut self, by: Self) {
        self.likes += by.likes;
        self.shown += by.shown;
    }

    /// Likings, lifted by the root of how much better than average the video does where it is
    /// shown.
    fn corrected(self, rate: f64) -> f64 {
        let met = self.shown.max(self.likes);
        let own = (self.likes + PRIOR_IMPRESSIONS * rate) / (met + PRIOR_IMPRESSIONS);
        self.likes * (own / rate.max(f64::MIN_POSITIVE)).sqrt()
    }
}

fn list(catalogue: &Catalogue, rows: Vec<(u32, Trend)>, most: usize) -> Vec<Scored> {
    let likes: f64 = rows.iter().map(|(_, trend)| trend.likes).sum();
    let met: f64 = rows
        .iter()
        .map(|(_, trend)| trend.shown.max(trend.likes))
        .sum();
    let rate = if met > 0.0 { likes / met } else { 1.0 };
    let scored = rows
        .into_iter()
        .filter(|(item, trend)| trend.likes > MOMENTUM_MIN && !catalogue.hidden(*item))
        .map(|(item, trend)| (item, trend.corrected(rate) as f32));
    best(&mut scored.collect(), most)
}
