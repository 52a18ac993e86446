//! Where a reader of a slate is.

use engine::UserState;

use crate::Signer;
use crate::signer::Purpose;
use crate::wire::Reader;

/// How long a cursor is good for, in milliseconds.
pub const CURSOR_LIFE_MS: i64 = 30 * 60 * 1000;
/// Most served ids a cursor remembers; a slate has fewer.
pub const SERVED_MAX: usize = 400;
/// Times of issue are rounded up to multiples of this, so that a page keeps its bytes, and with
/// them its ETag, for a while. Milliseconds.
pub const ISSUE_STEP_MS: i64 = 5 * 60 * 1000;
/// How far clocks of two processes may differ, in milliseconds.
const SKEW_MS: i64 = 60 * 1000;
const VERSION: u8 = 1;
/// Longest text of a cursor: fixed parts, every served hash and the tag, in base64.
pub const CURSOR_BYTES_MAX: usize = (64 + 4 * SERVED_MAX) * 4 / 3 + 4;

/// A place in a slate, signed; opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The key of the slate: who asked for what.
    pub slate_key: u128,
    /// Hash of the slate's id.
    pub slate_hash: u64,
    /// How many items of the unfiltered slate lie behind.
    pub position: u16,
    /// When it was handed out, rounded up by [`Cursor::issued`], Unix time in milliseconds.
    pub issued_ms: i64,
    /// [`UserState::seen_hash`] of the ids served so far, for when the slate is gone.
    pub served: Vec<u32>,
}

impl Cursor {
    /// The hash under which a slate's id is remembered.
    #[must_use]
    pub fn slate_hash(slate_id: &str) -> u64 {
        xxhash_rust::xxh3::xxh3_64(slate_id.as_bytes())
    }

    /// The time of issue of a cursor that is handed out now.
    #[must_use]
    pub fn issued(now_ms: i64) -> i64 {
        let steps = now_ms.div_euclid(ISSUE_STEP_MS).saturating_add(1);
        steps.saturating_mul(ISSUE_STEP_MS)
    }

    /// Whether the video was served before.
    #[must_use]
    pub fn has_served(&self, video_id: &str) -> bool {
        self.served.contains(&UserState::seen_hash(video_id))
    }

    /// The text for the client. Of too many served ids the newest are kept.
    #[must_use]
    pub fn seal(&self, signer: &Signer) -> String {
        let kept = self.served.len().saturating_sub(SERVED_MAX);
        let served = self.served.get(kept..).unwrap_or_default();
        let mut payload = Vec::with_capacity(34 + 4 * served.len());
        payload.extend_from_slice(&self.slate_key.to_le_bytes());
        payload.extend_from_slice(&self.slate_hash.to_le_bytes());
        payload.extend_from_slice(&self.position.to_le_bytes());
        payload.extend_from_slice(&self.issued_ms.to_le_bytes());
        for hash in served {
            payload.extend_from_slice(&hash.to_le_bytes());
        }
        signer.seal(Purpose::Cursor, VERSION, &payload)
    }

    /// Reads a text; `None` when it is not ours, was changed or is older than [`CURSOR_LIFE_MS`].
    #[must_use]
    pub fn open(text: &str, signer: &Signer, now_ms: i64) -> Option<Self> {
        let (_, payload) = signer.open(Purpose::Cursor, VERSION, text, CURSOR_BYTES_MAX)?;
        let mut reader = Reader(&payload);
        let slate_key = u128::from_le_bytes(reader.bytes(16)?.try_into().ok()?);
        let slate_hash = reader.u64()?;
        let position = reader.u16()?;
        let issued_ms = reader.u64()?.cast_signed();
        let mut served = Vec::with_capacity(reader.0.len() / 4);
        while !reader.is_empty() {
            served.push(reader.u32()?);
        }
        let age_ms = now_ms.saturating_sub(issued_ms);
        let alive = (-SKEW_MS - ISSUE_STEP_MS..=CURSOR_LIFE_MS).contains(&age_ms);
        alive.then_some(Self {
            slate_key,
            slate_hash,
            position,
            issued_ms,
            served,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor(served: Vec<u32>) -> Cursor {
        Cursor {
            slate_key: 5,
            slate_hash: 6,
            position: 20,
            issued_ms: 1_000_000,
            served,
        }
    }

    #[test]
    fn a_cursor_lives_for_half_an_hour() {
        let signer = Signer::ephemeral(1);
        let text = cursor(vec![1, 2]).seal(&signer);
        for (now_ms, alive) in [
            (1_000_000, true),
            (1_000_000 + CURSOR_LIFE_MS, true),
            (1_000_001 + CURSOR_LIFE_MS, false),
            (1_000_000 - ISSUE_STEP_MS - SKEW_MS, true),
            (1_000_000 - ISSUE_STEP_MS - SKEW_MS - 1, false),
        ] {
            assert_eq!(
                Cursor::open(&text, &signer, now_ms).is_some(),
                alive,
                "{now_ms}"
            );
        }
    }

    #[test]
    fn a_page_keeps_its_bytes_and_its_cursor_at_least_half_an_hour() {
        let text = |now_ms| Cursor {
            issued_ms: Cursor::issued(now_ms),
            ..cursor(vec![1])
        };
        assert_eq!(text(600_000), text(899_999));
        assert_ne!(text(600_000), text(900_000));
        let signer = Signer::ephemeral(1);
        for now_ms in [600_000, 899_999] {
            let sealed = text(now_ms).seal(&signer);
            assert!(Cursor::open(&sealed, &signer, now_ms).is_some());
            assert!(Cursor::open(&sealed, &signer, now_ms + CURSOR_LIFE_MS).is_some());
        }
    }

    #[test]
    fn the_longest_cursor_can_be_read_and_keeps_the_newest() {
        let signer = Signer::ephemeral(1);
        let served: Vec<u32> = (0..SERVED_MAX as u32 + 50).collect();
        let text = cursor(served.clone()).seal(&signer);
        let read = Cursor::open(&text, &signer, 1_000_000).unwrap();
        assert_eq!(read.served, served[50..]);
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_read_back(
            slate_key in any::<u128>(),
            slate_hash in any::<u64>(),
            position in any::<u16>(),
            served in prop::collection::vec(any::<u32>(), 0..210),
        ) {
            let signer = Signer::ephemeral(1);
            let cursor = Cursor { slate_key, slate_hash, position, issued_ms: 5, served };
            let read = Cursor::open(&cursor.seal(&signer), &signer, 6);
            prop_assert_eq!(read, Some(cursor));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z0-9_-]{0,120}") {
            prop_assert_eq!(Cursor::open(&text, &Signer::ephemeral(1), 0), None);
        }
    }
}
