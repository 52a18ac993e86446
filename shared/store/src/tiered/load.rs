//! The way of one load: this process again, the shared tier, the origin, the ladder.

use std::sync::Arc;
use std::time::Duration;

use engine::StageReport;
use guard::Deadline;
use ops::metric::{TIER_READS, TIER_WRITES};
use smol_str::SmolStr;

use super::{Answer, Inner, PAUSED, TierOutcome, Verdict, life_of, load_budget, wire};
use crate::ask::{Ask, SlateKey, Who};
use crate::envelope::Envelope;
use crate::life::{Freshness, Life, Rank};
use crate::local::{Held, Value};
use crate::origin::{Made, MadeSlate};
use crate::redis::{Lapse, Shared, SharedKey, Stored};
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
}

/// What is known before the origin is asked.
#[derive(Default)]
struct Findings {
    /// The best value that is not good enough, for the stale step.
    stale: Option<Arc<Held>>,
    /// The user's version as the shared tier knows it.
    user_version: Option<u64>,
    causes: Vec<SmolStr>,
}

/// How looking into a tier ended.
enum Look {
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
        let held = self.local.get(key).await;
        let stale = match self.judge(&ask, held) {
            Verdict::Serve(held) => return found(held, TierOutcome::LocalHit, Vec::new()),
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
        if let Some(shared) = self.shared.as_ref().filter(|_| ask.shareable()) {
            let deadline =
                deadline.child(Duration::from_millis(tuning.store.budgets.redis_ms.into()));
            let look = match ask.user() {
                Some(_) => {
                    self.look_personal(shared, &ask, key, findings, &deadline)
                        .await
                }
                None => {
                    self.look_shared(shared, key, mode, findings, &deadline)
                        .await
                }
            };
            match look {
                Look::Found(held, outcome) => return found(held, outcome, Vec::new()),
                Look::GoOn(so_far) => findings = so_far,
            }
        }
        self.from_origin(&ask, key, findings, &tuning, &deadline)
            .await
    }

    /// One round trip: the user's version when this process has a slate, both when it has none.
    async fn look_personal(
        &self,
        shared: &Shared,
        ask: &Ask,
        key: SlateKey,
        mut findings: Findings,
        deadline: &Deadline,
    ) -> Look {
        let Some(user) = ask.user() else {
            return Look::GoOn(findings);
        };
        let version_key = SharedKey::user_version(user);
        let now_ms = self.clock.now().wall_ms;
        if let Some(stale) = findings.stale.clone() {
            let version = match shared.mget(&[version_key], deadline).await {
                Ok(found) => found
                    .into_iter()
                    .flatten()
                    .next()
                    .map(|found| found.rank.user_version),
                Err(lapse) => return Look::GoOn(findings.lapsed(lapse)),
            };
            findings.user_version = version;
            if current(version, stale.rank) && !self.outdated(&stale) {
                stale.confirm(now_ms);
                return Look::Found(stale, TierOutcome::LocalConfirmed);
            }
            return Look::GoOn(findings);
        }
        let keys = [SharedKey::slate(key, Some(user)), version_key];
        let (slate, version) = match shared.mget(&keys, deadline).await {
            Ok(found) => {
                let mut found = found.into_iter();
                (found.next().flatten(), found.next().flatten())
            }
            Err(lapse) => return Look::GoOn(findings.lapsed(lapse)),
        };
        findings.user_version = version.map(|version| version.rank.user_version);
        // What was not compared yet is stale, however young.
        let Some(held) = slate.and_then(|envelope| hold(envelope, Some(i64::MIN))) else {
            count_read("miss");
            return Look::GoOn(findings);
        };
        if current(findings.user_version, held.rank) && !self.outdated(&held) {
            held.confirm(now_ms);
            let held = self.local.put(key, Arc::new(held), now_ms).await;
            return Look::Found(held, TierOutcome::SharedHit);
        }
        findings.stale = Some(Arc::new(held));
        Look::GoOn(findings)
    }

    async fn look_shared(
        &self,
        shared: &Shared,
        key: SlateKey,
        mode: Mode,
        findings: Findings,
        deadline: &Deadline,
    ) -> Look {
        let now_ms = self.clock.now().wall_ms;
        let envelope = match shared.mget(&[SharedKey::slate(key, None)], deadline).await {
            Ok(found) => found.into_iter().flatten().next(),
            Err(lapse) => return Look::GoOn(findings.lapsed(lapse)),
        };
        let Some(held) = envelope.and_then(|envelope| hold(envelope, None)) else {
            count_read("miss");
            return Look::GoOn(findings);
        };
        let fresh = held.freshness(now_ms) == Freshness::Fresh && !self.outdated(&held);
        let outcome = if fresh {
            TierOutcome::SharedHit
        } else {
            TierOutcome::SharedStale
        };
        if !fresh && mode == Mode::Refresh {
            return Look::GoOn(findings);
        }
        Look::Found(self.local.put(key, Arc::new(held), now_ms).await, outcome)
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
            stale, mut causes, ..
        } = findings;
        match self.origin.make(ask, version_min, tuning, deadline).await {
            Ok(Made::Slate(made)) => {
                let stages = Arc::from(made.stages.as_slice());
                let keep_out = !causes.is_empty();
                let held = self
                    .keep(ask, key, made, stale.is_some(), keep_out, tuning)
                    .await;
                Loaded::Held {
                    held,
                    outcome: TierOutcome::Origin,
                    causes,
                    stages,
                }
            }
            Ok(Made::Absent { version }) => {
                let absent = Duration::from_millis(tuning.store.lives.absent_ms.into());
                let life = Life {
                    soft: absent,
                    hard: absent,
                };
                let now_ms = self.clock.now().wall_ms;
                let rank = Rank {
                    user_version: version,
                    ..Rank::default()
                };
                let held = Held::new(Value::Absent(Who::Anyone), rank, life, now_ms, now_ms);
                let held = Arc::new(held);
                self.local.put(key, Arc::clone(&held), now_ms).await;
                Loaded::Held {
                    held,
                    outcome: TierOutcome::Origin,
                    causes,
                    stages: Arc::default(),
                }
            }
            Err(cause) => {
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
        has_stale: bool,
        keep_out: bool,
        tuning: &Tuning,
    ) -> Arc<Held> {
        let now_ms = self.clock.now().wall_ms;
        let whole = made.is_whole();
        let life = life_of(ask, whole, tuning);
        let rank = Rank::new(made.slate.user_version, &made.slate.generation);
        let slate = Arc::new(made.slate);
        let held = Held::new(Value::Slate(Arc::clone(&slate)), rank, life, now_ms, now_ms);
        let held = Arc::new(held);
        // For many, a whole slate that is stale is worth more than a fresh one with holes. A user's
        // fresh one knows what the user did since.
        if whole || !has_stale || ask.user().is_some() {
            self.local.put(key, Arc::clone(&held), now_ms).await;
        }
        let shared = self
            .shared
            .clone()
            .filter(|_| whole && !keep_out && ask.shareable());
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
            let deadline = Deadline::after(Arc::clone(&self.clock), load_budget(tuning));
            self.tasks
                .spawn(async move { write(&shared, &group, &deadline).await });
        }
        held
    }
}

impl Findings {
    fn lapsed(mut self, lapse: Lapse) -> Self {
        count_read(lapse.as_str());
        self.causes.push(SmolStr::new_static(lapse.as_str()));
        self
    }
}

fn found(held: Arc<Held>, outcome: TierOutcome, causes: Vec<SmolStr>) -> Loaded {
    Loaded::Held {
        held,
        outcome,
        causes,
        stages: Arc::default(),
    }
}

/// Whether a slate of this rank is the newest there can be. An unknown version proves nothing.
fn current(user_version: Option<u64>, rank: Rank) -> bool {
    user_version.is_some_and(|version| version <= rank.user_version)
}

/// Takes a slate out of its envelope; its soft life counts from when it was stored unless
/// `confirmed_ms` says otherwise.
fn hold(envelope: Envelope, confirmed_ms: Option<i64>) -> Option<Held> {
    let slate = wire::decode(&envelope.payload);
    if slate.is_none() {
        count_read("corrupt");
    }
    let value = Value::Slate(Arc::new(slate?));
    let confirmed_ms = confirmed_ms.unwrap_or(envelope.stored_at_ms);
    Some(Held::new(
        value,
        envelope.rank,
        envelope.life,
        envelope.stored_at_ms,
        confirmed_ms,
    ))
}

async fn write(shared: &Shared, group: &[Stored], deadline: &Deadline) {
    let outcome = match shared.set_together(group, deadline).await {
        Ok(_) => "stored",
        Err(lapse) => lapse.as_str(),
    };
    metrics::counter!(TIER_WRITES, "tier" => "shared", "outcome" => outcome).increment(1);
}

fn count_read(outcome: &'static str) {
    metrics::counter!(TIER_READS, "tier" => "shared", "outcome" => outcome).increment(1);
}
