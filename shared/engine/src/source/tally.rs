//! Adds up scores per dense id without clearing and without allocating, once grown.

use super::Proposal;

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    epoch: u32,
    score: f32,
    /// The most that was added at once; [`TAKEN`] when it is no row any more.
    most: f32,
    because: u32,
}

/// More than any score.
const TAKEN: f32 = f32::INFINITY;

/// What a table of sums says of a video.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    /// Dense id.
    pub(super) item: u32,
    /// All that was added.
    pub(super) score: f32,
}

impl Sum {
    /// As a source proposes it, on the account that `because` answers.
    pub(super) fn proposal(self, because: impl Fn(u32) -> u32) -> Proposal {
        Proposal {
            item: self.item,
            score: self.score,
            because: because(self.item),
        }
    }
}

/// A dense table of sums that forgets by counting epochs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    epoch: u32,
    cells: Vec<Cell>,
    /// One longer than `cells`; the first `count` are the videos of this epoch.
    touched: Vec<u32>,
    count: usize,
}

impl Tally {
    /// Forgets everything and makes room for `videos` ids.
    pub(super) fn begin(&mut self, videos: usize) {
        self.count = 0;
        if self.cells.len() < videos {
            self.cells.resize(videos, Cell::default());
            self.touched.resize(videos + 1, 0);
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            // After 2^32 queries old epochs would come true again.
            self.cells.fill(Cell::default());
            self.epoch = 1;
        }
    }

    /// Adds to the scores of videos, all on account of `because`.
    ///
    /// Whether a video was met before is nothing that a processor could guess, so nothing branches
    /// on it: the next place of `touched` is always written, and only sometimes kept.
    #[inline]
    pub(super) fn add(&mut self, scores: impl Iterator<Item = (u32, f32)>, because: u32) {
        let (epoch, mut count) = (self.epoch, self.count);
        let (cells, touched) = (self.cells.as_mut_slice(), self.touched.as_mut_slice());
        for (item, score) in scores {
            let Some(cell) = cells.get_mut(item as usize) else {
                continue;
            };
            let new = cell.epoch != epoch;
            let before = f32::from_bits(either(new, 0, cell.score.to_bits()));
            let most = either(new, f32::NEG_INFINITY.to_bits(), cell.most.to_bits());
            let most = f32::from_bits(most);
            *cell = Cell {
                epoch,
                score: before + score,
                most: if score > most { score } else { most },
                because: either(score > most, because, cell.because),
            };
            if let Some(next) = touched.get_mut(count) {
                *next = item;
            }
            count += usize::from(new);
        }
        self.count = count;
    }

    /// Adds the same to the scores of videos where nobody adds more than who came before: who spoke
    /// most for a video is who spoke of it first.
    #[inline]
    pub(super) fn add_heaviest_first(
        &mut self,
        items: impl Iterator<Item = u32>,
        score: f32,
        because: u32,
    ) {
        let (epoch, mut count) = (self.epoch, self.count);
        let (cells, touched) = (self.cells.as_mut_slice(), self.touched.as_mut_slice());
        for item in items {
            let Some(cell) = cells.get_mut(item as usize) else {
                continue;
            };
            let new = cell.epoch != epoch;
            let before = f32::from_bits(either(new, 0, cell.score.to_bits()));
            *cell = Cell {
                epoch,
                score: before + score,
                most: score,
                because: either(new, because, cell.because),
            };
            if let Some(next) = touched.get_mut(count) {
                *next = item;
            }
            count += usize::from(new);
        }
        self.count = count;
    }

    /// The seed that spoke most for a video.
    #[inline]
    pub(super) fn because(&self, item: u32) -> Option<u32> {
        let cell = self.cells.get(item as usize)?;
        (cell.epoch == self.epoch).then_some(cell.because)
    }

    /// Answers a video's score and takes it out of the rows; who spoke for it can still be asked.
    #[inline]
    pub(super) fn take(&mut self, item: u32) -> Option<f32> {
        let cell = self.cells.get_mut(item as usize)?;
        (cell.epoch == self.epoch).then(|| {
            cell.most = TAKEN;
            cell.score
        })
    }

    /// Whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Every video that was not taken out.
    #[inline]
    pub(super) fn rows(&self) -> impl Iterator<Item = Sum> {
        self.touched.iter().take(self.count).filter_map(|item| {
            let cell = self.cells.get(*item as usize)?;
            (cell.most < TAKEN).then_some(Sum {
                item: *item,
                score: cell.score,
            })
        })
    }
}

/// `one` where `first` holds, else `other`; without a branch.
#[inline(always)]
fn either(first: bool, one: u32, other: u32) -> u32 {
    let mask = u32::from(first).wrapping_neg();
    (one & mask) | (other & !mask)
}
