//! The steps below a slate made now: stale personal, cohort, market, built-in.

use std::sync::Arc;

use engine::{Rung, Slate};
use guard::{Deadline, FlightError};
use smol_str::SmolStr;

use super::callers::USER_OPEN;
use super::{Answer, Inner, PAUSED, REFRESH_PAUSE, TierOutcome};
use crate::Cohort;
use crate::ask::{Ask, SlateKey, Who};
use crate::life::{Freshness, Life, Rank};
use crate::local::{Held, Value};
use crate::origin::add_cause;

impl Inner {
    /// Answers when the flight did not: from what this process has at hand, without waiting.
    pub(super) async fn without_load(
        &self,
        ask: &Ask,
        stale: Option<Arc<Held>>,
        error: FlightError,
    ) -> Answer {
        let cause = match error {
            FlightError::Timeout | FlightError::Overran => "load_timeout",
            FlightError::Cancelled => "load_cancelled",
            FlightError::Panicked => "load_failed",
            FlightError::Full => "load_refused",
        };
        if let Some(answer) = stale.as_ref().and_then(|held| self.stale_step(held, cause)) {
            return answer;
        }
        let now_ms = self.clock.now().wall_ms;
        for who in steps_below(ask, stale.as_deref()) {
            let held = self.local.get(ask.for_whom(who).key());
            // What died while the process was frozen is still held.
            let held = held.filter(|held| held.freshness(now_ms) != Freshness::Dead);
            if let Some((held, slate)) = held.as_ref().and_then(|held| Some((held, held.slate()?)))
            {
                let answer = Answer {
                    slate: Arc::clone(slate),
                    outcome: TierOutcome::Fallback,
                    age_ms: held.age_ms(now_ms),
                    stages: Vec::new(),
                };
                return with_causes(answer, &[cause.into()]);
            }
        }
        self.builtin(ask, &[cause.into()])
    }

    /// The second step of the ladder: the user's last slate, as long as its hard life is not over.
    pub(super) fn stale_step(&self, held: &Held, cause: &str) -> Option<Answer> {
        let now_ms = self.clock.now().wall_ms;
        let slate = held
            .slate()
            .filter(|_| held.freshness(now_ms) != Freshness::Dead)?;
        let rung = if slate.rung == Rung::Personal {
            Rung::Stale
        } else {
            slate.rung
        };
        let mut slate = Slate {
            rung,
            ..Slate::clone(slate)
        };
        add_cause(&mut slate, cause);
        let (slate, age_ms) = (Arc::new(slate), held.age_ms(now_ms));
        Some(Answer {
            slate,
            outcome: TierOutcome::Fallback,
            age_ms,
            stages: Vec::new(),
        })
    }

    /// The last step of the ladder.
    pub(super) fn builtin(&self, ask: &Ask, causes: &[SmolStr]) -> Answer {
        let slate = Arc::new(self.origin.builtin(ask));
        let outcome = TierOutcome::Fallback;
        with_causes(
            Answer {
                slate,
                outcome,
                age_ms: 0,
                stages: Vec::new(),
            },
            causes,
        )
    }

    /// Answers for whoever is left alone: nothing of theirs is loaded. A user comes down to the
    /// cohort at once, because it is their own state that does not come.
    pub(super) async fn without_asking(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        key: SlateKey,
        stale: Option<Arc<Held>>,
        cause: &'static str,
        deadline: &Deadline,
    ) -> Answer {
        let cohort = cohort_of(stale.as_deref()).filter(|_| cause == USER_OPEN);
        let causes = [SmolStr::new_static(cause)];
        let Some(cohort) = cohort else {
            return self.descend(ask, key, stale, &causes, deadline).await;
        };
        let asked = ask.for_whom(Who::Cohort(cohort));
        let below = self.answer_boxed(asked, deadline).await;
        let outcome = TierOutcome::Fallback;
        with_causes(Answer { outcome, ..below }, &causes)
    }

    /// Walks down the ladder for a user whose slate cannot be made.
    pub(super) async fn descend(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        key: SlateKey,
        stale: Option<Arc<Held>>,
        causes: &[SmolStr],
        deadline: &Deadline,
    ) -> Answer {
        let cause = causes.last().map_or(PAUSED, SmolStr::as_str);
        if let Some(held) = &stale
            && let Some(answer) = self.stale_step(held, cause)
        {
            // Kept here, also when it came from the shared tier, so that the pause is kept too.
            let now_ms = self.clock.now().wall_ms;
            held.claim_refresh(now_ms, REFRESH_PAUSE);
            self.local.put(key, Arc::clone(held), now_ms);
            return with_causes(answer, causes);
        }
        let Some(who) = steps_below(ask, stale.as_deref()).into_iter().next() else {
            return self.builtin(ask, causes);
        };
        // Kept for a moment: the next ones need not find out again.
        let life = Life {
            soft: REFRESH_PAUSE,
            hard: REFRESH_PAUSE,
        };
        let (now_ms, value) = (
            self.clock.now().wall_ms,
            Value::Below(who.clone(), Arc::from(causes)),
        );
        let held = Held::new(value, Rank::default(), life, now_ms, now_ms);
        self.local.put(key, Arc::new(held), now_ms);
        let below = self.answer_boxed(ask.for_whom(who), deadline).await;
        with_causes(
            Answer {
                outcome: TierOutcome::Fallback,
                ..below
            },
            causes,
        )
    }
}

/// For whom else there may be a slate, best first.
fn steps_below(ask: &Ask, stale: Option<&Held>) -> Vec<Who> {
    let mut steps: Vec<Who> = cohort_of(stale).into_iter().map(Who::Cohort).collect();
    steps.push(Who::Anyone);
    steps.retain(|who| *who != ask.who || !ask.session.is_empty());
    steps
}

/// The cohort that a user's last slate named.
fn cohort_of(stale: Option<&Held>) -> Option<Cohort> {
    stale.and_then(Held::slate)?.cohort.as_ref()?.parse().ok()
}

/// Adds causes to an answer; the kept slate stays as it is.
pub(super) fn with_causes(answer: Answer, causes: &[SmolStr]) -> Answer {
    if causes
        .iter()
        .all(|cause| answer.slate.degraded.contains(cause))
    {
        return answer;
    }
    let mut slate = Slate::clone(&answer.slate);
    causes.iter().for_each(|cause| add_cause(&mut slate, cause));
    Answer {
        slate: Arc::new(slate),
        ..answer
    }
}
