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

    /// The key of the lease on making a slate, in the hash slot of that slate. The second one is for
    /// when the holder of the first takes too long.
    #[must_use]
    pub fn lease(slate: SlateKey, user: Option<&UserId>, second: bool) -> Self {
        let kind = if second { "l2" } else { "l" };
        let text = match user {
            Some(user) => format_smolstr!("{PREFIX}:{}:{kind}:{:032x}", tag(user), slate.0),
            // What is in braces is the slate's whole key, which is what a cluster hashes of it.
            None => format_smolstr!("{PREFIX}:{kind}:{{{}}}", Self::slate(slate, None).text),
        };
        Self {
            text,
            payload: Payload::Lease,
        }
    }

    /// The key of the counter of a user's admissions in a window of time, in the user's slot.
    #[must_use]
    pub(super) fn user_count(user: &UserId, window: u32) -> SmolStr {
        format_smolstr!("{PREFIX}:{}:n:{window}", tag(user))
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

    /// What a cluster hashes: the text in the first braces, or all of it.
    fn hashed(key: &SharedKey) -> &str {
        let inside = key
            .as_str()
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'));
        inside.map_or(key.as_str(), |(tag, _)| tag)
    }

    #[test]
    fn a_lease_lies_in_the_slot_of_its_slate() {
        let user = UserId::parse("alice").unwrap();
        for user in [None, Some(&user)] {
            let slate = SharedKey::slate(SlateKey(5), user);
            let [first, second] =
                [false, true].map(|second| SharedKey::lease(SlateKey(5), user, second));
            for lease in [&first, &second] {
                assert_eq!(hashed(&slate), hashed(lease));
                assert_ne!(slate.as_str(), lease.as_str());
            }
            assert_ne!(first.as_str(), second.as_str());
        }
    }

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
