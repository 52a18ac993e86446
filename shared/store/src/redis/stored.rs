//! A value on its way into the shared tier.

use std::time::Duration;

use bytes::Bytes;
use engine::UserId;

use super::SharedKey;
use crate::envelope::Envelope;
use crate::life::{Life, Rank, jittered};

/// How long a user's version is remembered: longer than any personal slate lives.
pub const USER_VERSION_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// A value on its way into the shared tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Under which key.
    pub key: SharedKey,
    /// What; its hard life, jittered, becomes the key's time to live.
    pub envelope: Envelope,
}

impl Stored {
    /// The fact that a user is at this version.
    #[must_use]
    pub fn user_version(user: &UserId, version: u64, now_ms: i64) -> Self {
        Self {
            key: SharedKey::user_version(user),
            envelope: Envelope {
                stored_at_ms: now_ms,
                life: Life {
                    soft: USER_VERSION_LIFE,
                    hard: USER_VERSION_LIFE,
                },
                rank: Rank {
                    user_version: version,
                    ..Rank::default()
                },
                payload: Bytes::new(),
            },
        }
    }

    /// Key, bytes and time to live in milliseconds; `None` when it is too large to be read back.
    pub(super) fn sealed(&self, now_ms: i64) -> Option<(&str, Bytes, u64)> {
        let bytes = self
            .envelope
            .seal(self.key.payload(), self.key.hash())
            .ok()?;
        let ttl = jittered(self.envelope.life.hard, self.key.hash(), now_ms);
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        Some((self.key.as_str(), bytes, ttl_ms))
    }
}
