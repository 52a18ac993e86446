//! Videos liked by the same people.

use std::hint::black_box;
use std::ops::Range;

use engine::index::IndexWriter;
use engine::index::format::{Kind, Scored};

use super::counts::{half, newest_ms};
use super::diary::{History, Liked};
use super::rows::Rows;
use super::shelf::Catalogue;
use super::sums::{Best, Sums};
use crate::BuildOptions;
use crate::options::LikingWeight;

/// A pair seen together in this much evidence counts half of what it would with all of it.
const SHRINK: f32 = 2.0;
/// Fans whose likings are asked for at once.
const FANS: usize = 16;
/// Videos in a line of the processor's cache.
const LINE: usize = 16;
/// Pairs are few where there are fewer than this part of the videos.
const FEW: usize = 4;
/// What rounding may take from a score.
const ROUNDED: f32 = 0.999_99;
/// Least weight of a liking.
const WEIGHT_MIN: f32 = 1e-6;

/// Writes each video's neighbours.
///
/// A user with n liked videos gives a pair w₁ × w₂ / √n, the two likings' weights: who likes
/// everything says little. The sum is normalised by √(a × b), a and b being what the two videos
/// give with themselves (cosine), and shrunk towards 0 where there is little evidence.
pub(super) fn put(
    index: &mut IndexWriter,
    catalogue: &Catalogue,
    history: &History,
    options: &BuildOptions,
) {
    let table = Table::new(catalogue, history, options);
    let rows = Rows::new(
        options.threads,
        catalogue.len(),
        options.neighbours_max,
        || Scratch {
            sums: Sums::new(catalogue.len()),
            best: Best::new(options.neighbours_max),
        },
        |scratch, item| table.row(scratch, item),
    );
    rows.put(index, Kind::NeighbourStarts, Kind::Neighbours);
}

struct Scratch {
    sums: Sums,
    best: Best,
}

/// A user and what a liking of theirs weighs over √n.
#[derive(Debug, Clone, Copy, Default)]
struct Fan {
    user: u32,
    weight: f32,
}

/// Who liked what, both ways, row behind row.
struct Table {
    user_starts: Vec<u32>,
    /// Per user: videos.
    liked: Vec<u32>,
    /// What each of those likings weighs; empty where all weigh 1.
    weights: Vec<f32>,
    fan_starts: Vec<u32>,
    /// Per video.
    fans: Vec<Fan>,
    /// Per video: the root of what it gives with itself.
    norms: Vec<f32>,
}

impl Table {
    fn new(catalogue: &Catalogue, history: &History, options: &BuildOptions) -> Self {
        let newest = newest_ms(history, options);
        let alike = options.neighbour_weight == LikingWeight::Flat
            && options.neighbour_half_life_ms == i64::MAX;
        let weigh = |liked: &Liked| {
            let watched = match options.neighbour_weight {
                LikingWeight::Flat => 1.0,
                LikingWeight::WatchRatio => liked.watched,
            };
            let age_ms = newest.saturating_sub(liked.ts_ms);
            let weight = watched * half(age_ms, options.neighbour_half_life_ms) as f32;
            // A sum of 0 stands for a pair that was never seen.
            weight.max(WEIGHT_MIN)
        };
        let (mut liked, mut weights, mut user_starts) = (Vec::new(), Vec::new(), vec![0]);
        let mut fan_starts = vec![0u32; catalogue.len() + 1];
        for user in &history.users {
            let newest_first = history.distinct(user);
            for one in newest_first.take(options.history_max) {
                if catalogue.hidden(one.item) {
                    continue;
                }
                liked.push(one.item);
                if !alike {
                    weights.push(weigh(one));
                }
                if let Some(count) = fan_starts.get_mut(one.item as usize + 1) {
                    *count += 1;
                }
            }
            // As many as there are records at most, whose places are 32 bits wide.
            user_starts.push(liked.len() as u32);
        }
        let mut end = 0;
        for start in &mut fan_starts {
            end += *start;
            *start = end;
        }
        let mut table = Self {
            user_starts,
            fans: vec![Fan::default(); liked.len()],
            liked,
            weights,
            fan_starts,
            norms: vec![0.0; catalogue.len()],
        };
        table.turn();
        table
    }

    /// Fills in the fans from what the users liked.
    fn turn(&mut self) {
        let mut free = self.fan_starts.clone();
        let mut weights = self.weights.iter();
        for user in 0..self.user_starts.len().saturating_sub(1) as u32 {
            let own = span_of(&self.liked, span(&self.user_starts, user));
            let share = 1.0 / (own.len().max(1) as f32).sqrt();
            for item in own {
                let weight = weights.next().copied().unwrap_or(1.0);
                if let Some(norm) = self.norms.get_mut(*item as usize) {
                    *norm += weight * weight * share;
                }
                if let Some(free) = free.get_mut(*item as usize)
                    && let Some(slot) = self.fans.get_mut(*free as usize)
                {
                    *slot = Fan {
                        user,
                        weight: weight * share,
                    };
                    *free += 1;
                }
            }
        }
        self.norms.iter_mut().for_each(|norm| *norm = norm.sqrt());
    }

    fn row(&self, scratch: &mut Scratch, item: u32) -> Vec<Scored> {
        let fans = span_of(&self.fans, span(&self.fan_starts, item));
        let own = |fan: &Fan| span(&self.user_starts, fan.user).len();
        let pairs: usize = fans.iter().map(own).sum();
        let sums = &mut scratch.sums;
        // Where there are many pairs, looking at every video costs less than noting which.
        if pairs >= self.norms.len() / FEW {
            self.add(fans, |other, more| {
                if let Some(sum) = sums.all().get_mut(other as usize) {
                    *sum += more;
                }
            });
            self.offer_all(scratch, item);
        } else {
            self.add(fans, |other, more| sums.add(other, more));
            self.offer(scratch, item);
        }
        scratch.best.take()
    }

    /// Adds what fans liked.
    fn add(&self, fans: &[Fan], mut add: impl FnMut(u32, f32)) {
        for fans in fans.chunks(FANS) {
            let mut spans = [const { 0..0 }; FANS];
            // Their rows lie anywhere in memory. Whoever asks for all of them first waits once.
            let mut asked = 0;
            for (slot, fan) in spans.iter_mut().zip(fans) {
                *slot = span(&self.user_starts, fan.user);
                for line in span_of(&self.liked, slot.clone()).chunks(LINE) {
                    asked ^= line.first().copied().unwrap_or(0);
                }
            }
            black_box(asked);
            for (span, fan) in spans.into_iter().zip(fans) {
                let liked = span_of(&self.liked, span.clone());
                if self.weights.is_empty() {
                    liked.iter().for_each(|other| add(*other, fan.weight));
                } else {
                    let likings = liked.iter().zip(span_of(&self.weights, span));
                    likings.for_each(|(other, weight)| add(*other, fan.weight * weight));
                }
            }
        }
    }

    /// Offers what was noted in the sums.
    fn offer(&self, scratch: &mut Scratch, item: u32) {
        let (own, best) = (self.norm(item), &mut scratch.best);
        scratch.sums.drain(|other, sum| {
            let least = best.least() * ROUNDED;
            // Most are told by this alone, and a norm lies anywhere in memory.
            if sum > least * SHRINK {
                let most = own * self.norm(other) + SHRINK;
                if sum > least * most && other != item {
                    offer(best, other, sum / most);
                }
            }
        });
    }

    /// Offers what stands in the sums and clears them, a few at a time.
    fn offer_all(&self, scratch: &mut Scratch, item: u32) {
        const LANES: usize = 16;
        let (own, best) = (self.norm(item), &mut scratch.best);
        let lanes = scratch
            .sums
            .all()
            .chunks_mut(LANES)
            .zip(self.norms.chunks(LANES));
        for (first, (sums, norms)) in (0u32..).step_by(LANES).zip(lanes) {
            // Most have nothing to offer, and a product tells it without a division.
            let least = best.least() * ROUNDED;
            let pairs = || sums.iter().zip(norms);
            let offers = pairs().fold(false, |any, (sum, theirs)| {
                any | (*sum > least * (own * theirs + SHRINK))
            });
            if offers {
                for (other, (sum, theirs)) in (first..).zip(pairs()) {
                    let most = own * theirs + SHRINK;
                    if *sum > least * most && other != item {
                        offer(best, other, sum / most);
                    }
                }
            }
            sums.fill(0.0);
        }
    }

    fn norm(&self, item: u32) -> f32 {
        self.norms.get(item as usize).copied().unwrap_or(0.0)
    }
}

fn offer(best: &mut Best, other: u32, score: f32) {
    if score.is_finite() {
        best.offer(other, score);
    }
}

fn span(starts: &[u32], number: u32) -> Range<usize> {
    match starts.get(number as usize..number as usize + 2) {
        Some(&[start, end]) => start as usize..end as usize,
        _ => 0..0,
    }
}

fn span_of<T>(of: &[T], span: Range<usize>) -> &[T] {
    of.get(span).unwrap_or_default()
}

/// A row as one integer that sorts best first, ties by id. Scores below 0 count as 0.
pub(super) fn key(item: u32, score: f32) -> u64 {
    u64::from(!score.max(0.0).to_bits()) << 32 | u64::from(item)
}

/// The best rows, best first, of their [`key`]s; what was given is used up.
pub(super) fn best(keys: &mut Vec<u64>, most: usize) -> Vec<Scored> {
    if keys.len() > most && most > 0 {
        keys.select_nth_unstable(most - 1);
    }
    keys.truncate(most);
    keys.sort_unstable();
    keys.iter()
        .map(|key| Scored::new(*key as u32, f32::from_bits(!((key >> 32) as u32))))
        .collect()
}
