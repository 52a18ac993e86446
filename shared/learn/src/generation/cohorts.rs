//! Users with the same tastes, and what they like.

use engine::cohort::{EVERYBODY, keys_of};
use engine::index::IndexWriter;
use engine::index::format::{Kind, Scored};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use super::counts::{half, newest_ms};
use super::diary::History;
use super::neighbours::best;
use super::profiles::Taste;
use super::shelf::Catalogue;
use crate::BuildOptions;

/// Likings of everybody that are mixed into a cohort's own, in likings.
const PRIOR_LIKINGS: f64 = 200.0;
/// Root by which a video's lift over everybody's list counts.
const LIFT: f64 = 0.5;

/// The cohorts of a generation, numbered by the order of their keys.
#[derive(Debug)]
pub(super) struct Cohorts {
    keys: Vec<SmolStr>,
}

impl Cohorts {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The cohort of a taste: the most specific one that exists.
    pub(super) fn of(&self, taste: &Taste) -> u32 {
        let number = |key: &SmolStr| self.keys.binary_search(key).ok();
        keys_of(taste)
            .iter()
            .find_map(number)
            .map_or(0, |number| number as u32)
    }

    /// Keys that enough users share, the largest first, and the one for everybody.
    fn choose(tastes: &[Taste], options: &BuildOptions) -> Self {
        let mut sizes: FxHashMap<SmolStr, usize> = FxHashMap::default();
        for taste in tastes {
            for key in keys_of(taste) {
                *sizes.entry(key).or_default() += 1;
            }
        }
        let mut large: Vec<(SmolStr, usize)> = sizes
            .into_iter()
            .filter(|(key, size)| *size >= options.cohort_users_min && key != EVERYBODY)
            .collect();
        large.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        large.truncate(options.cohorts_max.saturating_sub(1));
        let mut keys: Vec<SmolStr> = large.into_iter().map(|(key, _)| key).collect();
        keys.push(SmolStr::new_static(EVERYBODY));
        keys.sort_unstable();
        Self { keys }
    }
}

/// Writes cohort keys and slates.
pub(super) fn put(
    index: &mut IndexWriter,
    catalogue: &Catalogue,
    history: &History,
    tastes: &[Taste],
    options: &BuildOptions,
) -> Cohorts {
    let cohorts = Cohorts::choose(tastes, options);
    let newest = newest_ms(history, options);
    let mut sums: Vec<FxHashMap<u32, f64>> = vec![FxHashMap::default(); cohorts.len()];
    let mut everybody: Vec<f64> = vec![0.0; catalogue.len()];
    let mut items = Vec::new();
    for (user, taste) in history.users.iter().zip(tastes) {
        items.clear();
        items.extend(
            history
                .liked(user)
                .iter()
                .map(|liked| (liked.item, liked.ts_ms)),
        );
        // A video counts once, at its newest liking.
        items.sort_unstable_by_key(|(item, ts)| (*item, std::cmp::Reverse(*ts)));
        items.dedup_by_key(|(item, _)| *item);
        let mut own = sums.get_mut(cohorts.of(taste) as usize);
        for (item, ts_ms) in &items {
            let weight = half(newest.saturating_sub(*ts_ms), options.popular_half_life_ms);
            if let Some(sum) = everybody.get_mut(*item as usize) {
                *sum += weight;
            }
            if let Some(own) = &mut own {
                *own.entry(*item).or_default() += weight;
            }
        }
    }
    let keys = cohorts.keys.iter().map(SmolStr::as_str);
    index.put_texts(Kind::CohortKeyStarts, Kind::CohortKeyBytes, keys);
    let total: f64 = everybody.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let slates = sums.iter().zip(&cohorts.keys).map(|(own, key)| {
        if key == EVERYBODY {
            let rows = (0u32..)
                .zip(&everybody)
                .map(|(item, sum)| (item, *sum as f32));
            let shown = rows.filter(|(item, sum)| *sum > 0.0 && !catalogue.hidden(*item));
            return best(shown.collect(), options.list_max);
        }
        slate(catalogue, own, &everybody, total, options)
    });
    let slates: Vec<Vec<Scored>> = slates.collect();
    index.put_list(Kind::CohortStarts, Kind::CohortSlates, slates.into_iter());
    cohorts
}

/// The chance that the cohort likes each video, mixed with everybody's, times the root of how
/// much more the cohort likes it than everybody does.
fn slate(
    catalogue: &Catalogue,
    own: &FxHashMap<u32, f64>,
    everybody: &[f64],
    total: f64,
    options: &BuildOptions,
) -> Vec<Scored> {
    let mut rows: Vec<(u32, f64)> = own.iter().map(|(item, sum)| (*item, *sum)).collect();
    rows.sort_unstable_by_key(|(item, _)| *item);
    let likings: f64 = rows.iter().map(|(_, sum)| sum).sum();
    let scored = rows
        .into_iter()
        .filter(|(item, _)| !catalogue.hidden(*item))
        .map(|(item, sum)| {
            let common = everybody.get(item as usize).copied().unwrap_or(0.0) / total;
            let chance = (sum + PRIOR_LIKINGS * common) / (likings + PRIOR_LIKINGS);
            let lift = (chance / common.max(f64::MIN_POSITIVE)).powf(LIFT);
            (item, (chance * lift) as f32)
        });
    best(scored.collect(), options.list_max)
}
