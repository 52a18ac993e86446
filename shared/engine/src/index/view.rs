//! Typed looks at sections; none of them can panic.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// What can be read in place at any address.
pub trait Plain: FromBytes + KnownLayout + Immutable + Unaligned {}
impl<T: FromBytes + KnownLayout + Immutable + Unaligned> Plain for T {}

/// A section as rows; empty when its length is not a multiple of a row.
pub(super) fn rows<T: Plain>(bytes: &[u8]) -> &[T] {
    <[T]>::ref_from_bytes(bytes).unwrap_or_default()
}

/// Rows of different lengths, one behind the other.
#[derive(Debug)]
pub struct List<'a, T> {
    pub(super) starts: &'a [U32],
    pub(super) values: &'a [T],
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<'a, T> List<'a, T> {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A row; empty when there is none of this number.
    #[inline]
    #[must_use]
    pub fn row(&self, row: u32) -> &'a [T] {
        let row = row as usize;
        let (Some(start), Some(end)) = (self.starts.get(row), self.starts.get(row + 1)) else {
            return &[];
        };
        self.values
            .get(start.get() as usize..end.get() as usize)
            .unwrap_or_default()
    }
}

/// Texts by number.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    pub(super) list: List<'a, u8>,
}

impl<'a> Texts<'a> {
    /// How many texts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The text of this number; empty when there is none.
    #[must_use]
    pub fn text(&self, number: u32) -> &'a str {
        std::str::from_utf8(self.list.row(number)).unwrap_or_default()
    }

    /// The number of a text, where texts ascend.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<u32> {
        let (mut low, mut high) = (0, u32::try_from(self.len()).unwrap_or(0));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.list.row(middle).cmp(text.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }
}

/// Byte strings with 64-bit offsets, for sections beyond 4 GB.
#[derive(Debug, Clone, Copy)]
pub struct Blobs<'a> {
    pub(super) starts: &'a [U64],
    pub(super) bytes: &'a [u8],
}

impl<'a> Blobs<'a> {
    /// A byte string; empty when there is none of this number.
    #[must_use]
    pub fn row(&self, row: u32) -> &'a [u8] {
        let row = row as usize;
        let (Some(start), Some(end)) = (self.starts.get(row), self.starts.get(row + 1)) else {
            return &[];
        };
        let start = usize::try_from(start.get()).unwrap_or(usize::MAX);
        let end = usize::try_from(end.get()).unwrap_or(usize::MAX);
        self.bytes.get(start..end).unwrap_or_default()
    }
}
