//! Users with the same tastes, and what they like.

use engine::cohort::{EVERYBODY, keys_of};
use engine::index::IndexWriter;
use engine::index::format::{Kind, Scored};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use super::ahead::{ahead, fetch_row};
use super::counts::{half, newest_ms};
use super::diary::{History, Liked, each_once};
use super::neighbours::{best, key};
use super::profiles::{Taste, Tastes};
use super::shelf::Catalogue;
use super::sums::Marks;
use crate::BuildOptions;

/// Likings of everybody that are mixed into a cohort's own, in likings.
const PRIOR_LIKINGS: f64 = 200.0;

/// The cohorts of a generation, numbered by the order of their keys.
#[derive(Debug)]
pub(super) struct Cohorts {
    keys: Vec<SmolStr>,
    users: Vec<u32>,
}

/// What names a cohort: the two strongest categories of a taste, as far as it has them.
type Strongest = [Option<u32>; 2];

fn strongest(taste: &Taste) -> Strongest {
    let nth = |n: usize| taste.get(n).map(|(category, _)| *category);
    [nth(0), nth(1)]
}

impl Cohorts {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The cohort of every user, in the users' order.
    pub(super) fn of_users(&self) -> &[u32] {
        &self.users
    }

    /// Keys that enough users share, the largest first, and the one for everybody. Each user is in
    /// the most specific cohort that exists.
    fn choose(catalogue: &Catalogue, tastes: &Tastes, options: &BuildOptions) -> Self {
        // There are far fewer pairs of categories than users, so keys are made once per pair.
        let mut pairs: FxHashMap<Strongest, usize> = FxHashMap::default();
        for taste in tastes.iter() {
            *pairs.entry(strongest(taste)).or_default() += 1;
        }
        let name = |category: u32| catalogue.categories.get(category as usize).cloned();
        let keys = |pair: &Strongest| {
            let names = pair.iter().flatten().filter_map(|category| name(*category));
            keys_of(&names.map(|name| (name, 0.0)).collect::<Vec<_>>())
        };
        let mut sizes: FxHashMap<SmolStr, usize> = FxHashMap::default();
        for (pair, users) in &pairs {
            for key in keys(pair) {
                *sizes.entry(key).or_default() += users;
            }
        }
        let mut large: Vec<(SmolStr, usize)> = sizes
            .into_iter()
            .filter(|(key, size)| *size >= options.cohort_users_min && key != EVERYBODY)
            .collect();
        large.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        large.truncate(options.cohorts_max.saturating_sub(1));
        let mut chosen: Vec<SmolStr> = large.into_iter().map(|(key, _)| key).collect();
        chosen.push(SmolStr::new_static(EVERYBODY));
        chosen.sort_unstable();
        for (pair, cohort) in &mut pairs {
            let number = |key: &SmolStr| chosen.binary_search(key).ok();
            *cohort = keys(pair).iter().find_map(number).unwrap_or(0);
        }
        let cohort = |taste| {
            pairs
                .get(&strongest(taste))
                .map_or(0, |cohort| *cohort as u32)
        };
        Self {
            users: tastes.iter().map(cohort).collect(),
            keys: chosen,
        }
    }
}

/// Writes cohort keys and slates.
pub(super) fn put(
    index: &mut IndexWriter,
    catalogue: &Catalogue,
    history: &History,
    tastes: &Tastes,
    options: &BuildOptions,
) -> Cohorts {
    let cohorts = Cohorts::choose(catalogue, tastes, options);
    let mut members: Vec<Vec<&[Liked]>> = vec![Vec::new(); cohorts.len()];
    for (user, cohort) in history.users.iter().zip(cohorts.of_users()) {
        if let Some(own) = members.get_mut(*cohort as usize) {
            own.push(history.liked(user));
        }
    }
    let newest = newest_ms(history, options);
    let mut dense: Vec<f64> = vec![0.0; catalogue.len()];
    let mut everybody: Vec<f64> = vec![0.0; catalogue.len()];
    let mut met = Marks::new(catalogue.len());
    let mut sums: Vec<Vec<(u32, f64)>> = Vec::with_capacity(cohorts.len());
    for members in &members {
        for (own, later) in ahead(members) {
            fetch_row(later.copied());
            for liked in each_once(own) {
                let age_ms = newest.saturating_sub(liked.ts_ms);
                let weight = half(age_ms, options.popular_half_life_ms).max(f64::MIN_POSITIVE);
                if let Some(sum) = dense.get_mut(liked.item as usize) {
                    *sum += weight;
                    met.set(liked.item);
                }
            }
        }
        let mut own: Vec<(u32, f64)> = Vec::new();
        met.drain(|item| {
            let sum = dense.get_mut(item as usize).map(std::mem::take);
            let sum = sum.unwrap_or_default();
            own.push((item, sum));
            if let Some(all) = everybody.get_mut(item as usize) {
                *all += sum;
            }
        });
        sums.push(own);
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
            let lift = (chance / common.max(f64::MIN_POSITIVE)).sqrt();
            key(item, (chance * lift) as f32)
        });
    best(&mut scored.collect(), options.list_max)
}
