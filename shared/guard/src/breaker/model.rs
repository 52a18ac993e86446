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
    open_ms: 500,
    half_open_max: 3,
    permit_ms: 700,
};
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

/// Times are milliseconds: `run` without freezes, `all` with them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct At {
    run: u64,
    all: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Answer {
    at: At,
    failed: bool,
}

#[derive(Debug)]
enum Reference {
    Closed { since: At, answers: Vec<Answer> },
    Open { since: At },
    HalfOpen { out: Vec<(usize, At)>, good: u32 },
}

#[derive(Debug)]
struct Model {
    state: Reference,
    epoch: usize,
}

impl Model {
    fn enter(&mut self, state: Reference) {
        self.state = state;
        self.epoch += 1;
    }

    fn time_passes(&mut self, now: At) {
        if let Reference::HalfOpen { out, .. } = &self.state
            && let Some(first) = out.iter().map(|(_, at)| at.run).min()
            && now.run >= first + u64::from(TUNING.permit_ms)
        {
            let expired = first + u64::from(TUNING.permit_ms);
            self.enter(Reference::Open {
                since: At {
                    run: expired,
                    all: now.all,
                },
            });
        }
        if let Reference::Open { since } = self.state {
            let passed = (now.run - since.run).max(now.all - since.all);
            if passed > u64::from(TUNING.open_ms) {
                self.enter(Reference::HalfOpen {
                    out: Vec::new(),
                    good: 0,
                });
            }
        }
    }

    fn acquire(&mut self, permit: usize, now: At) -> bool {
        self.time_passes(now);
        match &mut self.state {
            Reference::Closed { .. } => true,
            Reference::Open { .. } => false,
            Reference::HalfOpen { out, .. } if out.len() >= TUNING.half_open_max as usize => false,
            Reference::HalfOpen { out, .. } => {
                out.push((permit, now));
                true
            }
        }
    }

    fn report(&mut self, permit: usize, epoch: usize, outcome: Outcome, now: At) {
        self.time_passes(now);
        if epoch != self.epoch {
            return;
        }
        match &mut self.state {
            Reference::Closed { since, answers } if outcome != Outcome::Excluded => {
                answers.push(Answer {
                    at: now,
                    failed: outcome.is_failure(),
                });
                let row = answers
                    .iter()
                    .rev()
                    .take_while(|answer| answer.failed)
                    .count();
                let bucket = |at: At| (at.all - since.all) / BUCKET_MS;
                let recent = answers.iter().filter(|a| bucket(a.at) + 30 > bucket(now));
                let (mut calls, mut failures) = (0, 0);
                for answer in recent {
                    calls += 1;
                    failures += u32::from(answer.failed);
                }
                if row > 3 || (calls >= 6 && failures * 2 > calls) {
                    self.enter(Reference::Open { since: now });
                }
            }
            Reference::HalfOpen { out, good } => {
                out.retain(|(held, _)| *held != permit);
                if outcome.is_failure() {
                    self.enter(Reference::Open { since: now });
                } else if outcome == Outcome::Success {
                    *good += 1;
                    if *good == TUNING.half_open_max {
                        self.enter(Reference::Closed {
                            since: now,
                            answers: Vec::new(),
                        });
                    }
                }
            }
            Reference::Closed { .. } | Reference::Open { .. } => {}
        }
    }

    fn state(&mut self, now: At) -> BreakerState {
        self.time_passes(now);
        match self.state {
            Reference::Closed { .. } => BreakerState::Closed,
            Reference::Open { .. } => BreakerState::Open,
            Reference::HalfOpen { .. } => BreakerState::HalfOpen,
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
        let mut now = At { run: 0, all: 0 };
        let since = now;
        let mut model =
            Model { state: Reference::Closed { since, answers: Vec::new() }, epoch: 0 };
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
                    now = At { run: now.run + ms, all: now.all + ms };
                }
                Step::FreezeMs(ms) => {
                    clock.step_wall_ms(ms.try_into().expect("small"));
                    now.all += ms;
                }
            }
            prop_assert_eq!(breaker.state(), model.state(now), "after step {}", n);
        }
    }
}
