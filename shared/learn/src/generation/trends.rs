//! What happened lately: decayed, corrected for impressions, everywhere and per viewers' market.

use engine::index::format::Scored;
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use super::counts::half;
use super::diary::{History, Liked, Once};
use super::neighbours::{best, key};
use super::shelf::Catalogue;
use crate::options::Window;

const HOUR_MS: i64 = 3_600_000;
/// Decayed impressions that a video's own rate has to outweigh.
const PRIOR_IMPRESSIONS: f64 = 20.0;
/// Hours whose weights are remembered: eleven years.
const HOURS_MAX: usize = 100_000;
/// An hour that counts for less does not count.
const WEIGHT_MIN: f64 = 1e-9;
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
    /// By the history's number of the market.
    markets: Vec<FxHashMap<u32, Trend>>,
    names: Vec<SmolStr>,
}

/// What an hour counts for in each of some windows, by its age.
#[derive(Debug)]
struct Hours<const N: usize> {
    windows: [Window; N],
    now_hour: i64,
    known: Vec<[f64; N]>,
}

impl<const N: usize> Hours<N> {
    fn new(windows: [Window; N], now_ms: i64) -> Self {
        Self {
            windows,
            now_hour: now_ms.div_euclid(HOUR_MS),
            known: Vec::new(),
        }
    }

    fn weights(&mut self, hour: i64) -> [f64; N] {
        let Ok(age) = usize::try_from(self.now_hour.saturating_sub(hour)) else {
            return [0.0; N];
        };
        if age >= HOURS_MAX {
            return self.weights_at(age);
        }
        while self.known.len() <= age {
            self.known.push(self.weights_at(self.known.len()));
        }
        self.known.get(age).copied().unwrap_or([0.0; N])
    }

    fn weights_at(&self, age: usize) -> [f64; N] {
        let age_ms = (age as i64).saturating_mul(HOUR_MS);
        self.windows.map(|window| {
            let weight = half(age_ms, window.half_life_ms);
            let counts = age_ms < window.longest_ms && weight > WEIGHT_MIN;
            if counts { weight } else { 0.0 }
        })
    }
}

/// Something that happened: a liking, or a number of impressions.
struct Happened {
    item: u32,
    market: u32,
    hour: i64,
    likes: f64,
    shown: f64,
}

/// Tells what has happened by `now_ms`; a user is told once per video and hour.
fn tell(history: &History, now_ms: i64, mut take: impl FnMut(&Happened)) {
    let mut once = Once::default();
    for user in &history.users {
        let mut now = i64::MIN;
        // What was liked before impressions were reported cannot be corrected for them.
        let counts = |liked: &&Liked| liked.ts_ms >= history.rated_from_ms && liked.ts_ms <= now_ms;
        for liked in history.liked(user).iter().filter(counts) {
            let hour = liked.ts_ms.div_euclid(HOUR_MS);
            if std::mem::replace(&mut now, hour) != hour {
                once.begin();
            }
            if once.first(liked.item) {
                take(&Happened {
                    item: liked.item,
                    market: liked.market,
                    hour,
                    likes: 1.0,
                    shown: 0.0,
                });
            }
        }
    }
    for (shown, count) in &history.shown {
        take(&Happened {
            item: shown.item,
            market: shown.market,
            hour: shown.hour,
            likes: 0.0,
            shown: f64::from(*count),
        });
    }
}

/// The best everywhere by `now_ms` as each of the windows counts it, found in one pass.
pub(super) fn by_window<const N: usize>(
    history: &History,
    catalogue: &Catalogue,
    windows: &[Window; N],
    now_ms: i64,
    most: usize,
) -> Vec<Vec<Scored>> {
    let mut hours = Hours::new(*windows, now_ms);
    let mut likes = vec![[0.0; N]; catalogue.len()];
    let mut shown = vec![[0.0; N]; catalogue.len()];
    tell(history, now_ms, |one| {
        let sums = if one.likes > 0.0 {
            &mut likes
        } else {
            &mut shown
        };
        let count = one.likes.max(one.shown);
        let own = sums.get_mut(one.item as usize).into_iter().flatten();
        for (sum, weight) in own.zip(hours.weights(one.hour)) {
            *sum += weight * count;
        }
    });
    let of_window = |window: usize| {
        let at = |sums: &[f64; N]| sums.get(window).copied().unwrap_or(0.0);
        let own = likes.iter().zip(&shown).map(|(likes, shown)| Trend {
            likes: at(likes),
            shown: at(shown),
        });
        let rows = (0u32..).zip(own).filter(|(_, trend)| trend.happened());
        list(catalogue, rows.collect(), most)
    };
    (0..N).map(of_window).collect()
}

impl Trends {
    /// What has happened by `now_ms`, as `window` counts it. One user counts once per video and
    /// hour; an hour counts by its age.
    pub(super) fn new(history: &History, videos: usize, window: Window, now_ms: i64) -> Self {
        let mut trends = Self {
            everywhere: vec![Trend::default(); videos],
            markets: vec![FxHashMap::default(); history.markets.len()],
            names: history.markets.clone(),
        };
        trends.count(history, window, now_ms);
        trends
    }

    /// The same without any market.
    pub(super) fn everywhere_only(
        history: &History,
        videos: usize,
        window: Window,
        now_ms: i64,
    ) -> Self {
        let mut trends = Self {
            everywhere: vec![Trend::default(); videos],
            markets: Vec::new(),
            names: Vec::new(),
        };
        trends.count(history, window, now_ms);
        trends
    }

    fn count(&mut self, history: &History, window: Window, now_ms: i64) {
        let mut hours = Hours::new([window], now_ms);
        tell(history, now_ms, |one| {
            let [weight] = hours.weights(one.hour);
            if weight <= 0.0 {
                return;
            }
            if let Some(own) = self.everywhere.get_mut(one.item as usize) {
                own.grow(one, weight);
            }
            if let Some(own) = self.markets.get_mut(one.market as usize) {
                own.entry(one.item).or_default().grow(one, weight);
            }
        });
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
        let number = self.names.binary_search(market).ok();
        let trended = number.and_then(|number| self.markets.get(number));
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
        all.filter(|(_, trend)| trend.happened()).collect()
    }
}

impl Trend {
    fn grow(&mut self, by: &Happened, weight: f64) {
        self.likes += weight * by.likes;
        self.shown += weight * by.shown;
    }

    fn happened(&self) -> bool {
        self.likes > 0.0 || self.shown > 0.0
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
        .map(|(item, trend)| key(item, trend.corrected(rate) as f32));
    best(&mut scored.collect(), most)
}
