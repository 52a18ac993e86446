//! Fills the shared tier before it is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use engine::{Slate, UserId, UserState};
use guard::Deadline;

use super::policy::life_here;
use super::{Inner, Tiered, life_of, wire};
use crate::ask::{Ask, SlateKey};
use crate::envelope::Envelope;
use crate::life::{Life, Rank};
use crate::local::{Held, Value};
use crate::origin::Made;
use crate::redis::{SharedKey, Stored};
use crate::tuning::Tuning;
use crate::{Error, ErrorKind};

/// Slates made and stored together.
pub const FILL_BATCH: usize = 64;

/// What became of the slates that were to be filled in; the counts add up to the questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FillReport {
    /// Stored, or superseded by a newer one that was already there.
    pub stored: usize,
    /// Not made or not kept, because something had to be given up: no index, no time.
    pub degraded: usize,
    /// Of users of whom nothing is known: they are served everybody's slate.
    pub absent: usize,
    /// Made but not stored: the tier failed.
    pub failed: usize,
}

impl Tiered {
    /// Makes slates and stores each for `ttl`, jittered: in the shared tier, or without one in this
    /// process. Slates that had to give something up are not stored.
    ///
    /// # Errors
    /// The table's, when users could not be read; `Timeout` when the deadline passed. What was
    /// stored until then stays and may be stored again.
    pub async fn fill(
        &self,
        asks: Vec<Ask>,
        ttl: Duration,
        deadline: &Deadline,
    ) -> Result<FillReport, Error> {
        let tuning = self.inner.tuning.snapshot();
        let keepable = |ask: Ask| self.canonical(ask.keepable(), &tuning);
        let asks: Vec<Ask> = asks.into_iter().map(keepable).collect();
        let mut report = FillReport::default();
        for batch in asks.chunks(FILL_BATCH) {
            if deadline.expired() {
                return Err(Error::new(ErrorKind::Timeout, "fill the shared tier"));
            }
            let batch = self.inner.fill_batch(batch, ttl, &tuning, deadline).await?;
            report.stored += batch.stored;
            report.degraded += batch.degraded;
            report.absent += batch.absent;
            report.failed += batch.failed;
        }
        Ok(report)
    }
}

impl Inner {
    async fn fill_batch(
        &self,
        asks: &[Ask],
        ttl: Duration,
        tuning: &Tuning,
        deadline: &Deadline,
    ) -> Result<FillReport, Error> {
        let mut users: Vec<UserId> = asks.iter().filter_map(Ask::user).cloned().collect();
        users.sort_unstable();
        users.dedup();
        let states = self.origin.states(&users, deadline).await?;
        let states: HashMap<UserId, Option<UserState>> = users.into_iter().zip(states).collect();
        let request = Duration::from_millis(tuning.engine.budgets.request_ms.into());

        let mut report = FillReport::default();
        let mut groups = Vec::with_capacity(asks.len());
        for ask in asks {
            let state = ask
                .user()
                .and_then(|user| states.get(user))
                .cloned()
                .flatten();
            let made = self
                .origin
                .make_known(ask, state, tuning, &deadline.child(request))
                .await;
            match made {
                Made::Slate(made) if made.is_whole() && self.may_leave(ask) => {
                    groups.push(self.filled(ask, made.slate, ttl, tuning));
                }
                Made::Slate(_) => report.degraded += 1,
                Made::Absent { .. } => report.absent += 1,
            }
            // A batch is many milliseconds of computing on a thread that others share.
            tokio::task::yield_now().await;
        }
        let made = groups.len();
        match &self.shared {
            Some(shared) => {
                let stored = groups.into_iter().map(|filled| filled.stored).collect();
                // Versions travel with their slates; a lost one is as bad as a lost slate.
                let lost = shared.set_many(stored, deadline).await.failed;
                report.failed += lost.min(made);
            }
            None => {
                for Filled { key, held, .. } in groups {
                    let now_ms = self.clock.now().wall_ms;
                    self.local.put(key, held, now_ms);
                }
            }
        }
        report.stored += made - report.failed;
        Ok(report)
    }

    /// A slate with its user's version, which lies in the same hash slot.
    fn filled(&self, ask: &Ask, slate: Slate, ttl: Duration, tuning: &Tuning) -> Filled {
        let now_ms = self.clock.now().wall_ms;
        let usual = life_of(ask, true, tuning);
        let life = Life {
            soft: usual.soft.min(ttl),
            hard: ttl,
        };
        let rank = Rank::new(slate.user_version, &slate.generation);
        let (key, payload) = (ask.key(), wire::encode(&slate));
        let envelope = Envelope {
            stored_at_ms: now_ms,
            life,
            rank,
            payload,
        };
        let mut stored = vec![Stored {
            key: SharedKey::slate(key, ask.user()),
            envelope,
        }];
        let version = |user| Stored::user_version(user, rank.user_version, now_ms);
        stored.extend(ask.user().map(version));
        let (value, life) = (Value::Slate(Arc::new(slate)), life_here(ask, key, life));
        let held = Held::new(value, rank, life, now_ms, now_ms);
        Filled {
            key,
            held: Arc::new(held),
            stored,
        }
    }
}

/// A slate in the forms of both tiers.
struct Filled {
    key: SlateKey,
    held: Arc<Held>,
    stored: Vec<Stored>,
}
