//! What is known of every user in the long run.

use engine::{Profile, UserId};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use super::cohorts::Cohorts;
use super::diary::{History, Reader};
use super::shelf::Catalogue;
use crate::BuildOptions;

/// Weight of the next older liking in a taste.
const DECAY: f32 = 0.98;
/// Impressions that a user's own rate has to outweigh.
const PRIOR_IMPRESSIONS: f32 = 10.0;

/// Categories a user likes more than others do, strongest first, summing to at most 1.
pub(super) type Taste = Vec<(SmolStr, f32)>;

/// The taste of every user, in the users' order.
///
/// A category counts for its share of the user's likings times the logarithm of how rare it is
/// among everybody's: what all watch is nobody's taste.
pub(super) fn tastes(
    catalogue: &Catalogue,
    history: &History,
    options: &BuildOptions,
) -> Vec<Taste> {
    let rarity = rarity(catalogue, history);
    let taste = |user: &Reader| {
        let mut weights: FxHashMap<u32, f32> = FxHashMap::default();
        let mut weight = 1.0;
        for liked in history.liked(user).iter().rev() {
            for category in catalogue.categories_of(liked.item) {
                *weights.entry(*category).or_default() += weight;
            }
            weight *= DECAY;
        }
        let mut rows: Vec<(u32, f32)> = weights.into_iter().collect();
        for (category, weight) in &mut rows {
            *weight *= rarity.get(*category as usize).copied().unwrap_or(0.0);
        }
        rows.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let total: f32 = rows.iter().map(|(_, weight)| weight).sum();
        rows.truncate(options.profile_categories_max);
        let named = rows.into_iter().filter_map(|(category, weight)| {
            let name = catalogue.categories.get(category as usize)?.clone();
            Some((name, weight / total.max(f32::MIN_POSITIVE)))
        });
        named.collect()
    };
    history.users.iter().map(taste).collect()
}

fn rarity(catalogue: &Catalogue, history: &History) -> Vec<f32> {
    let mut likings = vec![0u64; catalogue.categories.len()];
    let mut all = 0u64;
    for user in &history.users {
        for liked in history.liked(user) {
            all += 1;
            for category in catalogue.categories_of(liked.item) {
                if let Some(count) = likings.get_mut(*category as usize) {
                    *count += 1;
                }
            }
        }
    }
    likings
        .iter()
        .map(|n| (1.0 + all as f64 / (*n).max(1) as f64).ln() as f32)
        .collect()
}

/// Everybody's profile, ordered by id.
pub(super) fn finish(
    catalogue: &Catalogue,
    history: &History,
    tastes: Vec<Taste>,
    cohorts: &Cohorts,
    options: &BuildOptions,
) -> Vec<(UserId, Profile)> {
    let (long, met) = history
        .users
        .iter()
        .fold((0.0f32, 0.0f32), |(long, met), user| {
            (
                long + user.long_views as f32,
                met + user.impressions.max(user.long_views) as f32,
            )
        });
    let rate = if met > 0.0 { long / met } else { 0.0 };
    let mut items = Vec::new();
    let profile = |(user, categories): (&Reader, Taste)| {
        history.distinct(user, options.long_term_max, &mut items);
        let long_term = items
            .iter()
            .rev()
            .filter_map(|item| Some(catalogue.book(*item)?.id.clone()));
        let met = user.impressions.max(user.long_views) as f32;
        let own = (user.long_views as f32 + PRIOR_IMPRESSIONS * rate) / (met + PRIOR_IMPRESSIONS);
        let profile = Profile {
            cohort: cohorts.of(&categories),
            categories,
            long_term: long_term.collect(),
            long_view_rate: own,
        };
        (user.id.clone(), profile)
    };
    history.users.iter().zip(tastes).map(profile).collect()
}
