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
//! - Slates of a `session` never leave the process; nor do those that had to give something up, or
//!   are for what nobody knows.
//! - What is asked for all the time is refreshed before it is stale, and lives longer when it is for
//!   many. What several processes want at once is made by one of them.
//!
//! Read in the order `answer`, `policy`, `canonical`, this file, `explain`, `refresh`, `callers`,
//! `load`, `look`, `lease`, `ladder`, `fill`, `wire`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use guard::{Breaker, Clock, Deadline, Flight, KeyedLimiter, Now, Tasks};
use metrics::Counter;

use crate::ask::{Ask, SlateKey};
use crate::hot::{HotKey, HotKeys};
use crate::life::{Freshness, GenerationOrder, unit};
use crate::local::{Held, Local, Value};
use crate::origin::Origin;
use crate::redis::Shared;
use crate::tuning::LiveTuning;

mod answer;
mod callers;
mod canonical;
mod explain;
mod fill;
mod ladder;
mod lease;
mod load;
mod look;
mod policy;
mod refresh;
#[cfg(test)]
mod tests;
mod wire;

pub use answer::{Answer, TierOutcome};
pub use callers::CALLERS_MAX;
pub use fill::{FILL_BATCH, FillReport};

use callers::Callers;
use ladder::with_causes;
use load::{Loaded, Mode};
use policy::{about, counter, life_of, load_budget, times};

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
    callers: Callers,
    loads: Flight<SlateKey, Loaded>,
    refreshes: Flight<SlateKey, Loaded>,
    hot: HotKeys,
    /// One counter for each of [`TierOutcome::ALL`].
    reads: Vec<Counter>,
}

/// What the local tier's value is good for.
enum Verdict {
    /// To be served.
    Serve(Arc<Held>),
    /// To be served while it is refreshed, although it is fresh.
    Early(Arc<Held>),
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
        let callers = Callers::new(&parts.tuning.snapshot(), &parts.clock);
        let inner = Inner {
            callers,
            local: Local::new(parts.local_bytes_max),
            shared: parts.shared,
            origin: parts.origin,
            tuning: parts.tuning,
            clock: parts.clock,
            loads: Flight::new(parts.tasks.clone()),
            refreshes: Flight::new(parts.tasks.clone()),
            tasks: parts.tasks,
            hot: HotKeys::new(),
            reads: TierOutcome::ALL.iter().map(counter).collect(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Answers a question. Never fails, and takes no longer than the deadline by more than it takes
    /// to copy a list. Knows nothing of `exclude`, which is not part of the key.
    pub async fn slate(&self, ask: Ask, deadline: &Deadline) -> Answer {
        let ask = self.canonical(ask, &self.inner.tuning.snapshot());
        let key = ask.key();
        match self.at_hand(&ask, key, self.inner.clock.now()) {
            Some(answer) => answer,
            None => self.fetch(&ask, key, deadline).await,
        }
    }

    /// The usual case of [`Self::slate`], for a [canonical](Self::canonical) question whose key is
    /// known: a slate in this process that is fresh, without waiting, a copy or a task. Whoever gets
    /// none [fetches](Self::fetch) it.
    #[must_use]
    pub fn at_hand(&self, ask: &Ask, key: SlateKey, now: Now) -> Option<Answer> {
        let answer = self.inner.at_hand(ask, key, now)?;
        self.inner.count(answer.outcome);
        Some(answer)
    }

    /// As [`Self::slate`], for a question to which no answer was [at hand](Self::at_hand).
    pub async fn fetch(&self, ask: &Ask, key: SlateKey, deadline: &Deadline) -> Answer {
        let ask = Arc::new(ask.clone().keepable());
        // On the heap: who waits for it does not carry the room that it needs.
        let answer = Box::pin(self.inner.answer(ask, key, deadline)).await;
        self.inner.count(answer.outcome);
        answer
    }

    /// How many loads are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.inner.loads.in_flight() + self.inner.refreshes.in_flight()
    }

    /// What is asked for all the time, hottest first.
    #[must_use]
    pub fn hot_keys(&self) -> Vec<HotKey> {
        self.inner.hot.hottest()
    }

    /// What users may ask: taken from by whoever lets requests in, and told here, on the way of
    /// misses, what other processes admitted. At most [`CALLERS_MAX`] users.
    #[must_use]
    pub fn user_limit(&self) -> Arc<KeyedLimiter> {
        Arc::clone(&self.inner.callers.limit)
    }

    /// The breaker of users' state: who reads it besides asks this one.
    #[must_use]
    pub fn users_breaker(&self) -> &Breaker {
        self.inner.origin.breaker()
    }

    /// The shared tier, if there is one.
    #[must_use]
    pub fn shared(&self) -> Option<&Shared> {
        self.inner.shared.as_ref()
    }
}

impl Inner {
    fn count(&self, outcome: TierOutcome) {
        if let Some(counter) = self.reads.get(outcome as usize) {
            counter.increment(1);
        }
    }

    fn at_hand(&self, ask: &Ask, key: SlateKey, now: Now) -> Option<Answer> {
        let hot = self.hot.note(key, now, || about(ask));
        let held = self.local.get(key)?;
        let slate = held.slate()?;
        let serves = held.freshness_of(now.wall_ms, times(ask, hot)) == Freshness::Fresh
            && !self.outdated(&held)
            && !(hot && self.wants_early(ask, key, &held, now.wall_ms));
        serves.then(|| Answer {
            slate: Arc::clone(slate),
            outcome: TierOutcome::LocalHit,
            age_ms: held.age_ms(now.wall_ms),
            stages: Vec::new(),
        })
    }

    /// Breaks the circle of futures: an answer may need the answer to a question for many, which
    /// needs no further one.
    fn answer_boxed<'a>(
        self: &'a Arc<Self>,
        ask: Ask,
        deadline: &'a Deadline,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let key = ask.key();
            self.hot.note(key, self.clock.now(), || about(&ask));
            self.answer(Arc::new(ask), key, deadline).await
        })
    }

    async fn answer(self: &Arc<Self>, ask: Arc<Ask>, key: SlateKey, deadline: &Deadline) -> Answer {
        let tuning = self.tuning.snapshot();
        let held = self.local.get(key);
        let stale = match self.judge(&ask, key, held) {
            Verdict::Serve(held) => {
                return self
                    .serve(&ask, held, TierOutcome::LocalHit, deadline)
                    .await;
            }
            Verdict::Early(held) => {
                self.refresh_early(&ask, key, &held, &tuning, deadline);
                return self
                    .serve(&ask, held, TierOutcome::LocalHit, deadline)
                    .await;
            }
            Verdict::Refresh(held) => {
                self.refresh(&ask, key, &held, &tuning, deadline);
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
        let turn = match self.callers.turn(&ask, &tuning, deadline).await {
            Ok(turn) => turn,
            Err(cause) => return self.without_asking(&ask, key, stale, cause, deadline).await,
        };
        let budget = load_budget(&tuning);
        let (inner, asked) = (Arc::clone(self), Arc::clone(&ask));
        let loading = self.loads.run(key, deadline, budget, move || async move {
            let _turn = turn;
            inner.load(asked, key, Mode::Read, tuning).await
        });
        match loading.await {
            Ok(loaded) => self.loaded(&ask, key, loaded, deadline).await,
            Err(error) => self.without_load(&ask, stale, error).await,
        }
    }

    /// What a held value is good for now.
    fn judge(&self, ask: &Ask, key: SlateKey, held: Option<Arc<Held>>) -> Verdict {
        let now_ms = self.clock.now().wall_ms;
        let Some(held) = held else {
            return Verdict::Load(None);
        };
        let hot = self.hot.is_hot(key);
        let freshness = held.freshness_of(now_ms, times(ask, hot));
        if freshness == Freshness::Dead {
            return Verdict::Load(None);
        }
        if freshness == Freshness::Fresh && !self.outdated(&held) {
            let early = hot && self.wants_early(ask, key, &held, now_ms);
            return if early {
                Verdict::Early(held)
            } else {
                Verdict::Serve(held)
            };
        }
        match (held.slate(), ask.user()) {
            (None, _) => Verdict::Load(Some(held)),
            (Some(_), None) => Verdict::Refresh(held),
            (Some(_), Some(_)) if held.refresh_claimed(now_ms, REFRESH_PAUSE) => {
                Verdict::Pause(held)
            }
            (Some(_), Some(_)) => Verdict::Load(Some(held)),
        }
    }

    /// Whether this request is the one that should refresh a hot value early.
    fn wants_early(&self, ask: &Ask, key: SlateKey, held: &Held, now_ms: i64) -> bool {
        let drawn = unit(key.0 ^ u128::from(ask.seed), now_ms);
        held.slate().is_some() && held.wants_early(now_ms, times(ask, true), drawn)
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
            Value::Absent(who) => self.answer_boxed(ask.for_whom(who.clone()), deadline).await,
            Value::Below(who, causes) => {
                let below = self.answer_boxed(ask.for_whom(who.clone()), deadline).await;
                let outcome = TierOutcome::Fallback;
                with_causes(Answer { outcome, ..below }, causes)
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
                    self.refresh(ask, key, &held, &tuning, deadline);
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
}
