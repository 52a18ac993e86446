//! Rows computed side by side, in order, each thread with scratch of its own.

use std::ops::Range;
use std::thread;

/// Computes `row` for `0..rows`; the result is the same for any number of threads.
///
/// Rows are handed out in equal blocks; a thread that panics loses its blocks' rows, which come
/// out empty, so `row` must not panic.
pub(super) fn rows<S, T: Default + Clone + Send>(
    threads: usize,
    rows: usize,
    scratch: impl Fn() -> S + Sync,
    row: impl Fn(&mut S, usize) -> T + Sync,
) -> Vec<T> {
    const BLOCK: usize = 256;
    let mut out = vec![T::default(); rows];
    let blocks: Vec<(Range<usize>, &mut [T])> = out
        .chunks_mut(BLOCK)
        .enumerate()
        .map(|(n, chunk)| (n * BLOCK..n * BLOCK + chunk.len(), chunk))
        .collect();
    let threads = threads.clamp(1, 64);
    let mut shares: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
    for (n, block) in blocks.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(n % threads) {
            share.push(block);
        }
    }
    thread::scope(|scope| {
        for share in shares {
            scope.spawn(|| {
                let mut own = scratch();
                for (range, chunk) in share {
                    for (n, slot) in range.zip(chunk) {
                        *slot = row(&mut own, n);
                    }
                }
            });
        }
    });
    out
}
