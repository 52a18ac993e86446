//! What is the same for everybody: trending, popular, latest, categories.

use engine::index::IndexWriter;
use engine::index::format::{Kind, Scored};
use rustc_hash::{FxHashMap, FxHashSet};
use smol_str::SmolStr;
use zerocopy::little_endian::U32;

use super::counts::{Counts, half, newest_ms};
use super::diary::{History, Liked};
use super::neighbours::best;
use super::shelf::Catalogue;
use crate::BuildOptions;

const HOUR_MS: i64 = 3_600_000;
/// Decayed impressions that a video's own rate has to outweigh.
const PRIOR_IMPRESSIONS: f64 = 20.0;

/// Writes the lists.
pub(super) fn put(
    index: &mut IndexWriter,
    catalogue: &Catalogue,
    counts: &Counts,
    trends: &Trends,
    options: &BuildOptions,
) {
    let everything = 0..catalogue.len() as u32;
    let liked = everything
        .clone()
        .map(|item| (item, counts.popularity(item)))
        .collect();
    let popular = best(liked, catalogue.len());
    index.put(Kind::Popular, &popular);
    put_categories(index, catalogue, &popular);
    let mut latest: Vec<u32> = everything.collect();
    let published = |item: u32| catalogue.book(item).map_or(0, |book| book.published_ms);
    latest.sort_by_key(|item| (std::cmp::Reverse(published(*item)), *item));
    index.put(
        Kind::Latest,
        &latest.into_iter().map(U32::new).collect::<Vec<_>>(),
    );
    let of_market = |market: Option<&SmolStr>| trends.list(catalogue, market, options);
    let everywhere = std::iter::once(of_market(None));
    let lists = everywhere.chain(
        catalogue
            .markets
            .iter()
            .map(|market| of_market(Some(market))),
    );
    index.put_list(Kind::TrendingStarts, Kind::Trending, lists);
}

fn put_categories(index: &mut IndexWriter, catalogue: &Catalogue, popular: &[Scored]) {
    let mut lists: Vec<Vec<Scored>> = vec![Vec::new(); catalogue.categories.len()];
    for row in popular {
        for category in catalogue.categories_of(row.item.get()) {
            if let Some(list) = lists.get_mut(*category as usize) {
                list.push(*row);
            }
        }
    }
    index.put_list(
        Kind::CategoryListStarts,
        Kind::CategoryLists,
        lists.into_iter(),
    );
}

/// Decayed likings and impressions per video.
#[derive(Debug, Clone, Copy, Default)]
struct Trend {
    likes: f64,
    shown: f64,
}

type Trended = FxHashMap<u32, Trend>;

/// What happened lately, everywhere and per viewers' market.
#[derive(Debug)]
pub(super) struct Trends {
    everywhere: Trended,
    markets: FxHashMap<SmolStr, Trended>,
}

impl Trends {
    /// One user counts once per video and hour; an hour counts by its age.
    pub(super) fn new(history: &History, options: &BuildOptions) -> Self {
        let now_hour = newest_ms(history, options).div_euclid(HOUR_MS);
        let weight = |hour: i64| {
            let age_ms = now_hour.saturating_sub(hour).saturating_mul(HOUR_MS);
            half(age_ms, options.trending_half_life_ms)
        };
        let mut trends = Self {
            everywhere: Trended::default(),
            markets: FxHashMap::default(),
        };
        let mut met = FxHashSet::default();
        for user in &history.users {
            met.clear();
            // What was liked before impressions were reported cannot be corrected for them.
            let rated = |liked: &&Liked| liked.ts_ms >= history.rated_from_ms;
            for liked in history.liked(user).iter().filter(rated) {
                let hour = liked.ts_ms.div_euclid(HOUR_MS);
                if met.insert((liked.item, hour)) {
                    let likes = weight(hour);
                    let trend = Trend { likes, shown: 0.0 };
                    trends.add(
                        history.markets.get(liked.market as usize),
                        liked.item,
                        trend,
                    );
                }
            }
        }
        for (shown, count) in &history.shown {
            let trend = Trend {
                likes: 0.0,
                shown: weight(shown.hour) * f64::from(*count),
            };
            trends.add(
                history.markets.get(shown.market as usize),
                shown.item,
                trend,
            );
        }
        trends
    }

    /// Decayed likings of a video, everywhere.
    pub(super) fn momentum(&self, item: u32) -> f32 {
        self.everywhere
            .get(&item)
            .map_or(0.0, |trend| trend.likes as f32)
    }

    fn add(&mut self, market: Option<&SmolStr>, item: u32, trend: Trend) {
        let market = market.filter(|market| !market.is_empty());
        if let Some(market) = market {
            grow(self.markets.entry(market.clone()).or_default(), item, trend);
        }
        grow(&mut self.everywhere, item, trend);
    }

    /// The best of a market; empty where too little happened for a list of its own.
    fn list(
        &self,
        catalogue: &Catalogue,
        market: Option<&SmolStr>,
        options: &BuildOptions,
    ) -> Vec<Scored> {
        let nothing = Trended::default();
        let trended = match market {
            None => &self.everywhere,
            Some(market) => self.markets.get(market).unwrap_or(&nothing),
        };
        let mut rows: Vec<(u32, Trend)> = trended.iter().map(|(item, t)| (*item, *t)).collect();
        // Sums of floats depend on their order; a hash table has none.
        rows.sort_unstable_by_key(|(item, _)| *item);
        let likes: f64 = rows.iter().map(|(_, trend)| trend.likes).sum();
        let met: f64 = rows
            .iter()
            .map(|(_, trend)| trend.shown.max(trend.likes))
            .sum();
        let rate = if met > 0.0 { likes / met } else { 1.0 };
        let scored = rows
            .into_iter()
            .filter(|(item, trend)| trend.likes > MOMENTUM_MIN && !catalogue.hidden(*item));
        let scored = scored.map(|(item, trend)| (item, corrected(trend, rate) as f32));
        best(scored.collect(), options.list_max)
    }
}

/// Less than this is no trend, only history.
const MOMENTUM_MIN: f64 = 1e-6;

/// Likings, lifted by the root of how much better than average the video does where it is shown.
fn corrected(trend: Trend, rate: f64) -> f64 {
    let met = trend.shown.max(trend.likes);
    let own = (trend.likes + PRIOR_IMPRESSIONS * rate) / (met + PRIOR_IMPRESSIONS);
    trend.likes * (own / rate.max(f64::MIN_POSITIVE)).sqrt()
}

fn grow(trended: &mut Trended, item: u32, trend: Trend) {
    let own = trended.entry(item).or_default();
    own.likes += trend.likes;
    own.shown += trend.shown;
}
