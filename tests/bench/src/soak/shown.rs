//! What a soak shows.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::TierOutcome;

use super::client::{AGAIN_ONE_IN, ROUTED_ONE_IN};
use super::seen::{Part, Seen};
use super::{DEAD, PARTS, Size};
use crate::measure::report::Report;

/// What memory may grow over the second half of a run.
const GROWTH_MAX: f64 = 1.05;
/// How soon Redis is used again.
const BACK_MAX: Duration = Duration::from_secs(2);

/// What was found out while it ran; lists have one figure for each part so far.
#[derive(Default)]
pub struct Shown {
    /// Resident bytes after a part.
    pub memory: Vec<u64>,
    /// Reads of Redis that came to nothing until then, by the metric.
    pub lapses: Vec<u64>,
    /// Answers that Redis had until then.
    pub found: Vec<u64>,
    /// Generation swaps.
    pub swapped: usize,
    /// From when Redis was back until one process found what another had made.
    pub back: Option<Duration>,
    /// The whole run.
    pub took: Duration,
}

impl Shown {
    /// Fills the report.
    pub fn tell(&self, report: &mut Report, size: Size, seen: &Seen) {
        requests(report, size, seen);
        report.check(
            "generation swaps under load",
            self.swapped.to_string(),
            &size.swaps.to_string(),
            self.swapped == size.swaps,
        );
        self.memory(report);
        self.outage(report, seen);
        let asked: u64 = TierOutcome::ALL.iter().map(|one| seen.hits(*one)).sum();
        for outcome in TierOutcome::ALL {
            let count = seen.hits(outcome);
            let share = count as f64 / asked.max(1) as f64 * 100.0;
            report.tell(
                &format!("answers `{}`", outcome.as_str()),
                format!("{count} ({share:.2} %)"),
            );
        }
        let routed = seen.routed.load(Ordering::Relaxed);
        report.tell("answers through the router", routed.to_string());
        report.tell("wall time", format!("{:.0} s", self.took.as_secs_f64()));
        report.keep("resident_bytes", &self.memory);
        report.keep("lapses", &self.lapses);
        report.note(format!("{size:?}: one request in {} is a newcomer's first, who has a short history; one in {AGAIN_ONE_IN} is by somebody who came not long ago; of the others 65 % are by users with a long history (Zipf-like), 30 % for slates for many, 5 % for ids of nobody. One in {ROUTED_ONE_IN} goes through the router. Redis (1 GiB, LRU) is killed in the {}th of {PARTS} parts and is back, empty, in the {}th. The tier in the process is bounded at {} MiB, so that it evicts.", size.newcomer_one_in, DEAD.start + 1, DEAD.end + 1, size.tier_mib));
        report.note("Budgets are raised so that a busy machine uses none up: every answer can be held to the step of the ladder that it should stand on.");
    }

    fn memory(&self, report: &mut Report) {
        let half = self.memory.get(self.memory.len() / 2..).unwrap_or_default();
        let mib = |bytes: u64| bytes >> 20;
        let first = half.first().copied().unwrap_or(0);
        let most = half.iter().copied().max().unwrap_or(u64::MAX);
        let growth = most as f64 / first as f64;
        report.check(
            "resident memory over the second half, the most over the first",
            format!("{growth:.3} × ({} to {} MiB)", mib(first), mib(most)),
            &format!("≤ {GROWTH_MAX} ×"),
            growth <= GROWTH_MAX,
        );
    }

    /// A death and return leave no trace but a metric.
    fn outage(&self, report: &mut Report, seen: &Seen) {
        let sum = |of: fn(&Part) -> &AtomicU64, parts: Range<usize>| -> u64 {
            let parts = seen.parts.get(parts).unwrap_or_default().iter();
            parts.map(|part| of(part).load(Ordering::Relaxed)).sum()
        };
        let three = |of| phases().map(|parts| sum(of, parts));
        let shown = |[before, dead, after]: [u64; 3]| format!("{before} · {dead} · {after}");
        let wrong = three(|part| &part.wrong);
        report.check(
            "answers on another step than was due: before Redis died · until it was back · after",
            format!(
                "{} of {}; {} of them users' own",
                shown(wrong),
                shown(three(|part| &part.answers)),
                shown(three(|part| &part.personal)),
            ),
            "0 · 0 · 0",
            wrong == [0; 3],
        );
        let builtin = three(|part| &part.builtin);
        report.check(
            "answers from the built-in list, likewise",
            shown(builtin),
            "0 · 0 · 0",
            builtin == [0; 3],
        );
        let degraded = three(|part| &part.degraded);
        report.check(
            "answers that name something given up, likewise",
            shown(degraded),
            "0 · any · 0",
            degraded[0] == 0 && degraded[2] == 0,
        );
        let rise = |counts: &[u64]| {
            phases().map(|parts| {
                let at = |part: usize| counts.get(part).copied().unwrap_or(0);
                let before = parts.start.checked_sub(1).map_or(0, at);
                at(parts.end.saturating_sub(1)).saturating_sub(before)
            })
        };
        let lapses = rise(&self.lapses);
        report.check(
            "reads of Redis that came to nothing, by the metric, likewise",
            shown(lapses),
            "0 · > 0 · 0",
            lapses[0] == 0 && lapses[1] > 0 && lapses[2] == 0,
        );
        let found = rise(&self.found);
        report.check(
            "answers that Redis had, likewise",
            shown(found),
            "> 0 · any · > 0",
            found[0] > 0 && found[2] > 0,
        );
        let back_ms = self.back.map_or(u128::MAX, |back| back.as_millis());
        report.check(
            "Redis back: one process finds in it what another made after",
            format!("{back_ms} ms"),
            &format!("≤ {} ms", BACK_MAX.as_millis()),
            self.back.is_some_and(|back| back <= BACK_MAX),
        );
    }
}

/// Parts before Redis died, until it was used again, and after.
fn phases() -> [Range<usize>; 3] {
    [0..DEAD.start, DEAD.start..DEAD.end + 1, DEAD.end + 1..PARTS]
}

fn requests(report: &mut Report, size: Size, seen: &Seen) {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let errors = of(&seen.errors);
    let answered = seen.parts.iter().map(|part| of(&part.answers)).sum::<u64>() + errors;
    let bound = 3.0 / answered.max(1) as f64 * 100.0;
    report.check(
        "requests, errors (a refusal or an empty answer)",
        format!("{answered}, {errors}; 95 % bound on the rate {bound:.6} %"),
        &format!("≥ {}, 0", size.requests),
        errors == 0 && answered >= size.requests,
    );
    let (keys, wanted) = (seen.askers(), size.requests / size.newcomer_one_in);
    report.check(
        "keys: users who were given a slate of their own",
        keys.to_string(),
        &format!("≥ {wanted}"),
        keys >= wanted,
    );
    let (foreign, owned) = (of(&seen.foreign), of(&seen.owned));
    report.check(
        "slates of one user that another was given, of all users' slates",
        format!("{foreign} of {owned}"),
        "0",
        foreign == 0 && owned > 0,
    );
}
