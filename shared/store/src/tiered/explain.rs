//! A slate that is made for one request alone, with how it came about.

use std::sync::Arc;

use engine::pipeline::Explained;
use guard::Deadline;
use smol_str::SmolStr;

use super::{Answer, TierOutcome, Tiered};
use crate::ask::{Ask, Who};
use crate::origin::Made;

/// Why there is no slate when making it panicked; said nowhere, because another one is served.
const PANICKED: SmolStr = SmolStr::new_static("load_panicked");

impl Tiered {
    /// Answers a question with how each item came to its score. Makes the slate anew and keeps it
    /// nowhere, because kept slates carry no explanations; so this one may leave out `exclude`.
    /// Whoever is left alone gets what [`Tiered::slate`] answers, unexplained.
    pub async fn explain(&self, ask: Ask, deadline: &Deadline) -> (Answer, Vec<Explained>) {
        let (inner, tuning) = (&self.inner, self.inner.tuning.snapshot());
        let mut asked = ask.clone();
        loop {
            let Ok(turn) = inner.callers.turn(&asked, &tuning, deadline).await else {
                return (self.slate(ask, deadline).await, Vec::new());
            };
            let timed = inner.callers.time(&asked);
            // Where all slates are made: whoever reads requests does not compute.
            let made = inner.tasks.spawn({
                let (inner, asked) = (Arc::clone(inner), asked.clone());
                let (tuning, deadline) = (Arc::clone(&tuning), deadline.clone());
                async move { inner.origin.make(&asked, 0, &tuning, &deadline).await }
            });
            let made = made.await.unwrap_or(Err(PANICKED));
            timed.end(&made);
            drop(turn);
            match made {
                Ok(Made::Slate(made)) => {
                    let answer = Answer {
                        slate: Arc::new(made.slate),
                        outcome: TierOutcome::Origin,
                        age_ms: 0,
                        stages: made.stages,
                    };
                    return (answer, made.explained);
                }
                Ok(Made::Absent { .. }) if asked.user().is_some() => {
                    asked = asked.for_whom(Who::Anyone);
                }
                Ok(Made::Absent { .. }) | Err(_) => {
                    return (self.slate(ask, deadline).await, Vec::new());
                }
            }
        }
    }
}
