//! The breaker against a reference that is too simple to be wrong: it keeps everything that ever
//! happened and works the state out anew each time.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::ManualClock;

const TUNING: BreakerTuning = BreakerTuning {
    consecutive_failures_max: 3,
    failure_share_max: 0.5,
    calls_min: 6,
    window_ms: 3_000,
    open_ms: OPEN_MS as u32,
    half_open_max: PROBES as u32,
    permit_ms: PERMIT_MS as u32,
};
const OPEN_MS: u64 = 500;
const PERMIT_MS: u64 = 700;
const PROBES: usize = 3;
const BUCKET_MS: u64 = 100;

#[derive(Debug, Clone)]
enum Step {
    Acquire,
    /// Reports or drops the oldest (`false`) or newest (`true`) permit that is out.
    Report(bool, Outcome),
    Drop(bool),
    AdvanceMs(u64),
    /// The wall clock runs on, the monotonic one does not; always more than a freeze's minimum.
    FreezeMs(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Success),
        3 => Just(Outcome::Failure),
        2 => Just(Outcome::Timeout),
        1 => Just(Outcome::Excluded),
    ];
    let step = prop_oneof![
        8 => Just(Step::Acquire),
        8 => (any::<bool>(), outcome).prop_map(|(newest, outcome)| Step::Report(newest, outcome)),
        1 => any::<bool>().prop_map(Step::Drop),
        3 => (0_u64..400).prop_map(Step::AdvanceMs),
        1 => (400_u64..4_000).prop_map(Step::AdvanceMs),
        1 => (2_000_u64..5_000).prop_map(Step::FreezeMs),
    ];
    prop::collection::vec(step, 1..150)
}

/// Milliseconds without freezes, and with them.
type At = (u64, u64);

#[derive(Debug)]
enum Reference {
    /// Since when, and every answer: when, and whether it failed.
    Closed(At, Vec<(At, bool)>),
    Open(At),
    /// Probes that are out, and how many have succeeded.
    HalfOpen(Vec<(usize, At)>, u32),
}
use Reference::{Closed, HalfOpen, Open};

#[derive(Debug)]
struct Model {
    state: Reference,
    epoch: usize,
}

impl Model {
    fn enter(&mut self, state: Reference) {
        (self.state, self.epoch) = (state, self.epoch + 1);
    }

    fn state(&mut self, now: At) -> BreakerState {
        if let HalfOpen(out, _) = &self.state
            && let Some(first) = out.iter().map(|(_, (run, _))| run + PERMIT_MS).min()
            && now.0 >= first
        {
            self.enter(Open((first, now.1)));
        }
        if let Open(since) = self.state
            && (now.0 - since.0).max(now.1 - since.1) > OPEN_MS
        {
            self.enter(HalfOpen(Vec::new(), 0));
        }
        match self.state {
            Closed(..) => BreakerState::Closed,
            Open(_) => BreakerState::Open,
            HalfOpen(..) => BreakerState::HalfOpen,
        }
    }

    fn acquire(&mut self, permit: usize, now: At) -> bool {
        let state = self.state(now);
        match &mut self.state {
            HalfOpen(out, _) if out.len() < PROBES => out.push((permit, now)),
            _ => return state == BreakerState::Closed,
        }
        true
    }

    fn report(&mut self, permit: usize, epoch: usize, outcome: Outcome, now: At) {
        self.state(now);
        match &mut self.state {
            _ if epoch != self.epoch => {}
            HalfOpen(..) if outcome.is_failure() => self.enter(Open(now)),
            HalfOpen(out, good) => {
                out.retain(|(held, _)| *held != permit);
                *good += u32::from(outcome == Outcome::Success);
                if *good as usize == PROBES {
                    self.enter(Closed(now, Vec::new()));
                }
            }
            Closed(since, answers) if outcome != Outcome::Excluded => {
                answers.push((now, outcome.is_failure()));
                let row = answers.iter().rev().take_while(|(_, failed)| *failed);
                let bucket = |at: At| (at.1 - since.1) / BUCKET_MS;
                let recent = |(at, _): &&(At, bool)| bucket(*at) + 30 > bucket(now);
                let calls = answers.iter().filter(recent).count();
                let failures = answers.iter().filter(recent).filter(|(_, failed)| *failed);
                if row.count() > 3 || (calls >= 6 && failures.count() * 2 > calls) {
                    self.enter(Open(now));
                }
            }
            _ => {}
        }
    }
}

fn take_one<T>(out: &mut Vec<T>, newest: bool) -> Option<T> {
    if newest || out.is_empty() {
        out.pop()
    } else {
        Some(out.remove(0))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn it_does_what_the_reference_does(steps in steps()) {
        let clock = Arc::new(ManualClock::default());
        let breaker = Breaker::new("model", TUNING, clock.clone());
        let mut now = (0, 0);
        let mut model = Model { state: Closed(now, Vec::new()), epoch: 0 };
        let mut out = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Acquire => {
                    let permit = breaker.acquire();
                    prop_assert_eq!(permit.is_ok(), model.acquire(n, now));
                    out.extend(permit.map(|permit| (n, model.epoch, permit)));
                }
                Step::Report(newest, outcome) => {
                    let Some((id, epoch, permit)) = take_one(&mut out, newest) else { continue };
                    permit.report(outcome);
                    model.report(id, epoch, outcome, now);
                }
                Step::Drop(newest) => {
                    let Some((id, epoch, permit)) = take_one(&mut out, newest) else { continue };
                    drop(permit);
                    model.report(id, epoch, Outcome::Excluded, now);
                }
                Step::AdvanceMs(ms) => {
                    clock.advance(Duration::from_millis(ms));
                    now = (now.0 + ms, now.1 + ms);
                }
                Step::FreezeMs(ms) => {
                    clock.step_wall_ms(ms.try_into().expect("small"));
                    now.1 += ms;
                }
            }
            prop_assert_eq!(breaker.state(), model.state(now), "after step {}", n);
        }
    }
}
