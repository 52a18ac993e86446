//! Keys of the shared tier: made of hashes, so that no raw id is ever a key or joins with another.

use engine::UserId;
use smol_str::{SmolStr, format_smolstr};
use xxhash_rust::xxh3::xxh3_128;

use crate::ask::SlateKey;
use crate::envelope::{Payload, key_hash};

/// Begins every key; its number is raised when what the keys mean changes.
const PREFIX: &str = "rw1";

/// A key of the shared tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedKey {
    text: SmolStr,
    payload: Payload,
}

impl SharedKey {
    /// The key of a slate; a user's slates lie in the hash slot of the user's version.
    #[must_use]
    pub fn slate(slate: SlateKey, user: Option<&UserId>) -> Self {
        let text = match user {
            Some(user) => format_smolstr!("{PREFIX}:{}:s:{:032x}", tag(user), slate.0),
            None => format_smolstr!("{PREFIX}:s:{:032x}", slate.0),
        };
        Self {
            text,
            payload: Payload::Slate,
        }
    }

    /// The key of a user's version.
    #[must_use]
    pub fn user_version(user: &UserId) -> Self {
        let text = format_smolstr!("{PREFIX}:{}:v", tag(user));
        Self {
            text,
            payload: Payload::UserVersion,
        }
    }

    /// The key as the server knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What lies under it.
    #[must_use]
    pub fn payload(&self) -> Payload {
        self.payload
    }

    /// What its value must carry.
    #[must_use]
    pub fn hash(&self) -> u128 {
        key_hash(&self.text)
    }
}

/// The part in braces is all that a cluster hashes.
fn tag(user: &UserId) -> SmolStr {
    format_smolstr!("{{u:{:032x}}}", xxh3_128(user.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_keys_share_a_slot_and_name_nobody() {
        let user = UserId::parse("alice").unwrap();
        let (slate, version) = (
            SharedKey::slate(SlateKey(5), Some(&user)),
            SharedKey::user_version(&user),
        );
        let slot = |key: &SharedKey| {
            let (_, rest) = key.as_str().split_once('{').unwrap();
            rest.split_once('}').unwrap().0.to_owned()
        };
        assert_eq!(slot(&slate), slot(&version));
        assert_ne!(
            slot(&slate),
            slot(&SharedKey::user_version(&UserId::parse("bob").unwrap()))
        );
        for key in [&slate, &version, &SharedKey::slate(SlateKey(5), None)] {
            assert!(!key.as_str().contains("alice"), "{key:?}");
        }
        assert_ne!(slate.hash(), version.hash());
    }
}
