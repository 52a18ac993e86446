//! The system's allocator, counted per thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

/// What a piece of work took from the allocator; freeing is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Allocations {
    /// Allocations and growths.
    pub calls: u64,
    /// Bytes asked for.
    pub bytes: u64,
}

/// Does the work and counts what this thread allocated for it.
pub fn allocations<T>(work: impl FnOnce() -> T) -> (T, Allocations) {
    let before = so_far();
    let done = work();
    let after = so_far();
    let counted = Allocations {
        calls: after.calls - before.calls,
        bytes: after.bytes - before.bytes,
    };
    (done, counted)
}

/// What this thread has allocated since it began.
#[must_use]
pub fn so_far() -> Allocations {
    Allocations {
        calls: CALLS.with(Cell::get),
        bytes: BYTES.with(Cell::get),
    }
}

/// Counts and hands on.
pub struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn count(bytes: usize) {
        // Past the end of a thread there is nobody to count for.
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        let _ = BYTES.try_with(|sum| sum.set(sum.get() + bytes as u64));
    }
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe to implement; counting adds nothing to what `System` promises"
)]
// SAFETY: every call is handed on to `System` as it came, and counting neither allocates (the cells
// are constants without destructors) nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System` through this allocator.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        Self::count(bytes);
        // SAFETY: the block came from `System` through this allocator.
        unsafe { System.realloc(block, layout, bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allocation_of_this_thread_is_counted_and_no_other() {
        let (kept, counted) = allocations(|| vec![0_u8; 1_000]);
        assert_eq!((counted.calls, counted.bytes), (1, 1_000));
        let (_, freed) = allocations(|| drop(kept));
        assert_eq!(freed.calls, 0);
    }
}
