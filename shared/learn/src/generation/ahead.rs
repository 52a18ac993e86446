//! Looks ahead, so that memory is asked for what lies anywhere in it before it is needed.

use std::iter::repeat;

use prefetch_index::prefetch_index;

/// How far ahead: the waits for so many places lie on top of each other.
pub(super) const AHEAD: usize = 32;
/// Bytes in a line of the processor's cache.
const LINE: usize = 64;

/// All of a slice in its order, each beside what will come [`AHEAD`] places after it.
pub(super) fn ahead<T>(all: &[T]) -> impl Iterator<Item = (&T, Option<&T>)> {
    let later = all.get(AHEAD..).unwrap_or_default();
    all.iter().zip(later.iter().map(Some).chain(repeat(None)))
}

/// Asks for a place and does not wait for it. One beyond the end is harmless.
#[inline]
pub(super) fn fetch<T>(all: &[T], place: Option<u32>) {
    if let Some(place) = place {
        prefetch_index(all, place as usize);
    }
}

/// Asks for a whole row and does not wait for it.
#[inline]
pub(super) fn fetch_row<T>(row: Option<&[T]>) {
    let row = row.unwrap_or_default();
    let step = (LINE / size_of::<T>().max(1)).max(1);
    let places = (0..row.len()).step_by(step);
    // A row need not begin where a line does.
    let last = row.len().checked_sub(1);
    places
        .chain(last)
        .for_each(|place| prefetch_index(row, place));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_out_and_what_comes_later_is_told_early() {
        for count in [0, 1, AHEAD, AHEAD + 1, 3 * AHEAD] {
            let all: Vec<usize> = (0..count).collect();
            let told: Vec<(usize, Option<usize>)> = ahead(&all)
                .map(|(one, later)| (*one, later.copied()))
                .collect();
            let later = |one: usize| Some(one + AHEAD).filter(|later| *later < count);
            let expected: Vec<(usize, Option<usize>)> =
                all.iter().map(|one| (*one, later(*one))).collect();
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn asking_beyond_the_end_is_allowed() {
        fetch(&[0u8; 4], Some(u32::MAX));
        fetch(&[0u8; 0], Some(0));
        fetch_row::<[u8; 100]>(Some(&[[0; 100]; 3]));
        fetch_row::<()>(Some(&[(); 3]));
        fetch_row::<u8>(None);
    }
}
