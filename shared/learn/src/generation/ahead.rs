//! Looks ahead, so that memory is asked for what lies anywhere in it before it is needed.

use std::iter::repeat;

use prefetch_index::prefetch_index;

/// How far ahead: the waits for so many places lie on top of each other.
const AHEAD: usize = 32;
/// Bytes in a line of the processor's cache.
const LINE: usize = 64;

/// All of a slice in its order, each beside what will come long after it.
pub(super) fn ahead<T>(all: &[T]) -> impl Iterator<Item = (&T, Option<&T>)> {
    let later = all.get(AHEAD..).unwrap_or_default();
    all.iter().zip(later.iter().map(Some).chain(repeat(None)))
}

/// Asks for a place and does not wait for it.
#[inline]
pub(super) fn fetch<T>(all: &[T], place: Option<u32>) {
    if let Some(place) = place {
        prefetch_index(all, place as usize);
    }
}

/// Asks for a whole row and does not wait for it.
#[inline]
pub(super) fn fetch_row<T>(row: &[T]) {
    let step = (LINE / size_of::<T>().max(1)).max(1);
    (0..row.len())
        .step_by(step)
        .for_each(|place| prefetch_index(row, place));
}
