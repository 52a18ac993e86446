//! What was admitted of a user, counted over all processes on the way of a read.

use engine::{UserId, UserState};
use guard::{Deadline, KeyedLimiter};
use redis::Value;
use smol_str::SmolStr;

use super::key::SharedKey;
use super::{Lapse, Shared};
use crate::envelope::Envelope;

/// A counter counts one window of time, and is kept for one more. Wall-clock milliseconds.
const WINDOW_MS: i64 = 600_000;

/// Reads the values and adds to the counter, the last key; all lie in the user's hash slot.
const READ_AND_COUNT: &str = r"
local counter = KEYS[#KEYS]
local values = redis.call('MGET', unpack(KEYS, 1, #KEYS - 1))
local total = redis.call('INCRBY', counter, ARGV[1])
redis.call('PEXPIRE', counter, ARGV[2])
return {values, total}";

/// Admissions of one user on their way to the counter that all processes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCount {
    key: SmolStr,
    add: u32,
}

impl UserCount {
    /// `add` admissions in a window of time.
    #[must_use]
    pub fn new(user: &UserId, window: u32, add: u32) -> Self {
        Self {
            key: SharedKey::user_count(user, window),
            add,
        }
    }

    /// The window of time that a moment lies in.
    #[must_use]
    pub fn window(now_ms: i64) -> u32 {
        u32::try_from(now_ms.div_euclid(WINDOW_MS)).unwrap_or(0)
    }
}

impl Shared {
    /// As [`Shared::mget`] of a user's keys; what the user was admitted here since the last time is
    /// counted on the way, and what other processes admitted is taken out of `limit`.
    ///
    /// # Errors
    /// The [`Lapse`] says why nothing came back; the admissions are counted the next time then.
    pub async fn mget_own(
        &self,
        limit: &KeyedLimiter,
        user: &UserId,
        keys: &[SharedKey],
        now_ms: i64,
        deadline: &Deadline,
    ) -> Result<Vec<Option<Envelope>>, Lapse> {
        let (hash, window) = (UserState::user_hash(user), UserCount::window(now_ms));
        let add = limit.say(hash, window);
        if add == 0 {
            return self.mget(keys, deadline).await;
        }
        let count = UserCount::new(user, window, add);
        match self.mget_counting(keys, &count, deadline).await {
            Ok((values, total)) => {
                limit.hear(hash, window, total);
                Ok(values)
            }
            // What may have been counted is not said again: said twice, it would come back as
            // other processes'.
            Err(Lapse::Timeout) => Err(Lapse::Timeout),
            Err(lapse) => {
                limit.unsay(hash, window, add);
                Err(lapse)
            }
        }
    }

    /// The same where nothing is to be read but the user is to be counted.
    ///
    /// # Errors
    /// As [`Shared::mget_own`].
    pub async fn count_user(
        &self,
        limit: &KeyedLimiter,
        user: &UserId,
        now_ms: i64,
        deadline: &Deadline,
    ) -> Result<(), Lapse> {
        let keys = [SharedKey::user_version(user)];
        let read = self.mget_own(limit, user, &keys, now_ms, deadline).await;
        read.map(|_| ())
    }

    /// As [`Shared::mget`], and counts in the same round trip; also answers what the counter then
    /// holds. The keys are of the same user.
    ///
    /// # Errors
    /// The [`Lapse`] says why nothing came back; whether it was counted is not known then.
    pub async fn mget_counting(
        &self,
        keys: &[SharedKey],
        count: &UserCount,
        deadline: &Deadline,
    ) -> Result<(Vec<Option<Envelope>>, u64), Lapse> {
        let mut command = redis::cmd("EVAL");
        command.arg(READ_AND_COUNT).arg(keys.len() + 1);
        keys.iter().for_each(|key| {
            command.arg(key.as_str());
        });
        command.arg(count.key.as_str());
        command.arg(count.add).arg(2 * WINDOW_MS);
        let called = self.supervisor.call(count.key.as_str(), &command, deadline);
        let (reply, link) = called.await?;
        let parts: Option<[Value; 2]> = match reply {
            Value::Array(parts) => parts.try_into().ok(),
            _ => None,
        };
        let (values, total) = match parts {
            Some([values, Value::Int(total)]) => (values, total),
            _ => {
                self.supervisor.distrust(&link, "reply of another command");
                return Err(Lapse::Corrupt);
            }
        };
        let opened = self.opened(keys, values, &link)?;
        Ok((opened, u64::try_from(total).unwrap_or(0)))
    }
}
