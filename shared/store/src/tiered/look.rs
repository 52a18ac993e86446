//! Looking into the shared tier: one round trip, whatever is asked for.

use std::sync::Arc;

use engine::UserId;
use guard::Deadline;
use ops::metric::TIER_READS;
use smol_str::SmolStr;

use super::load::{Findings, Look, Mode};
use super::{Inner, TierOutcome, wire};
use crate::ask::{Ask, SlateKey};
use crate::envelope::Envelope;
use crate::life::{Freshness, Rank};
use crate::local::{Held, Value};
use crate::redis::{Lapse, Shared, SharedKey};

impl Inner {
    pub(super) async fn look(
        &self,
        shared: &Shared,
        ask: &Ask,
        key: SlateKey,
        mode: Mode,
        findings: Findings,
        deadline: &Deadline,
    ) -> Look {
        match ask.user() {
            Some(user) => {
                self.look_personal(shared, user, key, findings, deadline)
                    .await
            }
            None => {
                self.look_shared(shared, key, mode, findings, deadline)
                    .await
            }
        }
    }

    /// The user's version when this process has a slate, slate and version when it has none.
    async fn look_personal(
        &self,
        shared: &Shared,
        user: &UserId,
        key: SlateKey,
        mut findings: Findings,
        deadline: &Deadline,
    ) -> Look {
        let version_key = SharedKey::user_version(user);
        if let Some(stale) = findings.stale.clone() {
            let keys = [version_key];
            let version = match self.read_own(shared, user, &keys, deadline).await {
                Ok(found) => version_in(found.into_iter().next()),
                Err(lapse) => return Look::GoOn(findings.lapsed(lapse)),
            };
            findings.user_version = version;
            if self.holds(version, &stale) {
                stale.confirm(self.clock.now().wall_ms);
                return Look::Found(stale, TierOutcome::LocalConfirmed);
            }
            return Look::GoOn(findings);
        }
        let keys = [SharedKey::slate(key, Some(user)), version_key];
        match self.read_own(shared, user, &keys, deadline).await {
            Ok(found) => {
                let mut found = found.into_iter();
                let slate = found.next().flatten();
                self.take_personal(key, slate, found.next(), findings).await
            }
            Err(lapse) => Look::GoOn(findings.lapsed(lapse)),
        }
    }

    /// Whether what this process has is still right by the user's version. Nobody writes one for who
    /// is absent; the consumers do when they become known.
    fn holds(&self, version: Option<u64>, stale: &Held) -> bool {
        match stale.value {
            Value::Absent(_) => version.is_none_or(|version| version <= stale.rank.user_version),
            Value::Slate(_) | Value::Below(..) => {
                current(version, stale.rank) && !self.outdated(stale)
            }
        }
    }

    /// Judges a user's slate by the user's version.
    pub(super) async fn take_personal(
        &self,
        key: SlateKey,
        slate: Option<Envelope>,
        version: Option<Option<Envelope>>,
        mut findings: Findings,
    ) -> Look {
        findings.user_version = version_in(version);
        // What was not compared yet is stale, however young.
        let Some(held) = slate.and_then(|envelope| hold(envelope, Some(i64::MIN))) else {
            count_read("miss");
            return Look::GoOn(findings);
        };
        if current(findings.user_version, held.rank) && !self.outdated(&held) {
            let now_ms = self.clock.now().wall_ms;
            held.confirm(now_ms);
            let held = self.local.put(key, Arc::new(held), now_ms);
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
        match shared.mget(&[SharedKey::slate(key, None)], deadline).await {
            Ok(found) => {
                let slate = found.into_iter().next().flatten();
                self.take_shared(key, slate, mode, findings).await
            }
            Err(lapse) => Look::GoOn(findings.lapsed(lapse)),
        }
    }

    /// Judges a slate for many by its age, and for a refresh by whether it is another one.
    pub(super) async fn take_shared(
        &self,
        key: SlateKey,
        slate: Option<Envelope>,
        mode: Mode,
        findings: Findings,
    ) -> Look {
        let now_ms = self.clock.now().wall_ms;
        let spread = |envelope: Envelope| Envelope {
            life: envelope.life.spread(key.0),
            ..envelope
        };
        let Some(held) = slate.and_then(|envelope| hold(spread(envelope), None)) else {
            count_read("miss");
            return Look::GoOn(findings);
        };
        let fresh = held.freshness(now_ms) == Freshness::Fresh && !self.outdated(&held);
        let newer =
            |stale: &Arc<Held>| (held.rank, held.stored_at_ms) > (stale.rank, stale.stored_at_ms);
        let helps = match mode {
            Mode::Read => true,
            Mode::Refresh | Mode::Early { .. } => {
                fresh && findings.stale.as_ref().is_none_or(newer)
            }
        };
        if !helps {
            return Look::GoOn(findings);
        }
        let outcome = if fresh {
            TierOutcome::SharedHit
        } else {
            TierOutcome::SharedStale
        };
        Look::Found(self.local.put(key, Arc::new(held), now_ms), outcome)
    }
}

impl Findings {
    /// Remembers why the shared tier gave nothing.
    pub(super) fn lapsed(mut self, lapse: Lapse) -> Self {
        count_read(lapse.as_str());
        self.causes.push(SmolStr::new_static(lapse.as_str()));
        self
    }
}

fn version_in(found: Option<Option<Envelope>>) -> Option<u64> {
    found.flatten().map(|version| version.rank.user_version)
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

fn count_read(outcome: &'static str) {
    metrics::counter!(TIER_READS, "tier" => "shared", "outcome" => outcome).increment(1);
}
