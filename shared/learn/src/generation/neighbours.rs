//! Videos liked by the same people.

mod row;

use std::ops::Range;

use engine::index::IndexWriter;
use engine::index::format::{Kind, Scored};

use super::ahead::{ahead, fetch};
use super::counts::{half, newest_ms};
use super::diary::{History, Liked, Reader};
use super::rows::Rows;
use super::shelf::Catalogue;
use crate::BuildOptions;
use crate::options::LikingWeight;

pub(super) use row::{Fan, Likings, Scratch, row, share};

/// Least weight of a liking.
const WEIGHT_MIN: f32 = 1e-6;

/// Writes the neighbours of each video that is `asked` for, and none of the others.
///
/// A user with n liked videos gives a pair w₁ × w₂ / √n, the two likings' weights: who likes
/// everything says little. The sum is normalised by √(a × b), a and b being what the two videos
/// give with themselves (cosine), and shrunk towards 0 where there is little evidence.
pub(super) fn put(
    index: &mut IndexWriter,
    catalogue: &Catalogue,
    history: &History,
    asked: impl Fn(u32) -> bool + Sync,
    options: &BuildOptions,
) {
    let table = Table::new(catalogue, history, options);
    put_rows(index, catalogue.len(), &table, asked, options);
}

/// Writes the rows that are asked for.
pub(super) fn put_rows<L: Likings + Sync>(
    index: &mut IndexWriter,
    videos: usize,
    likings: &L,
    asked: impl Fn(u32) -> bool + Sync,
    options: &BuildOptions,
) {
    let rows = Rows::new(
        options.threads,
        videos,
        options.neighbours_max,
        || Scratch::new(videos, options.neighbours_max),
        |scratch, item| {
            if asked(item) {
                row(likings, scratch, item)
            } else {
                Vec::new()
            }
        },
    );
    rows.put(index, Kind::NeighbourStarts, Kind::Neighbours);
}

/// The likings of a user that count here, newest first.
pub(super) fn counted<'a>(
    catalogue: &'a Catalogue,
    history: &'a History,
    user: &'a Reader,
    options: &BuildOptions,
) -> impl Iterator<Item = &'a Liked> {
    let newest = history.distinct(user).take(options.history_max);
    newest.filter(|liked| !catalogue.hidden(liked.item))
}

/// What a liking weighs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighing {
    by: LikingWeight,
    half_life_ms: i64,
}

impl Weighing {
    pub(super) fn new(options: &BuildOptions) -> Self {
        Self {
            by: options.neighbour_weight,
            half_life_ms: options.neighbour_half_life_ms,
        }
    }

    /// Whether every liking weighs 1.
    pub(super) fn alike(self) -> bool {
        self.by == LikingWeight::Flat && !self.fades()
    }

    /// Whether an older one weighs less.
    pub(super) fn fades(self) -> bool {
        self.half_life_ms != i64::MAX
    }

    /// The weight of a liking of such a share at such a time, seen from `newest_ms`.
    pub(super) fn weigh(self, watched: f32, ts_ms: i64, newest_ms: i64) -> f32 {
        let watched = match self.by {
            LikingWeight::Flat => 1.0,
            LikingWeight::WatchRatio => watched,
        };
        let age_ms = newest_ms.saturating_sub(ts_ms);
        let weight = watched * half(age_ms, self.half_life_ms) as f32;
        // A sum of 0 stands for a pair that was never seen.
        weight.max(WEIGHT_MIN)
    }
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
        let weighing = Weighing::new(options);
        let alike = weighing.alike();
        let (mut liked, mut weights, mut user_starts) = (Vec::new(), Vec::new(), vec![0]);
        let mut fan_starts = vec![0u32; catalogue.len() + 1];
        for user in &history.users {
            for one in counted(catalogue, history, user, options) {
                liked.push(one.item);
                if !alike {
                    weights.push(weighing.weigh(one.watched, one.ts_ms, newest));
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
        let mut all = ahead(&self.liked);
        for user in 0..self.user_starts.len().saturating_sub(1) as u32 {
            let count = span(&self.user_starts, user).len();
            let share = share(count);
            for (item, later) in all.by_ref().take(count) {
                let later = later.and_then(|item| free.get(*item as usize));
                fetch(&self.fans, later.copied());
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
}

impl Likings for Table {
    fn fans<'a>(&'a self, item: u32, _: &'a mut Vec<Fan>) -> &'a [Fan] {
        span_of(&self.fans, span(&self.fan_starts, item))
    }

    fn liked(&self, user: u32) -> &[u32] {
        span_of(&self.liked, span(&self.user_starts, user))
    }

    fn weights(&self, user: u32) -> &[f32] {
        span_of(&self.weights, span(&self.user_starts, user))
    }

    fn alike(&self) -> bool {
        self.weights.is_empty()
    }

    fn norms(&self) -> &[f32] {
        &self.norms
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
