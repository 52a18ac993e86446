//! How things are measured here, so that a figure of a small, noisy machine can be believed.
//!
//! ```text
//! Report ── rows with targets ──► printed table, docs/performance/NAME.json ──► docs/performance.md
//!   ├ compare ── A-B-B-A blocks, median of pair ratios, bootstrap interval, A/A control
//!   ├ allocator ── allocations of this thread, exact
//!   ├ cpu ── CPU time of this thread, pinning to a core
//!   └ machine ── what it ran on
//! ```
//!
//! - Exact counts are gates; time is compared, within one run, never across runs.
//! - A comparison whose A/A control does not hold within ± 5 % is void, says so, and fails the run.
//! - Reports name what else ran, by the load average at both ends.

pub mod allocator;
pub mod compare;
pub mod cpu;
pub mod machine;
pub mod page;
pub mod report;

pub use allocator::{Allocations, allocations};
pub use compare::{Plan, compare};
pub use report::Report;

use std::hint::black_box;
use std::time::Duration;

/// Nanoseconds of this thread's CPU time per call of `work`, over `calls` calls: what else runs on the
/// machine takes its time, but not this.
pub fn cpu_nanos_per_call<T>(calls: u32, mut work: impl FnMut() -> T) -> f64 {
    let start = cpu::this_thread();
    for _ in 0..calls {
        black_box(work());
    }
    nanos(cpu::this_thread().saturating_sub(start)) / f64::from(calls.max(1))
}

/// A span in nanoseconds.
#[must_use]
pub fn nanos(span: Duration) -> f64 {
    span.as_secs_f64() * 1e9
}
