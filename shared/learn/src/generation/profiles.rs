//! What is known of every user in the long run.

use engine::{Profile, UserId};

use super::cohorts::Cohorts;
use super::diary::{History, Reader};
use super::shelf::Catalogue;
use crate::BuildOptions;

/// Weight of the next older liking in a taste.
const DECAY: f32 = 0.98;
/// Impressions that a user's own rate has to outweigh.
const PRIOR_IMPRESSIONS: f32 = 10.0;

/// Categories a user likes more than others do, strongest first, with weights that sum to at most 1.
pub(super) type Taste = [(u32, f32)];

/// The taste of every user.
#[derive(Debug, Default)]
pub(super) struct Tastes {
    rows: Vec<(u32, f32)>,
    ends: Vec<usize>,
}

impl Tastes {
    /// Each user's, in the users' order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Taste> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let spans = starts.zip(&self.ends);
        spans.map(|(start, end)| self.rows.get(*start..*end).unwrap_or_default())
    }
}

/// The taste of every user.
///
/// A category counts for its share of the user's likings times the logarithm of how rare it is
/// among everybody's: what all watch is nobody's taste.
pub(super) fn tastes(catalogue: &Catalogue, history: &History, options: &BuildOptions) -> Tastes {
    let rarity = rarity(catalogue, history);
    let mut weights = vec![0.0f32; catalogue.categories.len()];
    let mut rows: Vec<(u32, f32)> = Vec::new();
    let mut tastes = Tastes::default();
    for user in &history.users {
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
        let total = total.max(f32::MIN_POSITIVE);
        let strongest = rows.iter().take(options.profile_categories_max);
        tastes
            .rows
            .extend(strongest.map(|(category, weight)| (*category, weight / total)));
        tastes.ends.push(tastes.rows.len());
    }
    tastes
}

fn rarity(catalogue: &Catalogue, history: &History) -> Vec<f32> {
    // Per video first: there are far fewer videos than likings.
    let mut of_videos = vec![0u32; catalogue.len()];
    for liked in &history.liked {
        if let Some(count) = of_videos.get_mut(liked.item as usize) {
            *count += 1;
        }
    }
    let mut likings = vec![0u64; catalogue.categories.len()];
    for (item, count) in (0u32..).zip(of_videos) {
        for category in catalogue.categories_of(item) {
            if let Some(sum) = likings.get_mut(*category as usize) {
                *sum += u64::from(count);
            }
        }
    }
    let all = history.liked.len();
    likings
        .iter()
        .map(|n| (1.0 + all as f64 / (*n).max(1) as f64).ln() as f32)
        .collect()
}

/// Everybody's profile, ordered by id.
pub(super) fn finish(
    catalogue: &Catalogue,
    history: &History,
    tastes: &Tastes,
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
    let profile = |(user, (taste, cohort)): (&Reader, (&Taste, &u32))| {
        items.clear();
        let newest_first = history.distinct(user);
        items.extend(
            newest_first
                .take(options.long_term_max)
                .map(|liked| liked.item),
        );
        let mut long_term = Vec::with_capacity(items.len());
        let ids = items.iter().rev().filter_map(|item| catalogue.id(*item));
        long_term.extend(ids.cloned());
        let mut categories = Vec::with_capacity(taste.len());
        categories.extend(taste.iter().filter_map(|(category, weight)| {
            let name = catalogue.categories.get(*category as usize)?;
            Some((name.clone(), *weight))
        }));
        let met = user.impressions.max(user.long_views) as f32;
        let own = (user.long_views as f32 + PRIOR_IMPRESSIONS * rate) / (met + PRIOR_IMPRESSIONS);
        let profile = Profile {
            cohort: *cohort,
            categories,
            long_term,
            long_view_rate: own,
        };
        (user.id.clone(), profile)
    };
    let known = tastes.iter().zip(cohorts.of_users());
    history.users.iter().zip(known).map(profile).collect()
}
