//! What is known of every user in the long run.

use engine::{Profile, UserId};
use smol_str::SmolStr;

use super::cohorts::Cohorts;
use super::diary::{History, Once, Reader};
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
    let mut weights = vec![0.0f32; catalogue.categories.len()];
    let mut rows: Vec<(u32, f32)> = Vec::new();
    let taste = |user: &Reader| {
        let mut weight = 1.0;
        rows.clear();
        for liked in history.liked(user).iter().rev() {
            for category in catalogue.categories_of(liked.item) {
                if let Some(sum) = weights.get_mut(*category as usize) {
                    if *sum == 0.0 {
                        rows.push((*category, 0.0));
                    }
                    *sum += weight;
                }
            }
            // So that what is far back counts as little as can be, but counts.
            weight = (weight * DECAY).max(f32::MIN_POSITIVE);
        }
        for (category, weight) in &mut rows {
            let sum = weights.get_mut(*category as usize);
            let sum = sum.map(std::mem::take).unwrap_or_default();
            *weight = sum * rarity.get(*category as usize).copied().unwrap_or(0.0);
        }
        rows.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let total: f32 = rows.iter().map(|(_, weight)| weight).sum();
        rows.truncate(options.profile_categories_max);
        let named = rows.iter().filter_map(|(category, weight)| {
            let name = catalogue.categories.get(*category as usize)?.clone();
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
    let (mut once, mut items) = (Once::new(catalogue.len()), Vec::new());
    let profile = |(user, categories): (&Reader, Taste)| {
        items.clear();
        let newest_first = history.distinct(user, &mut once);
        items.extend(
            newest_first
                .take(options.long_term_max)
                .map(|liked| liked.item),
        );
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
