//! Adds up scores per dense id without clearing and without allocating, once grown.

use super::{Proposal, Proposals};
use crate::pipeline::Prepared;

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    epoch: u32,
    score: f32,
    most: f32,
    because: u32,
}

/// A dense table of sums that forgets by counting epochs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    epoch: u32,
    cells: Vec<Cell>,
    /// As long as `cells`; the first `count` are the videos of this epoch.
    touched: Vec<u32>,
    count: usize,
}

impl Tally {
    /// Forgets everything and makes room for `videos` ids.
    pub(super) fn begin(&mut self, videos: usize) {
        self.count = 0;
        if self.cells.len() < videos {
            self.cells.resize(videos, Cell::default());
            self.touched.resize(videos, 0);
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            // After 2^32 queries old epochs would come true again.
            self.cells.fill(Cell::default());
            self.epoch = 1;
        }
    }

    /// Adds to the scores of videos, all on account of `because`.
    #[inline]
    pub(super) fn add(&mut self, scores: impl Iterator<Item = (u32, f32)>, because: u32) {
        let (epoch, mut count) = (self.epoch, self.count);
        let (cells, touched) = (self.cells.as_mut_slice(), self.touched.as_mut_slice());
        for (item, score) in scores {
            let Some(cell) = cells.get_mut(item as usize) else {
                continue;
            };
            if cell.epoch != epoch {
                *cell = Cell {
                    epoch,
                    score,
                    most: score,
                    because,
                };
                if let Some(next) = touched.get_mut(count) {
                    *next = item;
                }
                count += 1;
                continue;
            }
            cell.score += score;
            if score > cell.most {
                cell.most = score;
                cell.because = because;
            }
        }
        self.count = count;
    }

    /// Multiplies every score by what `by` answers for its video.
    pub(super) fn multiply(&mut self, by: impl Fn(u32) -> f32) {
        for item in self.touched.iter().take(self.count) {
            if let Some(cell) = self.cells.get_mut(*item as usize) {
                cell.score *= by(*item);
            }
        }
    }

    /// Score and strongest seed of a video.
    #[inline]
    pub(super) fn get(&self, item: u32) -> Option<(f32, u32)> {
        let cell = self.cells.get(item as usize)?;
        (cell.epoch == self.epoch).then_some((cell.score, cell.because))
    }

    /// Whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The highest score, at least 0.
    pub(super) fn highest(&self) -> f32 {
        self.rows().map(|row| row.score).fold(0.0, f32::max)
    }

    /// Every video with its score and strongest seed.
    pub(super) fn rows(&self) -> impl Iterator<Item = Proposal> {
        self.touched.iter().take(self.count).filter_map(|item| {
            let (score, because) = self.get(*item)?;
            Some(Proposal {
                item: *item,
                score,
                because,
            })
        })
    }
}

/// The best `candidates_max` of the rows that are worth proposing.
///
/// Asking whether a row is worth it costs more than comparing scores, so only the best are asked
/// first; the rest only where too few of those are worth it.
pub(super) fn best(asked: &Prepared<'_>, rows: impl Iterator<Item = Proposal>) -> Proposals {
    let most = asked.scene.candidates_max as usize;
    let worth = |row: &Proposal| asked.worth_proposing(row.item);
    let mut items: Vec<Proposal> = rows.filter(|row| row.score > 0.0).collect();
    let mut rest = highest_first(&mut items, most.saturating_mul(2));
    items.retain(worth);
    if items.len() < most {
        rest.retain(worth);
        items.append(&mut rest);
    }
    highest_first(&mut items, most);
    Proposals {
        items,
        overran: false,
    }
}

/// Leaves the highest `most` rows and answers the others.
fn highest_first(items: &mut Vec<Proposal>, most: usize) -> Vec<Proposal> {
    if items.len() <= most {
        return Vec::new();
    }
    items.select_nth_unstable_by(most, |a, b| {
        let by_score = b.score.total_cmp(&a.score);
        by_score.then_with(|| a.item.cmp(&b.item))
    });
    items.split_off(most)
}
