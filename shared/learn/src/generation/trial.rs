//! Finds out on the data itself how session and neighbour scores should be used.
//!
//! Shop sessions want the newest clicks and sessions alone, long-lived tastes want the whole
//! history: no default is right for both. So a sample of users is held back, a small generation is
//! built from others, and the knobs are taken that predict best what those who were held back
//! liked last. The sample is chosen by a hash of the id, so the choice is repeatable.

use std::sync::Arc;

use engine::Index;
use engine::index::IndexWriter;
use engine::index::format::{CfKnobs, Kind, Scored};
use engine::pipeline::prepared::Seed;
use engine::source::cf::{Scratch, predict_best};
use rustc_hash::FxHashSet;
use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::{F32, U32};

use super::counts::{Counts, newest_ms};
use super::diary::{History, Liked, Reader};
use super::shelf::Catalogue;
use super::sums::Marks;
use super::trends::Trends;
use super::{neighbours, sessions};
use crate::BuildOptions;

/// Users whose histories make the small generation.
pub(super) const USERS_MAX: usize = 20_000;
/// Users who are held back, at most; never more than a quarter.
const JUDGED_MAX: usize = 1_000;
/// With fewer of them nothing is concluded.
const JUDGED_MIN: usize = 200;
/// Places that count.
pub(super) const PLACES: usize = 20;
/// Seeds of one prediction.
pub(super) const SEEDS_MAX: usize = 100;

const SESSION_SHARES: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
const LASTS: [u32; 3] = [2, 3, 5];
const SEED_DECAYS: [f32; 4] = [0.5, 0.8, 0.95, 1.0];

/// One user's test: what is known, and what came next.
struct Exam {
    seeds: Vec<Seed>,
    /// What does not count: all that is known, or, where what is wanted is not new itself, the
    /// current video alone.
    known: FxHashSet<u32>,
    wanted: u32,
}

/// The knobs that rank best what a sample of users did next; the given ones where the sample is
/// too small.
pub(super) fn choose(catalogue: &Catalogue, history: &History, options: &BuildOptions) -> CfKnobs {
    let (sample, exams) = sample(history);
    if exams.len() < JUDGED_MIN {
        return options.cf;
    }
    let seeds = exams.iter().flat_map(|exam| &exam.seeds);
    let Some(index) = small(catalogue, &sample, seeds, options) else {
        return options.cf;
    };
    let mut scratch = Scratch::default();
    let mut try_all = |all: Vec<CfKnobs>| -> Vec<Tried> {
        let gains = |knobs: &CfKnobs, scratch: &mut Scratch| -> Vec<f64> {
            exams
                .iter()
                .map(|exam| exam.gain(&index, knobs, scratch))
                .collect()
        };
        all.into_iter()
            .map(|knobs| (knobs, gains(&knobs, &mut scratch)))
            .collect()
    };
    // Each view alone first, then their blend: a full grid would cost five times as much.
    let (none, all) = (F32::new(0.0), F32::new(1.0));
    let decays = SEED_DECAYS.map(|decay| CfKnobs {
        session_share: none,
        seed_decay: F32::new(decay),
        ..options.cf
    });
    let decay = best(&try_all(decays.into())).map_or(options.cf.seed_decay, |k| k.seed_decay);
    let lasts = LASTS.map(|last| CfKnobs {
        session_share: all,
        last: U32::new(last),
        ..options.cf
    });
    let last = best(&try_all(lasts.into())).map_or(options.cf.last, |knobs| knobs.last);
    let blends = SESSION_SHARES.map(|share| CfKnobs {
        session_share: F32::new(share),
        seed_decay: decay,
        last,
        ..options.cf
    });
    settle(&try_all(blends.into())).unwrap_or(options.cf)
}

/// Knobs and what each exam gained with them.
type Tried = (CfKnobs, Vec<f64>);

fn best(tried: &[Tried]) -> Option<CfKnobs> {
    tried
        .iter()
        .max_by(|a, b| mean(&a.1).total_cmp(&mean(&b.1)))
        .map(|(knobs, _)| *knobs)
}

/// The knobs with the largest share of sessions among those that are not clearly worse than the
/// best; of several the best.
///
/// Sessions follow what somebody does now and cost least; neighbours have to be worth it. Clearly
/// worse is more than one standard error of the paired differences.
fn settle(tried: &[Tried]) -> Option<CfKnobs> {
    let (_, best) = tried
        .iter()
        .max_by(|a, b| mean(&a.1).total_cmp(&mean(&b.1)))?;
    let as_good = tried.iter().filter(|(_, gains)| {
        let less: Vec<f64> = best
            .iter()
            .zip(gains)
            .map(|(best, own)| best - own)
            .collect();
        mean(&less) <= standard_error(&less)
    });
    let order = |(knobs, gains): &Tried| (knobs.session_share.get(), mean(gains));
    let preferred = as_good.max_by(|a, b| {
        let (a, b) = (order(a), order(b));
        a.0.total_cmp(&b.0).then_with(|| a.1.total_cmp(&b.1))
    });
    preferred.map(|(knobs, _)| *knobs)
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn standard_error(values: &[f64]) -> f64 {
    let (mean, count) = (mean(values), values.len().max(1) as f64);
    let spread: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (spread / count).sqrt() / count.sqrt()
}

/// A part of the history, and the exams of users outside it.
fn sample(history: &History) -> (History, Vec<Exam>) {
    let mut users: Vec<(u64, &Reader)> = history
        .users
        .iter()
        .filter(|user| history.liked(user).len() > 1)
        .map(|user| (xxh3_64(user.id.as_str().as_bytes()), user))
        .collect();
    users.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
    users.truncate(USERS_MAX);
    let judged = JUDGED_MAX.min(users.len() / 4);
    let (mut sample, mut exams) = (History::default(), Vec::with_capacity(judged));
    for (place, (_, user)) in users.into_iter().enumerate() {
        let liked = history.liked(user);
        match liked.split_last() {
            Some((newest, before)) if place < judged => exams.push(Exam::new(before, newest.item)),
            _ => sample.push(user, liked),
        }
    }
    (sample, exams)
}

impl Exam {
    fn new(before: &[Liked], wanted: u32) -> Self {
        let mut met = FxHashSet::default();
        let newest = before.iter().rev().filter(|liked| met.insert(liked.item));
        let seeds = newest.take(SEEDS_MAX).map(|liked| Seed {
            item: liked.item,
            weight: 1.0,
        });
        let seeds: Vec<Seed> = seeds.collect();
        let mut known: FxHashSet<u32> = seeds.iter().map(|seed| seed.item).collect();
        if known.contains(&wanted) {
            known = seeds.iter().take(1).map(|seed| seed.item).collect();
        }
        Self {
            seeds,
            known,
            wanted,
        }
    }

    /// 1 / log2(rank + 1) of what was held back among all that counts; 0 beyond [`PLACES`].
    fn gain(&self, index: &Index, knobs: &CfKnobs, scratch: &mut Scratch) -> f64 {
        if self.known.contains(&self.wanted) {
            return 0.0;
        }
        let new = |item: u32| !self.known.contains(&item);
        let first = predict_best(index, knobs, &self.seeds, PLACES, new, scratch);
        let place = first.iter().position(|row| row.item == self.wanted);
        place.map_or(0.0, |place| 1.0 / (place as f64 + 2.0).log2())
    }
}

/// A generation with sessions and the seeds' neighbours and nothing else.
pub(super) fn small<'a>(
    catalogue: &Catalogue,
    history: &History,
    seeds: impl Iterator<Item = &'a Seed>,
    options: &BuildOptions,
) -> Option<Index> {
    let videos = catalogue.len();
    let mut asked = Marks::new(videos);
    seeds.for_each(|seed| asked.set(seed.item));
    let mut index = IndexWriter::new("trial", options.as_of_ms);
    let counts = Counts::new(catalogue, history, options);
    let now_ms = newest_ms(history, options);
    let trends = Trends::everywhere_only(history, catalogue.len(), options.trending, now_ms);
    catalogue.put(&mut index, &counts, &trends);
    catalogue.put_no_fragments(&mut index);
    sessions::put(&mut index, catalogue, history, options.cf, options);
    neighbours::put(
        &mut index,
        catalogue,
        history,
        |item| asked.has(item),
        options,
    );
    let empty = |index: &mut IndexWriter, starts, values, rows: usize| {
        index.put_list::<Scored>(starts, values, std::iter::repeat_n([], rows));
    };
    empty(&mut index, Kind::ContentStarts, Kind::Content, videos);
    empty(
        &mut index,
        Kind::TrendingStarts,
        Kind::Trending,
        catalogue.markets.len() + 1,
    );
    let categories = catalogue.categories.len();
    empty(
        &mut index,
        Kind::CategoryListStarts,
        Kind::CategoryLists,
        categories,
    );
    empty(&mut index, Kind::CohortStarts, Kind::CohortSlates, 0);
    index.put_texts(
        Kind::CohortKeyStarts,
        Kind::CohortKeyBytes,
        std::iter::empty(),
    );
    let all = 0..catalogue.len() as u32;
    index.put(
        Kind::Popular,
        &all.clone().map(|i| Scored::new(i, 0.0)).collect::<Vec<_>>(),
    );
    index.put(Kind::Latest, &all.map(U32::new).collect::<Vec<_>>());
    Index::open(Arc::new(index.to_bytes())).ok()
}

#[cfg(test)]
mod tests;
