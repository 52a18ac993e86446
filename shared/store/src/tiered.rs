//! A slate for every question: this process, the shared tier, or made; and when nothing else
//! works, a lower step of the ladder.
//!
//! ```text
//! local ─ hit ──────────────────────────────────────────────────────────▶ answer
//!   └ one flight per key, detached: local again ▸ shared ▸ origin ──────▶ answer
//!         └ failed or too slow: stale personal ▸ cohort ▸ market ▸ built-in ▶ answer
//! ```
//!
//! - A user's slate is served for its soft life; then it is served only after the user's version
//!   said that it still holds, or as the `stale` step when a new one cannot be had. Past its hard
//!   life it is never served.
//! - A slate for many is served at once when stale, and refreshed by exactly one load.
//! - A newer value is never overwritten by an older one: values are compared by user version and
//!   generation. A generation older than the mapped one is stale, not gone.
//! - Slates of a `session` never leave the process; nor do those that had to give something up.
//!
//! Read in the order `answer`, this file, `load`, `ladder`, `fill`, `wire`.

use std::sync::Arc;
use std::time::Duration;

use engine::pipeline::Explained;
use futures_util::future::BoxFuture;
use guard::{Clock, Deadline, Flight, Tasks};
use ops::metric::TIER_READS;

use crate::ask::{Ask, SlateKey, Who};
use crate::life::{Freshness, GenerationOrder, Life};
use crate::local::{Held, Local, Value};
use crate::origin::{Made, Origin};
use crate::redis::Shared;
use crate::tuning::{LiveTuning, Tuning};

mod answer;
mod fill;
mod ladder;
mod load;
#[cfg(test)]
mod tests;
mod wire;

pub use answer::{Answer, TierOutcome};
pub use fill::{FILL_BATCH, FillReport};

use ladder::with_causes;
use load::{Loaded, Mode};

/// How long an answer that had to give something up is kept, and no other is tried.
pub const DEGRADED_LIFE: Duration = Duration::from_secs(1);
/// How long a slate of a session is kept.
pub const SESSION_LIFE: Duration = Duration::from_secs(600);
/// What the tier in this process may weigh unless somebody says otherwise.
pub const LOCAL_BYTES_MAX: u64 = 256 << 20;
/// A stale slate is refreshed at most once within this time, however the refresh ends.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);
/// Why a user's slate is not even tried: a moment ago the user's state could not be read.
const PAUSED: &str = "users_unavailable";

/// What the tiers are made of.
pub struct TieredParts {
    /// Makes slates.
    pub origin: Origin,
    /// Shares them with other processes; none on a machine without Redis.
    pub shared: Option<Shared>,
    /// How long everything lives and may take.
    pub tuning: Arc<LiveTuning>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where detached loads run.
    pub tasks: Tasks,
    /// What the tier in this process may weigh, in bytes.
    pub local_bytes_max: u64,
}

/// Slates through all tiers. Clones share them.
#[derive(Clone)]
pub struct Tiered {
    inner: Arc<Inner>,
}

struct Inner {
    local: Local,
    shared: Option<Shared>,
    origin: Origin,
    tuning: Arc<LiveTuning>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    loads: Flight<SlateKey, Loaded>,
    refreshes: Flight<SlateKey, Loaded>,
}

/// What the local tier's value is good for.
enum Verdict {
    /// To be served.
    Serve(Arc<Held>),
    /// To be served while it is refreshed.
    Refresh(Arc<Held>),
    /// To be served as the stale step: a load has just failed.
    Pause(Arc<Held>),
    /// To be loaded; a stale value may help if that fails.
    Load(Option<Arc<Held>>),
}

impl Tiered {
    /// Tiers of these parts, empty in this process.
    #[must_use]
    pub fn new(parts: TieredParts) -> Self {
        let inner = Inner {
            local: Local::new(parts.local_bytes_max),
            shared: parts.shared,
            origin: parts.origin,
            tuning: parts.tuning,
            clock: parts.clock,
            loads: Flight::new(parts.tasks.clone()),
            refreshes: Flight::new(parts.tasks.clone()),
            tasks: parts.tasks,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Answers a question. Never fails, and takes no longer than the deadline by more than it takes
    /// to copy a list. Knows nothing of `exclude`, which is not part of the key.
    pub async fn slate(&self, ask: Ask, deadline: &Deadline) -> Answer {
        let ask = Ask {
            exclude: Vec::new(),
            ..ask
        };
        let answer = self.inner.answer(Arc::new(ask.keepable()), deadline).await;
        let outcome = answer.outcome;
        metrics::counter!(TIER_READS, "tier" => outcome.tier(), "outcome" => outcome.as_str())
            .increment(1);
        answer
    }

    /// Answers a question with how each item came to its score. Makes the slate anew and keeps it
    /// nowhere, because kept slates carry no explanations; so this one may leave out `exclude`.
    pub async fn explain(&self, ask: Ask, deadline: &Deadline) -> (Answer, Vec<Explained>) {
        let tuning = self.inner.tuning.snapshot();
        let mut asked = ask.clone();
        loop {
            match self.inner.origin.make(&asked, 0, &tuning, deadline).await {
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

    /// How many loads are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.inner.loads.in_flight() + self.inner.refreshes.in_flight()
    }

    /// The shared tier, if there is one.
    #[must_use]
    pub fn shared(&self) -> Option<&Shared> {
        self.inner.shared.as_ref()
    }
}

impl Inner {
    /// Breaks the circle of futures: an answer may need the answer to a question for many, which
    /// needs no further one.
    fn answer_boxed<'a>(
        self: &'a Arc<Self>,
        ask: Arc<Ask>,
        deadline: &'a Deadline,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(self.answer(ask, deadline))
    }

    async fn answer(self: &Arc<Self>, ask: Arc<Ask>, deadline: &Deadline) -> Answer {
        let key = ask.key();
        let tuning = self.tuning.snapshot();
        let held = self.local.get(key).await;
        let stale = match self.judge(&ask, held) {
            Verdict::Serve(held) => {
                return self
                    .serve(&ask, held, TierOutcome::LocalHit, deadline)
                    .await;
            }
            Verdict::Refresh(held) => {
                self.refresh(&ask, key, &held, &tuning, deadline).await;
                return self
                    .serve(&ask, held, TierOutcome::LocalStale, deadline)
                    .await;
            }
            Verdict::Pause(held) => {
                return self
                    .stale_step(&held, PAUSED)
                    .unwrap_or_else(|| self.builtin(&ask, &[]));
            }
            Verdict::Load(stale) => stale,
        };
        let budget = load_budget(&tuning);
        let (inner, asked) = (Arc::clone(self), Arc::clone(&ask));
        let loading = self.loads.run(key, deadline, budget, move || async move {
            inner.load(asked, key, Mode::Read, tuning).await
        });
        match loading.await {
            Ok(loaded) => self.loaded(&ask, key, loaded, deadline).await,
            Err(error) => self.without_load(&ask, stale, error).await,
        }
    }

    /// What a held value is good for now.
    fn judge(&self, ask: &Ask, held: Option<Arc<Held>>) -> Verdict {
        let now_ms = self.clock.now().wall_ms;
        let Some(held) = held else {
            return Verdict::Load(None);
        };
        let freshness = held.freshness(now_ms);
        if freshness == Freshness::Dead {
            return Verdict::Load(None);
        }
        if freshness == Freshness::Fresh && !self.outdated(&held) {
            return Verdict::Serve(held);
        }
        match (held.slate(), ask.user()) {
            (None, _) => Verdict::Load(None),
            (Some(_), None) => Verdict::Refresh(held),
            (Some(_), Some(_)) if held.refresh_claimed(now_ms, REFRESH_PAUSE) => {
                Verdict::Pause(held)
            }
            (Some(_), Some(_)) => Verdict::Load(Some(held)),
        }
    }

    /// Whether a value was made from a generation older than the mapped one.
    fn outdated(&self, held: &Held) -> bool {
        let (Some(slate), Some(index)) = (held.slate(), self.origin.index()) else {
            return false;
        };
        slate.generation != index.generation()
            && held.rank.generation < GenerationOrder::of(index.generation())
    }

    /// Answers with a held value, or with everybody's slate when it says that the user is absent.
    async fn serve(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        held: Arc<Held>,
        outcome: TierOutcome,
        deadline: &Deadline,
    ) -> Answer {
        match &held.value {
            Value::Slate(slate) => Answer {
                slate: Arc::clone(slate),
                outcome,
                age_ms: held.age_ms(self.clock.now().wall_ms),
                stages: Vec::new(),
            },
            Value::Absent(who) => {
                let asked = Arc::new(ask.for_whom(who.clone()));
                self.answer_boxed(asked, deadline).await
            }
        }
    }

    /// Turns what a flight brought into an answer, and refreshes it if it came stale.
    async fn loaded(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        key: SlateKey,
        loaded: Loaded,
        deadline: &Deadline,
    ) -> Answer {
        match loaded {
            Loaded::Held {
                held,
                outcome,
                causes,
                stages,
            } => {
                if outcome == TierOutcome::SharedStale {
                    let tuning = self.tuning.snapshot();
                    self.refresh(ask, key, &held, &tuning, deadline).await;
                }
                let answer = self.serve(ask, held, outcome, deadline).await;
                let stages = if answer.stages.is_empty() {
                    stages.to_vec()
                } else {
                    answer.stages
                };
                with_causes(Answer { stages, ..answer }, &causes)
            }
            Loaded::Fallback(answer) => answer,
        }
    }

    /// Starts the one refresh of a stale slate and does not wait for it.
    async fn refresh(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        key: SlateKey,
        held: &Held,
        tuning: &Arc<Tuning>,
        deadline: &Deadline,
    ) {
        if !held.claim_refresh(self.clock.now().wall_ms, REFRESH_PAUSE) {
            return;
        }
        let (inner, asked, tuning) = (Arc::clone(self), Arc::clone(ask), Arc::clone(tuning));
        let budget = load_budget(&tuning);
        // Nobody waits: the flight is detached, and its caller's time is over at once.
        let no_time = deadline.child(Duration::ZERO);
        let _ = self
            .refreshes
            .run(key, &no_time, budget, move || async move {
                inner.load(asked, key, Mode::Refresh, tuning).await
            })
            .await;
    }
}

fn load_budget(tuning: &Tuning) -> Duration {
    Duration::from_millis(tuning.store.budgets.load_ms.into())
}

/// The life of a slate that this process made.
fn life_of(ask: &Ask, whole: bool, tuning: &Tuning) -> Life {
    if !whole {
        return Life {
            soft: DEGRADED_LIFE,
            hard: DEGRADED_LIFE,
        };
    }
    let life = match ask.who {
        Who::User(_) => tuning.store.personal_life(),
        Who::Cohort(_) | Who::Anyone => tuning.store.shared_life(),
    };
    if ask.shareable() {
        life
    } else {
        Life {
            hard: life.hard.min(SESSION_LIFE),
            ..life
        }
    }
}
