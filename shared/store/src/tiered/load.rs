//! The way of one load: this process again, the shared tier, a lease, the origin, the ladder.

use std::sync::Arc;
use std::time::Duration;

use engine::StageReport;
use guard::Deadline;
use ops::metric::TIER_WRITES;
use smol_str::SmolStr;

use super::lease::HeldLease;
use super::policy::{absent_life, brief_life, life_here};
use super::{Answer, Inner, PAUSED, TierOutcome, Verdict, life_of, load_budget, wire};
use crate::ask::{Ask, SlateKey, Who};
use crate::envelope::Envelope;
use crate::life::Rank;
use crate::local::{Held, Value};
use crate::origin::{Made, MadeSlate};
use crate::redis::{Shared, SharedKey, Stored};
use crate::tuning::Tuning;

/// What one flight brings to everybody who waits for it.
#[derive(Debug, Clone)]
pub(super) enum Loaded {
    /// A value, now held by this process.
    Held {
        held: Arc<Held>,
        outcome: TierOutcome,
        causes: Vec<SmolStr>,
        stages: Arc<[StageReport]>,
    },
    /// The answer of a lower step of the ladder.
    Fallback(Answer),
}

/// What a load is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Somebody waits: a stale slate for many will do.
    Read,
    /// Nobody waits: only a fresh one will do.
    Refresh,
    /// Nobody waits, and the one there is is fresh; it was confirmed last at `of_ms`.
    Early {
        /// Unix time in milliseconds.
        of_ms: i64,
    },
}

/// What is known before the origin is asked.
#[derive(Default)]
pub(super) struct Findings {
    /// The best value that is not good enough, for the stale step.
    pub stale: Option<Arc<Held>>,
    /// The user's version as the shared tier knows it.
    pub user_version: Option<u64>,
    /// What was given up on the way.
    pub causes: Vec<SmolStr>,
    /// The right to make it that this process holds; given back with the slate.
    pub lease: Option<HeldLease>,
}

/// How looking into a tier ended.
pub(super) enum Look {
    Found(Arc<Held>, TierOutcome),
    GoOn(Findings),
}

impl Inner {
    pub(super) async fn load(
        self: Arc<Self>,
        ask: Arc<Ask>,
        key: SlateKey,
        mode: Mode,
        tuning: Arc<Tuning>,
    ) -> Loaded {
        let deadline = Deadline::after(Arc::clone(&self.clock), load_budget(&tuning));
        // Somebody may have filled it between the miss and this flight.
        let held = self.local.get(key);
        let stale = match self.judge(&ask, key, held) {
            Verdict::Serve(held) | Verdict::Early(held) if !mode.renews(&held) => {
                return found(held, TierOutcome::LocalHit, Vec::new());
            }
            Verdict::Serve(held) | Verdict::Early(held) => Some(held),
            Verdict::Refresh(held) if mode == Mode::Read => {
                return found(held, TierOutcome::LocalStale, Vec::new());
            }
            Verdict::Refresh(held) => Some(held),
            Verdict::Pause(held) => match self.stale_step(&held, PAUSED) {
                Some(answer) => return Loaded::Fallback(answer),
                None => None,
            },
            Verdict::Load(stale) => stale,
        };
        let mut findings = Findings {
            stale,
            ..Findings::default()
        };
        if let Some(shared) = self.shared.as_ref().filter(|_| self.may_leave(&ask)) {
            let budget = Duration::from_millis(tuning.store.budgets.redis_ms.into());
            let soon = deadline.child(budget);
            match self.look(shared, &ask, key, mode, findings, &soon).await {
                Look::Found(held, outcome) => return found(held, outcome, Vec::new()),
                Look::GoOn(so_far) => findings = so_far,
            }
            match self
                .share_the_work(shared, &ask, key, mode, findings, &tuning, &deadline)
                .await
            {
                Look::Found(held, outcome) => return found(held, outcome, Vec::new()),
                Look::GoOn(so_far) => findings = so_far,
            }
        }
        self.from_origin(&ask, key, findings, &tuning, &deadline)
            .await
    }

    async fn from_origin(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        key: SlateKey,
        findings: Findings,
        tuning: &Tuning,
        deadline: &Deadline,
    ) -> Loaded {
        let version_min = findings.user_version.unwrap_or(0);
        let Findings {
            stale,
            mut causes,
            lease,
            ..
        } = findings;
        let (began, timed) = (self.clock.now().mono, self.callers.time(ask));
        let made = self.origin.make(ask, version_min, tuning, deadline).await;
        timed.end(&made);
        let took = self.clock.now().mono.saturating_sub(began);
        match made {
            Ok(Made::Slate(made)) => {
                let stages = Arc::from(made.stages.as_slice());
                let making = Making {
                    took,
                    has_stale: stale.is_some(),
                    keep_out: !causes.is_empty(),
                    lease,
                };
                let held = self.keep(ask, key, made, making, tuning).await;
                Loaded::Held {
                    held,
                    outcome: TierOutcome::Origin,
                    causes,
                    stages,
                }
            }
            Ok(Made::Absent { version }) => {
                let (life, now_ms) = (absent_life(tuning), self.clock.now().wall_ms);
                let rank = Rank {
                    user_version: version,
                    ..Rank::default()
                };
                let held = Held::new(Value::Absent(Who::Anyone), rank, life, now_ms, now_ms);
                let held = Arc::new(held);
                self.local.put(key, Arc::clone(&held), now_ms);
                Loaded::Held {
                    held,
                    outcome: TierOutcome::Origin,
                    causes,
                    stages: Arc::default(),
                }
            }
            Err(cause) => {
                drop(lease);
                causes.push(cause);
                Loaded::Fallback(self.descend(ask, key, stale, &causes, deadline).await)
            }
        }
    }

    /// Keeps a slate that was just made, here and, if it may leave, in the shared tier.
    async fn keep(
        self: &Arc<Self>,
        ask: &Ask,
        key: SlateKey,
        made: MadeSlate,
        making: Making,
        tuning: &Tuning,
    ) -> Arc<Held> {
        let now_ms = self.clock.now().wall_ms;
        let whole = made.is_whole();
        let life = if self.knows(ask) {
            life_of(ask, whole, tuning)
        } else {
            brief_life(tuning)
        };
        let rank = Rank::new(made.slate.user_version, &made.slate.generation);
        let slate = Arc::new(made.slate);
        let value = Value::Slate(Arc::clone(&slate));
        let mut held = Held::new(value, rank, life_here(ask, key, life), now_ms, now_ms);
        held.took_ms = u32::try_from(making.took.as_millis()).unwrap_or(u32::MAX);
        let held = Arc::new(held);
        // For many, a whole slate that is stale is worth more than a fresh one with holes. A user's
        // fresh one knows what the user did since.
        if whole || !making.has_stale || ask.user().is_some() {
            self.local.put(key, Arc::clone(&held), now_ms);
        }
        let shared = self
            .shared
            .clone()
            .filter(|_| whole && !making.keep_out && self.may_leave(ask));
        if let Some(shared) = shared {
            let mut group = vec![Stored {
                key: SharedKey::slate(key, ask.user()),
                envelope: Envelope {
                    stored_at_ms: now_ms,
                    life,
                    rank,
                    payload: wire::encode(&slate),
                },
            }];
            // Without the version no reader could know that the slate still holds.
            group.extend(
                ask.user()
                    .map(|user| Stored::user_version(user, rank.user_version, now_ms)),
            );
            let lease = making.lease.and_then(HeldLease::hand_over);
            let deadline = Deadline::after(Arc::clone(&self.clock), load_budget(tuning));
            self.tasks
                .spawn(async move { write(&shared, &group, lease.as_ref(), &deadline).await });
        }
        held
    }
}

impl Mode {
    /// Whether this load is to make anew what is fresh: nobody has done so since it was begun.
    fn renews(self, held: &Held) -> bool {
        matches!(self, Self::Early { of_ms } if of_ms == held.confirmed_at_ms())
    }
}

/// What is to be known about a slate that was just made.
struct Making {
    took: Duration,
    /// This process has an older one.
    has_stale: bool,
    /// It must not leave the process.
    keep_out: bool,
    lease: Option<HeldLease>,
}

fn found(held: Arc<Held>, outcome: TierOutcome, causes: Vec<SmolStr>) -> Loaded {
    Loaded::Held {
        held,
        outcome,
        causes,
        stages: Arc::default(),
    }
}

async fn write(shared: &Shared, group: &[Stored], lease: Option<&SharedKey>, deadline: &Deadline) {
    let stored = match lease {
        Some(lease) => shared.set_and_release(group, lease, deadline).await,
        None => shared.set_together(group, deadline).await,
    };
    let outcome = match stored {
        Ok(_) => "stored",
        Err(lapse) => lapse.as_str(),
    };
    metrics::counter!(TIER_WRITES, "tier" => "shared", "outcome" => outcome).increment(1);
}
