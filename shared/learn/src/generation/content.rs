//! Videos about the same.

use engine::index::format::{NONE, Scored};

use super::counts::Counts;
use super::parallel;
use super::shelf::{Book, Catalogue};
use super::sums::{Best, Sums};
use crate::BuildOptions;

/// Videos looked at per feature: the most liked ones, then the newest.
const LIKED_MAX: usize = 1_500;
const NEWEST_MAX: usize = 500;
/// How far popularity may lift a neighbour among equals: twice as high at the most.
const POPULAR_LIFT: f32 = 1.0;

/// One thing a video may share with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Feature {
    Tag(u32),
    Category(u32),
    Creator(u32),
    Language(u32),
    /// Length by powers of two.
    Duration(u32),
}

impl Feature {
    /// What sharing it counts for, before how rare it is.
    fn weight(self) -> f32 {
        match self {
            Self::Tag(_) => 1.0,
            Self::Category(_) => 0.8,
            Self::Creator(_) => 1.0,
            Self::Language(_) => 0.3,
            Self::Duration(_) => 0.15,
        }
    }
}

/// Each video's content neighbours: cosine over its features weighted by how rare they are, lifted
/// a little by popularity so that equals are not in the order of their ids.
pub(super) fn neighbours(
    catalogue: &Catalogue,
    counts: &Counts,
    options: &BuildOptions,
) -> Vec<Vec<Scored>> {
    let table = Table::new(catalogue, counts);
    parallel::rows(
        options.threads,
        catalogue.len(),
        || Scratch {
            sums: Sums::new(catalogue.len()),
            best: Best::new(options.content_max),
        },
        |scratch, item| table.row(scratch, item),
    )
}

struct Scratch {
    sums: Sums,
    best: Best,
}

struct Table {
    /// Per video: (feature, normalised weight).
    videos: Vec<Vec<(u32, f32)>>,
    /// Per feature: videos worth looking at and their normalised weight.
    holders: Vec<Vec<(u32, f32)>>,
    lift: Vec<f32>,
}

impl Table {
    fn new(catalogue: &Catalogue, counts: &Counts) -> Self {
        let of: Vec<Vec<Feature>> = catalogue.books.iter().map(features).collect();
        let mut all: Vec<Feature> = of.iter().flatten().copied().collect();
        all.sort_unstable();
        let mut distinct: Vec<(Feature, usize)> = Vec::new();
        for run in all.chunk_by(|a, b| a == b) {
            distinct.extend(run.first().map(|feature| (*feature, run.len())));
        }
        let known = catalogue.len().max(1) as f32;
        let weigh = |feature: &Feature| {
            let place = distinct
                .binary_search_by_key(feature, |(other, _)| *other)
                .ok()?;
            let (_, held) = distinct.get(place)?;
            let idf = (1.0 + known / *held as f32).ln();
            Some((place as u32, feature.weight() * idf))
        };
        let mut videos = Vec::with_capacity(of.len());
        let mut holders: Vec<Vec<(u32, f32)>> = vec![Vec::new(); distinct.len()];
        for (item, own) in (0u32..).zip(&of) {
            let mut row: Vec<(u32, f32)> = own.iter().filter_map(weigh).collect();
            let norm = row
                .iter()
                .map(|(_, w)| w * w)
                .sum::<f32>()
                .sqrt()
                .max(f32::MIN_POSITIVE);
            row.iter_mut().for_each(|(_, weight)| *weight /= norm);
            if !catalogue.hidden(item) {
                for (feature, weight) in &row {
                    if let Some(holders) = holders.get_mut(*feature as usize) {
                        holders.push((item, *weight));
                    }
                }
            }
            videos.push(row);
        }
        holders
            .iter_mut()
            .for_each(|row| cut(row, catalogue, counts));
        let popularity: Vec<f32> = (0..of.len() as u32).map(|i| counts.popularity(i)).collect();
        let highest = popularity
            .iter()
            .copied()
            .fold(0.0, f32::max)
            .ln_1p()
            .max(1.0);
        let lift = popularity
            .iter()
            .map(|p| 1.0 + POPULAR_LIFT * p.ln_1p() / highest)
            .collect();
        Self {
            videos,
            holders,
            lift,
        }
    }

    fn row(&self, scratch: &mut Scratch, item: usize) -> Vec<Scored> {
        let own = self.videos.get(item).map_or(&[][..], Vec::as_slice);
        for (feature, weight) in own {
            let holders = self.holders.get(*feature as usize);
            for (other, theirs) in holders.into_iter().flatten() {
                scratch.sums.add(*other, weight * theirs);
            }
        }
        let best = &mut scratch.best;
        scratch.sums.drain(|other, sum| {
            let lift = self.lift.get(other as usize).copied().unwrap_or(1.0);
            if other as usize != item {
                best.offer(other, sum * lift);
            }
        });
        best.take()
    }
}

fn features(book: &Book) -> Vec<Feature> {
    let some = |number: u32| (number != NONE).then_some(number);
    let mut all: Vec<Feature> = Vec::new();
    all.extend(book.tags.iter().copied().map(Feature::Tag));
    all.extend(book.categories.iter().copied().map(Feature::Category));
    all.extend(some(book.creator).map(Feature::Creator));
    all.extend(some(book.language).map(Feature::Language));
    all.extend(book.duration_ms.checked_ilog2().map(Feature::Duration));
    all
}

/// Keeps the most liked and the newest holders of a feature that too many videos have.
fn cut(row: &mut Vec<(u32, f32)>, catalogue: &Catalogue, counts: &Counts) {
    if row.len() <= LIKED_MAX + NEWEST_MAX {
        return;
    }
    row.sort_unstable_by(|a, b| {
        let liked = counts.popularity(b.0).total_cmp(&counts.popularity(a.0));
        liked.then_with(|| a.0.cmp(&b.0))
    });
    let mut rest = row.split_off(LIKED_MAX);
    let published = |item: u32| catalogue.book(item).map_or(0, |book| book.published_ms);
    rest.sort_unstable_by_key(|(item, _)| (std::cmp::Reverse(published(*item)), *item));
    rest.truncate(NEWEST_MAX);
    row.append(&mut rest);
    row.sort_unstable_by_key(|(item, _)| *item);
}
