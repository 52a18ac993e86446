//! Videos liked by the same people.

use engine::index::IndexWriter;
use engine::index::format::{Kind, Scored};

use super::counts::{half, newest_ms};
use super::diary::{History, Liked, Once};
use super::parallel;
use super::shelf::Catalogue;
use super::sums::{Best, Sums};
use crate::BuildOptions;
use crate::options::LikingWeight;

/// A pair seen together in this much evidence counts half of what it would with all of it.
const SHRINK: f32 = 2.0;
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
    let rows = parallel::rows(
        options.threads,
        catalogue.len(),
        || Scratch {
            sums: Sums::new(catalogue.len()),
            best: Best::new(options.neighbours_max),
        },
        |scratch, item| table.row(scratch, item as u32),
    );
    index.put_list(Kind::NeighbourStarts, Kind::Neighbours, rows.into_iter());
}

struct Scratch {
    sums: Sums,
    best: Best,
}

/// A video and what its liking weighs, or a user and what a liking of theirs weighs.
#[derive(Debug, Clone, Copy, Default)]
struct Weighed {
    number: u32,
    weight: f32,
}

/// Who liked what, both ways, row behind row.
struct Table {
    user_starts: Vec<usize>,
    /// Per user: videos and the likings' weights.
    liked: Vec<Weighed>,
    fan_starts: Vec<usize>,
    /// Per video: users and their liking's weight over √n.
    fans: Vec<Weighed>,
    /// Per video: the root of what it gives with itself.
    norms: Vec<f32>,
}

impl Table {
    fn new(catalogue: &Catalogue, history: &History, options: &BuildOptions) -> Self {
        let newest = newest_ms(history, options);
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
        let mut once = Once::new(catalogue.len());
        let (mut liked, mut user_starts) = (Vec::new(), vec![0]);
        let mut fan_starts = vec![0usize; catalogue.len() + 1];
        for user in &history.users {
            let newest_first = history.distinct(user, &mut once);
            for one in newest_first.take(options.history_max) {
                if catalogue.hidden(one.item) {
                    continue;
                }
                liked.push(Weighed {
                    number: one.item,
                    weight: weigh(one),
                });
                if let Some(count) = fan_starts.get_mut(one.item as usize + 1) {
                    *count += 1;
                }
            }
            user_starts.push(liked.len());
        }
        let mut end = 0;
        for start in &mut fan_starts {
            end += *start;
            *start = end;
        }
        let mut table = Self {
            user_starts,
            fans: vec![Weighed::default(); liked.len()],
            liked,
            fan_starts,
            norms: vec![0.0; catalogue.len()],
        };
        table.turn();
        table
    }

    /// Fills in the fans from what the users liked.
    fn turn(&mut self) {
        let mut free = self.fan_starts.clone();
        for (user, span) in (0u32..).zip(self.user_starts.windows(2)) {
            let own = span_of(&self.liked, span);
            let share = 1.0 / (own.len().max(1) as f32).sqrt();
            for one in own {
                let item = one.number as usize;
                if let Some(norm) = self.norms.get_mut(item) {
                    *norm += one.weight * one.weight * share;
                }
                if let Some(free) = free.get_mut(item)
                    && let Some(slot) = self.fans.get_mut(*free)
                {
                    *slot = Weighed {
                        number: user,
                        weight: one.weight * share,
                    };
                    *free += 1;
                }
            }
        }
        self.norms.iter_mut().for_each(|norm| *norm = norm.sqrt());
    }

    fn row(&self, scratch: &mut Scratch, item: u32) -> Vec<Scored> {
        let fans = row(&self.fans, &self.fan_starts, item);
        let liked = |fan: &Weighed| row(&self.liked, &self.user_starts, fan.number);
        let pairs: usize = fans.iter().map(|fan| liked(fan).len()).sum();
        // Where there are as many pairs as videos, looking at every video costs less than noting which.
        if pairs >= self.norms.len() {
            self.add_all(scratch.sums.all(), fans);
            self.offer_all(scratch, item);
        } else {
            for fan in fans {
                for other in liked(fan) {
                    scratch.sums.add(other.number, fan.weight * other.weight);
                }
            }
            let own = self.norm(item);
            let best = &mut scratch.best;
            scratch.sums.drain(|other, sum| {
                let score = sum / (own * self.norm(other) + SHRINK);
                if other != item && score.is_finite() {
                    best.offer(other, score);
                }
            });
        }
        scratch.best.take()
    }

    fn add_all(&self, sums: &mut [f32], fans: &[Weighed]) {
        for fan in fans {
            for other in row(&self.liked, &self.user_starts, fan.number) {
                if let Some(sum) = sums.get_mut(other.number as usize) {
                    *sum += fan.weight * other.weight;
                }
            }
        }
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
            let mut scores = [0.0f32; LANES];
            for (score, (sum, theirs)) in scores.iter_mut().zip(sums.iter().zip(norms)) {
                *score = sum / (own * theirs + SHRINK);
            }
            let least = best.least();
            if scores
                .iter()
                .fold(false, |any, score| any | (*score >= least))
            {
                for (other, (score, sum)) in (first..).zip(scores.iter().zip(&*sums)) {
                    if *sum > 0.0 && other != item && score.is_finite() {
                        best.offer(other, *score);
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

fn row<'a>(of: &'a [Weighed], starts: &[usize], number: u32) -> &'a [Weighed] {
    let number = number as usize;
    span_of(of, starts.get(number..number + 2).unwrap_or_default())
}

fn span_of<'a, T>(of: &'a [T], span: &[usize]) -> &'a [T] {
    match *span {
        [start, end] => of.get(start..end).unwrap_or_default(),
        _ => &[],
    }
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
