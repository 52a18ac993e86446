//! The shared tier: Redis or Valkey, one node or a cluster.
//!
//! ```text
//! Shared ── keys and envelopes; a failure is a miss plus a counter
//!   └ Supervisor ── breakers, one deadline per call, rebuilds connections
//!       └ Dialer ── TCP or TLS, single node or cluster
//! ```
//!
//! Nothing that comes back is believed before its envelope is checked, and a value of another key
//! costs the connection it came over: one lost reply on a multiplexed connection hands every later
//! caller somebody else's value.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::UserId;
use futures_util::stream::{self, StreamExt};
use guard::{BreakerState, Clock, Deadline, Tasks};
use ops::metric::ENVELOPES_REFUSED;
use redis::Value;

use crate::Error;
use crate::envelope::{Envelope, Refusal};
use crate::life::{Life, Rank};
use crate::tuning::LiveTuning;

pub use count::UserCount;
pub use key::SharedKey;
pub use lapse::Lapse;
pub use settings::RedisSettings;
pub use stored::{Stored, USER_VERSION_LIFE};

use link::Dialer;
use supervisor::{Link, Supervisor};

mod count;
mod key;
mod lapse;
mod link;
mod pause;
#[cfg(test)]
pub(crate) mod server;
mod settings;
mod stored;
mod supervisor;
#[cfg(test)]
mod tests;

/// Keys of one read.
pub const READ_KEYS_MAX: usize = 64;
/// Writes in flight at once while many are stored.
const WRITES_IN_FLIGHT_MAX: usize = 32;

/// Stores values under keys of one hash slot, each unless a newer one is there; a key with an empty
/// value is removed instead. Ranks are compared byte by byte, because Lua compares strings by the
/// server's locale. Answers how many it stored.
const STORE: &str = r"
local stored = 0
for i, key in ipairs(KEYS) do
  local new = ARGV[2 * i - 1]
  if new == '' then
    redis.call('DEL', key)
    new = nil
  end
  local held = new and redis.call('GETRANGE', key, 0, 79) or ''
  local newer = new == nil
  if #held == 80 and string.sub(held, 1, 2) == string.sub(new, 1, 2) then
    for at = 41, 80 do
      local a, b = string.byte(held, at), string.byte(new, at)
      if a ~= b then newer = a > b break end
    end
  end
  if not newer then
    redis.call('SET', key, new, 'PX', ARGV[2 * i])
    stored = stored + 1
  end
end
return stored";

/// How a batch of writes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreCounts {
    /// Stored.
    pub stored: usize,
    /// Not stored because a newer value was there.
    pub superseded: usize,
    /// Not stored because the tier failed or the value was too large.
    pub failed: usize,
}

/// The shared tier. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Shared {
    supervisor: Arc<Supervisor>,
    clock: Arc<dyn Clock>,
}

impl Shared {
    /// Prepares the tier and tries to reach it until the deadline. A server that cannot be reached
    /// yet is no error: calls go on trying.
    ///
    /// # Errors
    /// `Invalid` when the settings can never work.
    pub async fn connect(
        settings: &RedisSettings,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let dialer = Dialer::new(settings)?;
        let supervisor =
            Supervisor::new(dialer, settings.connect_budget, Arc::clone(&clock), tasks);
        let shared = Self {
            supervisor: Arc::new(supervisor),
            clock,
        };
        if let Err(lapse) = shared.ping(deadline).await {
            tracing::warn!(redis.cause = lapse.as_str(), "redis cannot be reached yet");
        }
        Ok(shared)
    }

    /// From now on it is left alone as the document in force says, and not as by default.
    pub fn follow(&self, tuning: Arc<LiveTuning>) {
        self.supervisor.follow(tuning);
    }

    /// Asks for a sign of life, connecting first if need be.
    ///
    /// # Errors
    /// The [`Lapse`] says why there is none.
    pub async fn ping(&self, deadline: &Deadline) -> Result<(), Lapse> {
        self.supervisor.first_link(deadline).await?;
        self.supervisor
            .call("", &redis::cmd("PING"), deadline)
            .await
            .map(|_| ())
    }

    /// Whether it is being asked at all.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.supervisor.breaker_state()
    }

    /// Reads up to [`READ_KEYS_MAX`] values of one hash slot in one round trip, in the order of
    /// `keys`. A value that is not believed is counted and is `None`.
    ///
    /// # Errors
    /// The [`Lapse`] says why nothing came back.
    pub async fn mget(
        &self,
        keys: &[SharedKey],
        deadline: &Deadline,
    ) -> Result<Vec<Option<Envelope>>, Lapse> {
        debug_assert!(
            keys.len() <= READ_KEYS_MAX,
            "a read is bounded by its caller"
        );
        let Some(first) = keys.first() else {
            return Ok(Vec::new());
        };
        let mut command = redis::cmd("MGET");
        keys.iter().for_each(|key| {
            command.arg(key.as_str());
        });
        let (reply, link) = self
            .supervisor
            .call(first.as_str(), &command, deadline)
            .await?;
        self.opened(keys, reply, &link)
    }

    /// Believes the values that a read brought, one by one, or gives up the connection.
    fn opened(
        &self,
        keys: &[SharedKey],
        reply: Value,
        link: &Arc<Link>,
    ) -> Result<Vec<Option<Envelope>>, Lapse> {
        let values = match reply {
            Value::Array(values) if values.len() == keys.len() => values,
            _ => {
                self.supervisor.distrust(link, "reply of another command");
                return Err(Lapse::Corrupt);
            }
        };
        let now_ms = self.clock.now().wall_ms;
        let opened = keys
            .iter()
            .zip(values)
            .map(|(key, value)| open(key, value, now_ms));
        let opened: Vec<_> = opened.collect();
        if opened
            .iter()
            .any(|one| matches!(one, Err(Refusal::ForeignKey)))
        {
            self.supervisor.distrust(link, "value of another key");
            return Err(Lapse::Corrupt);
        }
        Ok(opened
            .into_iter()
            .map(|one| one.unwrap_or_default())
            .collect())
    }

    /// Stores values of one hash slot in one round trip, each unless a newer one is there.
    ///
    /// # Errors
    /// The [`Lapse`] says why none may have been stored.
    pub async fn set_together(
        &self,
        values: &[Stored],
        deadline: &Deadline,
    ) -> Result<StoreCounts, Lapse> {
        self.store(values, None, deadline).await
    }

    /// Stores a slate that was made under a lease, and gives the lease back, in one round trip.
    ///
    /// # Errors
    /// The [`Lapse`] says why none may have been stored. The lease ends by itself.
    pub async fn set_and_release(
        &self,
        values: &[Stored],
        lease: &SharedKey,
        deadline: &Deadline,
    ) -> Result<StoreCounts, Lapse> {
        self.store(values, Some(lease), deadline).await
    }

    /// Takes the right to make a slate that no other process has taken, for `life`; says whether
    /// it is ours. A process that goes away loses it when its life is over.
    ///
    /// # Errors
    /// The [`Lapse`] says why nobody knows.
    pub async fn lease(
        &self,
        lease: &SharedKey,
        life: Duration,
        deadline: &Deadline,
    ) -> Result<bool, Lapse> {
        let now_ms = self.clock.now().wall_ms;
        let envelope = Envelope {
            stored_at_ms: now_ms,
            life: Life {
                soft: life,
                hard: life,
            },
            rank: Rank::default(),
            payload: Bytes::new(),
        };
        let bytes = envelope.seal(lease.payload(), lease.hash());
        let bytes = bytes.map_err(|_| Lapse::Corrupt)?;
        let mut command = redis::cmd("SET");
        command.arg(lease.as_str()).arg(bytes.as_ref()).arg("NX");
        let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1);
        command.arg("PX").arg(life_ms);
        let called = self.supervisor.call(lease.as_str(), &command, deadline);
        match called.await? {
            (Value::Okay, _) => Ok(true),
            (Value::Nil, _) => Ok(false),
            (_, link) => {
                self.supervisor.distrust(&link, "reply of another command");
                Err(Lapse::Corrupt)
            }
        }
    }

    /// Gives a lease back whose slate was not stored, so that another process may try.
    ///
    /// # Errors
    /// The [`Lapse`] says why it may still be there; it ends by itself.
    pub async fn release(&self, lease: &SharedKey, deadline: &Deadline) -> Result<(), Lapse> {
        let mut command = redis::cmd("DEL");
        command.arg(lease.as_str());
        let called = self.supervisor.call(lease.as_str(), &command, deadline);
        called.await.map(|_| ())
    }

    async fn store(
        &self,
        values: &[Stored],
        lease: Option<&SharedKey>,
        deadline: &Deadline,
    ) -> Result<StoreCounts, Lapse> {
        let mut command = redis::cmd("EVAL");
        let now_ms = self.clock.now().wall_ms;
        let sealed: Vec<_> = values
            .iter()
            .filter_map(|value| value.sealed(now_ms))
            .collect();
        let mut counts = StoreCounts {
            failed: values.len() - sealed.len(),
            ..Default::default()
        };
        let keys = sealed.iter().map(|(key, _, _)| *key);
        let mut keys = keys.chain(lease.map(SharedKey::as_str));
        let Some(first) = keys.next() else {
            return Ok(counts);
        };
        command
            .arg(STORE)
            .arg(sealed.len() + usize::from(lease.is_some()));
        sealed.iter().for_each(|(key, _, _)| {
            command.arg(*key);
        });
        lease.iter().for_each(|lease| {
            command.arg(lease.as_str());
        });
        sealed.iter().for_each(|(_, bytes, ttl_ms)| {
            command.arg(bytes.as_ref()).arg(*ttl_ms);
        });
        if lease.is_some() {
            command.arg("").arg(0);
        }
        let called = self.supervisor.call(first, &command, deadline);
        match called.await? {
            (Value::Int(stored), _) => {
                counts.stored = usize::try_from(stored).unwrap_or(0).min(sealed.len());
                counts.superseded = sealed.len() - counts.stored;
                Ok(counts)
            }
            (_, link) => {
                self.supervisor.distrust(&link, "reply of another command");
                Err(Lapse::Corrupt)
            }
        }
    }

    /// Stores any number of groups, each of one hash slot, each value unless a newer one is there.
    pub async fn set_many(&self, groups: Vec<Vec<Stored>>, deadline: &Deadline) -> StoreCounts {
        let writes = groups.into_iter().map(|group| async move {
            let counts = self.set_together(&group, deadline).await;
            counts.unwrap_or(StoreCounts {
                failed: group.len(),
                ..Default::default()
            })
        });
        let mut writes = stream::iter(writes).buffer_unordered(WRITES_IN_FLIGHT_MAX);
        let mut total = StoreCounts::default();
        while let Some(counts) = writes.next().await {
            total.stored += counts.stored;
            total.superseded += counts.superseded;
            total.failed += counts.failed;
        }
        total
    }

    /// Says that a user is at this version. Only ever raises it.
    ///
    /// # Errors
    /// The [`Lapse`] says why it may not have been said.
    pub async fn raise_user_version(
        &self,
        user: &UserId,
        version: u64,
        deadline: &Deadline,
    ) -> Result<(), Lapse> {
        let value = Stored::user_version(user, version, self.clock.now().wall_ms);
        self.set_together(&[value], deadline).await.map(|_| ())
    }
}

/// Believes a value or counts why not.
fn open(key: &SharedKey, value: Value, now_ms: i64) -> Result<Option<Envelope>, Refusal> {
    let opened = match value {
        Value::Nil => return Ok(None),
        Value::BulkString(bytes) => {
            Envelope::open(&Bytes::from(bytes), key.payload(), key.hash(), now_ms)
        }
        _ => Err(Refusal::Corrupt),
    };
    opened.map(Some).inspect_err(|refusal| {
        metrics::counter!(ENVELOPES_REFUSED, "cause" => refusal.as_str()).increment(1);
    })
}
