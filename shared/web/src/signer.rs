//! Signing what clients carry for us: cursors and item tokens.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Shortest secret, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;
/// Keys that are live at once: the one that signs and the one before it.
pub const KEYS_MAX: usize = 2;
/// 128 bits of HMAC-SHA-256, RFC 2104 §5.
const TAG_BYTES: usize = 16;

/// What a signature is for; one made for one purpose is worth nothing for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Cursor,
    Token,
    Pseudonym,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Cursor => b"reelway cursor\0",
            Self::Token => b"reelway token\0",
            Self::Pseudonym => b"reelway pseudonym\0",
        }
    }
}

/// The secret is shorter than [`SECRET_BYTES_MIN`], or there are more than [`KEYS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing key is at least 16 bytes, and at most two are live, separated by a comma")]
pub struct UnfitSecret;

/// Signs and checks with HMAC-SHA-256 cut to 128 bits.
#[derive(Clone)]
pub struct Signer {
    /// Signs.
    current: Key,
    /// Still checks.
    previous: Option<Key>,
}

#[derive(Clone)]
struct Key {
    /// First byte of the secret's hash: tells the live keys apart without naming them.
    id: u8,
    mac: Hmac<Sha256>,
}

impl Signer {
    /// A signer from `current` or `current,previous`.
    ///
    /// # Errors
    /// [`UnfitSecret`].
    pub fn from_secret(secret: &str) -> Result<Self, UnfitSecret> {
        let mut keys = secret
            .splitn(KEYS_MAX + 1, ',')
            .map(|key| Key::new(key.trim().as_bytes()));
        let current = keys.next().ok_or(UnfitSecret)??;
        let previous = keys.next().transpose()?;
        if keys.next().is_some() {
            Err(UnfitSecret)
        } else {
            Ok(Self { current, previous })
        }
    }

    /// Reads `REELWAY_TOKEN_KEY`, which must be set; problems stay with the reader.
    pub fn read(reader: &mut ops::settings::Reader<'_>) -> Self {
        let secret = reader.required("REELWAY_TOKEN_KEY");
        Self::from_secret(&secret).unwrap_or_else(|unfit| {
            // One that is not set is a problem already.
            if !secret.is_empty() {
                reader.problem(format!("REELWAY_TOKEN_KEY: {unfit}"));
            }
            Self::ephemeral(0)
        })
    }

    /// A signer whose key follows from a seed: what it signs is worth nothing to other processes.
    #[must_use]
    pub fn ephemeral(seed: u64) -> Self {
        let secret = Sha256::new()
            .chain_update(b"reelway ephemeral\0")
            .chain_update(seed.to_le_bytes());
        Self {
            current: Key::of_digest(&secret.finalize()),
            previous: None,
        }
    }

    /// The id of the key that signs.
    #[must_use]
    pub fn key_id(&self) -> u8 {
        self.current.id
    }

    /// Signs with the current key: URL-safe text of version, key id, payload and tag.
    pub(crate) fn seal(&self, purpose: Purpose, version: u8, payload: &[u8]) -> String {
        let mut bytes = Vec::with_capacity(2 + payload.len() + TAG_BYTES);
        bytes.extend_from_slice(&[version, self.current.id]);
        bytes.extend_from_slice(payload);
        let mac = self
            .current
            .keyed(purpose)
            .chain_update(&bytes)
            .finalize()
            .into_bytes();
        bytes.extend(mac.iter().take(TAG_BYTES));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Checks a text that [`Signer::seal`] made and gives the key's id and the payload back.
    pub(crate) fn open(
        &self,
        purpose: Purpose,
        version: u8,
        text: &str,
        bytes_max: usize,
    ) -> Option<(u8, Vec<u8>)> {
        if text.len() > bytes_max {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (signed, tag) = bytes.split_last_chunk::<TAG_BYTES>()?;
        let (&[found, key_id], _) = signed.split_first_chunk::<2>()?;
        let known = self.with_id(key_id).any(|key| {
            key.keyed(purpose)
                .chain_update(signed)
                .verify_truncated_left(tag)
                .is_ok()
        });
        if !known || found != version {
            return None;
        }
        bytes.truncate(bytes.len() - TAG_BYTES);
        bytes.drain(..2);
        Some((key_id, bytes))
    }

    /// A keyed 64-bit hash by the key that signs: the same text has the same one under the same key,
    /// and nobody without the key can tell which text it was.
    pub(crate) fn pseudonym(&self, text: &str) -> u64 {
        self.current.pseudonym(text)
    }

    /// Whether a key of this id makes this pseudonym of the text; both live keys may have that id.
    pub(crate) fn is_pseudonym(&self, key_id: u8, text: &str, pseudonym: u64) -> bool {
        self.with_id(key_id)
            .any(|key| key.pseudonym(text) == pseudonym)
    }

    fn with_id(&self, id: u8) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .filter(move |key| key.id == id)
    }
}

impl Key {
    fn new(secret: &[u8]) -> Result<Self, UnfitSecret> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(UnfitSecret);
        }
        Ok(Self::of_digest(&Sha256::digest(secret)))
    }

    fn of_digest(digest: &[u8]) -> Self {
        let id = digest.first().copied().unwrap_or_default();
        // HMAC takes a key of any length, so the other arm is never taken.
        let mac = Hmac::new_from_slice(digest)
            .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()));
        Self { id, mac }
    }

    fn pseudonym(&self, text: &str) -> u64 {
        let mac = self
            .keyed(Purpose::Pseudonym)
            .chain_update(text)
            .finalize()
            .into_bytes();
        let head = mac.first_chunk::<8>();
        head.map_or(0, |head| u64::from_le_bytes(*head))
    }

    fn keyed(&self, purpose: Purpose) -> Hmac<Sha256> {
        self.mac.clone().chain_update(purpose.label())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "an old secret of enough bytes";
    const NEW: &str = "a new secret of enough bytes";

    fn open(signer: &Signer, text: &str) -> Option<Vec<u8>> {
        signer
            .open(Purpose::Token, 1, text, 400)
            .map(|(_, payload)| payload)
    }

    #[test]
    fn two_keys_are_live_and_the_first_signs() {
        let old = Signer::from_secret(OLD).unwrap();
        let both = Signer::from_secret(&format!("{NEW}, {OLD}")).unwrap();
        let new = Signer::from_secret(NEW).unwrap();
        let (by_old, by_both) = (
            old.seal(Purpose::Token, 1, b"x"),
            both.seal(Purpose::Token, 1, b"x"),
        );
        assert_eq!(open(&both, &by_old).as_deref(), Some(&b"x"[..]));
        assert_eq!(open(&new, &by_both).as_deref(), Some(&b"x"[..]));
        assert_eq!(open(&new, &by_old), None);
    }

    #[test]
    fn keys_that_share_an_id_are_both_asked() {
        let secret = |n: usize| format!("{n:016}");
        let of = |n| Signer::from_secret(&secret(n)).unwrap();
        let old = of(0);
        let twin = (1..).find(|n| of(*n).key_id() == old.key_id()).unwrap();
        let both = Signer::from_secret(&format!("{},{}", secret(twin), secret(0))).unwrap();
        for signer in [&old, &of(twin)] {
            let pseudonym = signer.pseudonym("u1");
            assert!(both.is_pseudonym(signer.key_id(), "u1", pseudonym));
            assert!(!both.is_pseudonym(signer.key_id(), "u2", pseudonym));
            assert!(!both.is_pseudonym(signer.key_id() ^ 1, "u1", pseudonym));
        }
    }

    #[test]
    fn an_unfit_secret_is_refused() {
        for secret in [
            "",
            "short",
            &format!("{OLD},"),
            &format!("{OLD},{NEW},{OLD}"),
        ] {
            assert!(Signer::from_secret(secret).is_err(), "{secret}");
        }
    }

    #[test]
    fn a_signature_is_worth_nothing_elsewhere() {
        let signer = Signer::from_secret(NEW).unwrap();
        let text = signer.seal(Purpose::Cursor, 1, b"x");
        assert!(signer.open(Purpose::Cursor, 1, &text, 400).is_some());
        assert!(
            signer.open(Purpose::Token, 1, &text, 400).is_none(),
            "another purpose"
        );
        assert!(
            signer.open(Purpose::Cursor, 2, &text, 400).is_none(),
            "another version"
        );
        assert!(
            signer.open(Purpose::Cursor, 1, &text, 4).is_none(),
            "too long"
        );
    }

    #[test]
    fn nothing_of_the_secret_is_shown() {
        let shown = format!("{:?}", Signer::from_secret(NEW).unwrap());
        assert_eq!(shown, "Signer { .. }");
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_noticed(
            payload in prop::collection::vec(any::<u8>(), 0..60),
            at in any::<prop::sample::Index>(),
            flip in 1_u8..=255,
        ) {
            let signer = Signer::ephemeral(7);
            let text = signer.seal(Purpose::Token, 1, &payload);
            prop_assert_eq!(open(&signer, &text), Some(payload));
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(open(&signer, &URL_SAFE_NO_PAD.encode(bytes)), None);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            prop_assert_eq!(open(&Signer::ephemeral(7), &text), None);
        }
    }
}
