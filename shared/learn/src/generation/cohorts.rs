//! Users with the same tastes, and what they like.

use engine::cohort::{EVERYBODY, keys_of};
use engine::index::IndexWriter;
use engine::index::format::{Kind, Scored};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use super::counts::{half, newest_ms};
use super::diary::{History, Once, Reader};
use super::neighbours::{best, key};
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
    let mut members: Vec<Vec<&Reader>> = vec![Vec::new(); cohorts.len()];
    for (user, taste) in history.users.iter().zip(tastes) {
        if let Some(own) = members.get_mut(cohorts.of(taste) as usize) {
            own.push(user);
        }
    }
    let newest = newest_ms(history, options);
    let mut once = Once::new(catalogue.len());
    let mut dense: Vec<f64> = vec![0.0; catalogue.len()];
    let mut everybody: Vec<f64> = vec![0.0; catalogue.len()];
    let mut sums: Vec<Vec<(u32, f64)>> = Vec::with_capacity(cohorts.len());
    for members in &members {
        let mut touched: Vec<(u32, f64)> = Vec::new();
        for user in members {
            // A video counts once, at its newest liking.
            for liked in history.distinct(user, &mut once) {
                let age_ms = newest.saturating_sub(liked.ts_ms);
                let weight = half(age_ms, options.popular_half_life_ms).max(f64::MIN_POSITIVE);
                if let Some(sum) = dense.get_mut(liked.item as usize) {
                    if *sum == 0.0 {
                        touched.push((liked.item, 0.0));
                    }
                    *sum += weight;
                }
            }
        }
        touched.sort_unstable_by_key(|(item, _)| *item);
        for (item, sum) in &mut touched {
            let own = dense.get_mut(*item as usize);
            *sum = own.map(std::mem::take).unwrap_or_default();
            if let Some(all) = everybody.get_mut(*item as usize) {
                *all += *sum;
            }
        }
        sums.push(touched);
    }
    let keys = cohorts.keys.iter().map(SmolStr::as_str);
    index.put_texts(Kind::CohortKeyStarts, Kind::CohortKeyBytes, keys);
    let total: f64 = everybody.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let slates = sums.iter().zip(&cohorts.keys).map(|(own, name)| {
        if name == EVERYBODY {
            let rows = (0u32..)
                .zip(&everybody)
                .map(|(item, sum)| (item, *sum as f32));
            let shown = rows.filter(|(item, sum)| *sum > 0.0 && !catalogue.hidden(*item));
            let mut keys = shown.map(|(item, sum)| key(item, sum)).collect();
            return best(&mut keys, options.list_max);
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
    own: &[(u32, f64)],
    everybody: &[f64],
    total: f64,
    options: &BuildOptions,
) -> Vec<Scored> {
    let likings: f64 = own.iter().map(|(_, sum)| sum).sum();
    let scored = own
        .iter()
        .copied()
        .filter(|(item, _)| !catalogue.hidden(*item))
        .map(|(item, sum)| {
            let common = everybody.get(item as usize).copied().unwrap_or(0.0) / total;
            let chance = (sum + PRIOR_LIKINGS * common) / (likings + PRIOR_LIKINGS);
            let lift = (chance / common.max(f64::MIN_POSITIVE)).powf(LIFT);
            key(item, (chance * lift) as f32)
        });
    best(&mut scored.collect(), options.list_max)
}
