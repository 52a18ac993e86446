//! Videos about the same.

use engine::index::format::{NONE, Scored};

use super::counts::Counts;
use super::rows::Rows;
use super::shelf::{Book, Catalogue};
use super::sums::{Best, Marks};
use crate::BuildOptions;

/// Videos looked at per feature: the most liked ones, then the newest.
const LIKED_MAX: usize = 1_500;
const NEWEST_MAX: usize = 500;
/// How far popularity may lift a neighbour among equals: twice as high at the most.
const POPULAR_LIFT: f32 = 1.0;
/// Videos to choose from, as a multiple of those that are kept, before any is left out.
const ENOUGH: usize = 4;
/// Features that a bit per video is kept of: those that most videos hold.
const BROAD_MAX: usize = 512;
/// Asking a video whether it holds a feature costs as much as going past so many of its holders.
const ASKED: usize = 2;
/// What rounding may add to a score.
const SLACK: f32 = 1.0001;

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
pub(super) fn neighbours(catalogue: &Catalogue, counts: &Counts, options: &BuildOptions) -> Rows {
    let table = Table::new(catalogue, counts);
    Rows::new(
        options.threads,
        catalogue.len(),
        options.content_max,
        || Scratch {
            sums: vec![0.0; catalogue.len()],
            met: Marks::new(catalogue.len()),
            new: Marks::new(catalogue.len()),
            found: Vec::new(),
            ways: Vec::new(),
            best: Best::new(options.content_max),
        },
        |scratch, item| table.row(scratch, item),
    )
}

struct Scratch {
    /// Per video.
    sums: Vec<f32>,
    /// Videos found in any round, and in this one.
    met: Marks,
    new: Marks,
    found: Vec<u32>,
    ways: Vec<Way>,
    best: Best,
}

/// A feature of the video whose row is made.
#[derive(Clone, Copy)]
struct Way {
    feature: u32,
    /// No video scores more by this feature alone.
    most: f32,
}

/// A video that is found by a feature, and its normalised weight.
type Holder = (u32, f32);

struct Table {
    /// Per video: (feature, normalised weight), in the order of the features.
    videos: Vec<Vec<(u32, f32)>>,
    /// Per feature: videos worth looking at.
    holders: Vec<Vec<Holder>>,
    /// Per feature: the same videos, where it is one of the broadest.
    broad: Vec<Option<Marks>>,
    /// Per feature: its weight before a video's norm divides it.
    weights: Vec<f32>,
    /// Per feature: the highest of its holders' weights times their lifts.
    most: Vec<f32>,
    /// Per video.
    lift: Vec<f32>,
    norms: Vec<f32>,
}

impl Table {
    fn new(catalogue: &Catalogue, counts: &Counts) -> Self {
        let books = (0u32..).zip(&catalogue.books);
        let of: Vec<Vec<Feature>> = books
            .map(|(item, book)| features(book, catalogue.categories_of(item)))
            .collect();
        let mut all: Vec<Feature> = of.iter().flatten().copied().collect();
        all.sort_unstable();
        let mut distinct: Vec<(Feature, usize)> = Vec::new();
        for run in all.chunk_by(|a, b| a == b) {
            distinct.extend(run.first().map(|feature| (*feature, run.len())));
        }
        let known = catalogue.len().max(1) as f32;
        let weights: Vec<f32> = distinct
            .iter()
            .map(|(feature, held)| feature.weight() * (1.0 + known / *held as f32).ln())
            .collect();
        let weigh = |feature: &Feature| {
            let place = distinct.binary_search_by_key(feature, |(other, _)| *other);
            let place = place.ok()?;
            Some((place as u32, *weights.get(place)?))
        };
        let (mut videos, mut norms) = (Vec::with_capacity(of.len()), Vec::new());
        let mut holders: Vec<Vec<Holder>> = vec![Vec::new(); distinct.len()];
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
            norms.push(norm);
        }
        holders
            .iter_mut()
            .for_each(|row| cut(row, catalogue, counts));
        let lift = lifts(counts, of.len() as u32);
        let lifted = |(item, weight): &Holder| weight * lift.get(*item as usize).unwrap_or(&1.0);
        let most = holders
            .iter()
            .map(|row| row.iter().map(lifted).fold(0.0, f32::max));
        let mut broadest: Vec<(usize, usize)> =
            distinct.iter().map(|(_, held)| *held).zip(0..).collect();
        broadest.sort_unstable_by(|a, b| b.cmp(a));
        let mut broad: Vec<Option<Marks>> = Vec::new();
        broad.resize_with(holders.len(), || None);
        for (_, feature) in broadest.into_iter().take(BROAD_MAX) {
            let mut marks = Marks::new(of.len());
            let held = holders.get(feature).into_iter().flatten();
            held.for_each(|(item, _)| marks.set(*item));
            if let Some(slot) = broad.get_mut(feature) {
                *slot = Some(marks);
            }
        }
        Self {
            videos,
            most: most.collect(),
            broad,
            holders,
            weights,
            lift,
            norms,
        }
    }

    /// The exact best. Videos are looked for by the features that can make the highest scores, and
    /// no further once the rest together cannot make one of the best (as the threshold algorithm of
    /// Fagin, Lotem and Naor stops).
    fn row(&self, scratch: &mut Scratch, item: u32) -> Vec<Scored> {
        let own = self
            .videos
            .get(item as usize)
            .map_or(&[][..], Vec::as_slice);
        self.find_ways(&mut scratch.ways, own);
        let ways = std::mem::take(&mut scratch.ways);
        let (mut later, mut first) = (ways.as_slice(), true);
        while !later.is_empty() {
            let count = if first {
                self.enough(later, scratch.best.most())
            } else {
                1
            };
            let (now, rest) = later.split_at(count);
            later = rest;
            self.round(scratch, item, own, now, later);
            let rest: f32 = later.iter().map(|way| way.most).sum();
            scratch.best.cut();
            if rest * SLACK < scratch.best.least() {
                break;
            }
            first = false;
        }
        for other in scratch.found.drain(..) {
            scratch.met.forget(other);
        }
        scratch.ways = ways;
        scratch.best.take()
    }

    /// The video's features, those that can make the highest scores first.
    fn find_ways(&self, ways: &mut Vec<Way>, own: &[(u32, f32)]) {
        ways.clear();
        ways.extend(own.iter().map(|(feature, weight)| Way {
            feature: *feature,
            most: weight * self.most.get(*feature as usize).unwrap_or(&0.0),
        }));
        ways.sort_by(|a, b| b.most.total_cmp(&a.most));
    }

    /// How many ways lead to enough videos to choose from.
    fn enough(&self, ways: &[Way], most: usize) -> usize {
        let mut found = 0;
        let short = ways.iter().take_while(|way| {
            let short = found < ENOUGH * most;
            found += self.holders(way.feature).len();
            short
        });
        short.count().clamp(1, ways.len())
    }

    /// Offers whom the ways of now lead to and no way before did.
    fn round(
        &self,
        scratch: &mut Scratch,
        item: u32,
        own: &[(u32, f32)],
        now: &[Way],
        later: &[Way],
    ) {
        let before = scratch.found.len();
        for way in now {
            for (other, _) in self.holders(way.feature) {
                if !scratch.met.has(*other) {
                    scratch.met.set(*other);
                    scratch.new.set(*other);
                    scratch.found.push(*other);
                }
            }
        }
        // In the order of the features, so that sums do not depend on which way led to a video.
        // Whom no way before led to has none of their features.
        let open = |feature: u32| now.iter().chain(later).any(|way| way.feature == feature);
        let new = scratch.found.get(before..).unwrap_or_default();
        for (feature, weight) in own.iter().filter(|(feature, _)| open(*feature)) {
            let holders = self.holders(*feature);
            let broad = self.broad.get(*feature as usize).and_then(Option::as_ref);
            if let Some(marks) = broad.filter(|_| holders.len() > ASKED * new.len()) {
                let whole = self.weights.get(*feature as usize).copied().unwrap_or(0.0);
                for other in new.iter().filter(|other| marks.has(**other)) {
                    if let (Some(sum), Some(norm)) = (
                        scratch.sums.get_mut(*other as usize),
                        self.norms.get(*other as usize),
                    ) {
                        *sum += weight * (whole / norm);
                    }
                }
                continue;
            }
            for (other, theirs) in holders {
                if scratch.new.has(*other)
                    && let Some(sum) = scratch.sums.get_mut(*other as usize)
                {
                    *sum += weight * theirs;
                }
            }
        }
        for other in new {
            scratch.new.forget(*other);
            if let (Some(sum), Some(lift)) = (
                scratch.sums.get_mut(*other as usize),
                self.lift.get(*other as usize),
            ) {
                let sum = std::mem::take(sum);
                if *other != item {
                    scratch.best.offer(*other, sum * lift);
                }
            }
        }
    }

    fn holders(&self, feature: u32) -> &[Holder] {
        let holders = self.holders.get(feature as usize);
        holders.map_or(&[], Vec::as_slice)
    }
}

/// What each video's popularity lifts its scores by.
fn lifts(counts: &Counts, videos: u32) -> Vec<f32> {
    let popularity: Vec<f32> = (0..videos).map(|item| counts.popularity(item)).collect();
    let highest = popularity
        .iter()
        .copied()
        .fold(0.0, f32::max)
        .ln_1p()
        .max(1.0);
    popularity
        .iter()
        .map(|p| 1.0 + POPULAR_LIFT * p.ln_1p() / highest)
        .collect()
}

fn features(book: &Book, categories: &[u32]) -> Vec<Feature> {
    let some = |number: u32| (number != NONE).then_some(number);
    let mut all: Vec<Feature> = Vec::new();
    all.extend(book.tags.iter().copied().map(Feature::Tag));
    all.extend(categories.iter().copied().map(Feature::Category));
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
