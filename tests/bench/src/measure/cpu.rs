//! CPU time of a thread, and keeping a thread on a core.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// What this thread has spent on a core, in user and kernel mode.
#[must_use]
pub fn this_thread() -> Duration {
    of(ClockId::ThreadCPUTime)
}

/// What all threads of this process have spent.
#[must_use]
pub fn this_process() -> Duration {
    of(ClockId::ProcessCPUTime)
}

/// Keeps this thread on the n-th core that the process may use, counted around; answers which.
pub fn pin(nth: usize) -> Option<usize> {
    let allowed = sched_getaffinity(None).ok()?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect();
    let core = *cores.get(nth % cores.len().max(1))?;
    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one).ok()?;
    Some(core)
}

fn of(clock: ClockId) -> Duration {
    let spent = clock_gettime(clock);
    let seconds = u64::try_from(spent.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(spent.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_cpu_time() {
        let before = this_thread();
        let mut sum = 0_u64;
        while this_thread() - before < Duration::from_millis(2) {
            sum = sum.wrapping_add(std::hint::black_box(1));
        }
        assert!(sum > 0 && this_process() >= this_thread() - before);
    }
}
