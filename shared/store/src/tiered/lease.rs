//! One maker for what many processes want at once.
//!
//! ```text
//! miss ─ SET NX ─ ours ──────────────▶ make, store, give back
//!           └ another's ─ look again, less and less often ─ there it is ─▶ serve
//!                              │      └ given back ─▶ SET NX again
//!                              └ waited long enough ─▶ the same with the second lease, then make
//! ```
//!
//! A holder that takes too long, or is gone, is followed by one other, not by all who wait.
//!
//! Only slates for many, and those of users who are asked for all the time, are worth the round
//! trip: others are wanted by one process at a time.

use std::sync::Arc;
use std::time::Duration;

use guard::{Clock, Deadline, Tasks};
use ops::metric::LEASES;

use super::load::{Findings, Look, Mode};
use super::{Inner, TierOutcome, load_budget};
use crate::ask::{Ask, SlateKey};
use crate::envelope::Envelope;
use crate::redis::{Shared, SharedKey};
use crate::tuning::Tuning;

/// A maker that is not done by then is taken for gone, unless its load may take longer.
const LEASE_LIFE: Duration = Duration::from_secs(1);
/// How long a process waits for the first holder's slate, whatever a request may take.
const WAIT_MAX: Duration = Duration::from_millis(300);
/// The part of a request's budget that it waits for each of two holders: a request that met one who
/// is gone still has time for a slate that is made then.
const WAIT_SHARE: f64 = 0.4;
/// The part of what a load has left that it waits for the second holder's, before it makes its own.
const LOAD_SHARE: f64 = 0.5;
/// First pause between looks; doubled by each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(3);
/// Longest pause between looks.
const PAUSE_MAX: Duration = Duration::from_millis(25);

impl Inner {
    /// Takes the lease on a slate that is to be made, or gets the slate that its holder makes.
    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one load, handed from step to step"
    )]
    pub(super) async fn share_the_work(
        &self,
        shared: &Shared,
        ask: &Ask,
        key: SlateKey,
        mode: Mode,
        mut findings: Findings,
        tuning: &Tuning,
        deadline: &Deadline,
    ) -> Look {
        let budget = Duration::from_millis(tuning.store.budgets.redis_ms.into());
        let wanted = ask.user().is_none() || findings.stale.is_none() && self.hot.is_hot(key);
        if !wanted || !findings.causes.is_empty() {
            return Look::GoOn(findings);
        }
        // Who only refreshes goes on with what there is; the next look finds the new one.
        let refreshes = mode != Mode::Read && findings.stale.is_some();
        for second in [false, true] {
            let lease = SharedKey::lease(key, ask.user(), second);
            let waiting = wait(second, tuning, deadline);
            let mut pause = PAUSE_FIRST;
            while !waiting.expired() {
                let life = LEASE_LIFE.max(deadline.remaining());
                match shared.lease(&lease, life, &deadline.child(budget)).await {
                    Ok(true) => {
                        count("ours");
                        findings.lease = Some(self.hold_lease(shared, lease, tuning));
                        return Look::GoOn(findings);
                    }
                    Ok(false) => {}
                    Err(_) => {
                        count("lapsed");
                        return Look::GoOn(findings);
                    }
                }
                if let (true, Some(stale)) = (refreshes, &findings.stale) {
                    count("served");
                    return Look::Found(Arc::clone(stale), TierOutcome::LocalStale);
                }
                loop {
                    // Ends early, by its cancellation, when the load is dropped.
                    let _ = waiting.limit(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                    let (look, held_by_another) = self
                        .look_again(shared, ask, key, &lease, findings, &deadline.child(budget))
                        .await;
                    findings = match look {
                        Look::Found(held, outcome) => {
                            count("served");
                            return Look::Found(held, outcome);
                        }
                        Look::GoOn(findings) => findings,
                    };
                    if !findings.causes.is_empty() {
                        count("lapsed");
                        return Look::GoOn(findings);
                    }
                    if !held_by_another || waiting.expired() {
                        break;
                    }
                }
            }
        }
        count("waited_out");
        Look::GoOn(findings)
    }

    /// Reads slate, version and lease in one round trip; says whether the lease is still held.
    async fn look_again(
        &self,
        shared: &Shared,
        ask: &Ask,
        key: SlateKey,
        lease: &SharedKey,
        findings: Findings,
        deadline: &Deadline,
    ) -> (Look, bool) {
        let mut keys = vec![lease.clone(), SharedKey::slate(key, ask.user())];
        keys.extend(ask.user().map(SharedKey::user_version));
        let mut found = match shared.mget(&keys, deadline).await {
            Ok(found) => found.into_iter(),
            Err(lapse) => return (Look::GoOn(findings.lapsed(lapse)), false),
        };
        let held_by_another = found.next().flatten().is_some();
        let slate: Option<Envelope> = found.next().flatten();
        let look = match ask.user() {
            Some(_) => self.take_personal(key, slate, found.next(), findings).await,
            None => self.take_shared(key, slate, Mode::Read, findings).await,
        };
        (look, held_by_another)
    }

    /// Holds a lease that was just taken.
    fn hold_lease(&self, shared: &Shared, key: SharedKey, tuning: &Tuning) -> HeldLease {
        HeldLease {
            key: Some(key),
            shared: shared.clone(),
            tasks: self.tasks.clone(),
            clock: Arc::clone(&self.clock),
            budget: load_budget(tuning),
        }
    }
}

/// The right to make a slate. Dropped without the slate, also by a panic or because it took too long,
/// it is given back at once: the others wait for nobody.
pub(super) struct HeldLease {
    key: Option<SharedKey>,
    shared: Shared,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
    budget: Duration,
}

impl HeldLease {
    /// Hands it to whoever stores the slate, and gives it back together with that.
    pub fn hand_over(mut self) -> Option<SharedKey> {
        self.key.take()
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else {
            return;
        };
        let shared = self.shared.clone();
        let deadline = Deadline::after(Arc::clone(&self.clock), self.budget);
        // A lapse changes nothing: the lease ends by itself.
        self.tasks
            .spawn(async move { shared.release(&key, &deadline).await });
    }
}

/// How long a process waits for the first or the second holder's slate.
fn wait(second: bool, tuning: &Tuning, deadline: &Deadline) -> Deadline {
    let request = Duration::from_millis(tuning.engine.budgets.request_ms.into());
    let wait = request.mul_f64(WAIT_SHARE);
    if second {
        deadline.share(LOAD_SHARE).child(wait)
    } else {
        deadline.child(WAIT_MAX.min(wait))
    }
}

fn count(outcome: &'static str) {
    metrics::counter!(LEASES, "outcome" => outcome).increment(1);
}
