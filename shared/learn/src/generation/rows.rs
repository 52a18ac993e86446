//! A row of scored videos per video, computed side by side and kept as a generation holds them.

use std::thread;

use engine::index::IndexWriter;
use engine::index::format::{Kind, Scored};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, IntoBytes};

/// Rows that are computed, and lie in memory, in one piece.
const BLOCK: usize = 256;

/// A row per video, block behind block.
#[derive(Debug)]
pub(super) struct Rows {
    /// Where each row begins, and the last one's end.
    starts: Vec<U32>,
    blocks: Vec<Block>,
}

/// The rows of some videos that follow each other.
#[derive(Debug, Default)]
struct Block {
    lengths: Vec<u32>,
    /// The rows as they are written, so that nothing has to be copied.
    bytes: Vec<u8>,
}

impl Rows {
    /// Computes `row` of at most `longest` for `0..rows`; the result is the same for any number of
    /// threads.
    ///
    /// Blocks are dealt out in turn; a thread that panics loses its blocks' rows, which come out
    /// empty, so `row` must not panic.
    pub(super) fn new<S>(
        threads: usize,
        rows: usize,
        longest: usize,
        scratch: impl Fn() -> S + Sync,
        row: impl Fn(&mut S, u32) -> Vec<Scored> + Sync,
    ) -> Self {
        let threads = threads.clamp(1, 64);
        let mut blocks: Vec<Block> = Vec::new();
        blocks.resize_with(rows.div_ceil(BLOCK), Block::default);
        let mut shares: Vec<Vec<(usize, &mut Block)>> = Vec::new();
        shares.resize_with(threads, Vec::new);
        for (number, block) in blocks.iter_mut().enumerate() {
            if let Some(share) = shares.get_mut(number % threads) {
                share.push((number, block));
            }
        }
        thread::scope(|scope| {
            for share in shares {
                scope.spawn(|| {
                    let mut own = scratch();
                    for (number, block) in share {
                        let first = number * BLOCK;
                        let items = first..rows.min(first + BLOCK);
                        // What is not written to takes no memory.
                        let room = items.len() * longest * size_of::<Scored>();
                        block.bytes.reserve_exact(room);
                        for item in items {
                            block.push(&row(&mut own, item as u32));
                        }
                    }
                });
            }
        });
        let mut end = 0u32;
        let mut starts = Vec::with_capacity(rows + 1);
        starts.push(U32::ZERO);
        for (number, block) in blocks.iter().enumerate() {
            let own = (rows - number * BLOCK).min(BLOCK);
            for place in 0..own {
                end = end.saturating_add(block.lengths.get(place).copied().unwrap_or(0));
                starts.push(U32::new(end));
            }
        }
        Self { starts, blocks }
    }

    /// The row of a video.
    pub(super) fn row(&self, item: u32) -> &[Scored] {
        let at = |place: usize| {
            self.starts
                .get(place)
                .map_or(0, |start| start.get() as usize)
        };
        let (item, width) = (item as usize, size_of::<Scored>());
        let begin = at(item - item % BLOCK);
        let span = (at(item) - begin) * width..(at(item + 1).max(begin) - begin) * width;
        let block = self.blocks.get(item / BLOCK);
        let bytes = block.and_then(|block| block.bytes.get(span));
        <[Scored]>::ref_from_bytes(bytes.unwrap_or_default()).unwrap_or_default()
    }

    /// Writes all rows as a list.
    pub(super) fn put(self, index: &mut IndexWriter, starts: Kind, values: Kind) {
        index.put(starts, &self.starts);
        let blocks = self.blocks.into_iter().map(|block| block.bytes);
        index.put_parts(values, blocks.collect());
    }
}

impl Block {
    fn push(&mut self, row: &[Scored]) {
        self.lengths.push(row.len() as u32);
        self.bytes.extend_from_slice(row.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_same_for_any_number_of_threads() {
        let row = |_: &mut (), item: u32| -> Vec<Scored> {
            (0..item % 5).map(|n| Scored::new(item, n as f32)).collect()
        };
        let told = |rows: &Rows, item: u32| -> Vec<(u32, f32)> {
            let row = rows.row(item).iter();
            row.map(|row| (row.item.get(), row.score.get())).collect()
        };
        for count in [0, 1, BLOCK, 3 * BLOCK + 7] {
            for threads in 0..4 {
                let rows = Rows::new(threads, count, 5, || (), row);
                assert_eq!(rows.starts.len(), count + 1);
                for item in 0..count as u32 {
                    let expected = row(&mut (), item);
                    let expected: Vec<(u32, f32)> = expected
                        .iter()
                        .map(|row| (row.item.get(), row.score.get()))
                        .collect();
                    assert_eq!(told(&rows, item), expected);
                }
                assert!(rows.row(count as u32).is_empty());
            }
        }
    }
}
