//! What every value in the shared tier travels in: bytes that are checked before they are believed.
//!
//! ```text
//!  0 magic u16 │ 2 version u8 │ 3 oldest reader u8 │ 4 header bytes u16 │ 6 kind u8 │ 7 zero
//!  8 key hash u128 │ 24 stored_at_ms i64 │ 32 soft_ms u32 │ 36 hard_ms u32
//! 40 rank: user version u64, generation 4 × u64, all big-endian
//! 80 checksum u64 (XXH3 over everything but itself) │ 88 … payload
//! ```
//!
//! Little-endian but for the rank, which the server compares byte by byte. Newer writers may
//! append header fields: a reader skips to the payload by the header's length, as long as the
//! writer says that this reader's version may read it.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::life::{Freshness, GenerationOrder, Life, Rank};

/// The version written.
pub const VERSION: u8 = 1;
/// The oldest version still read.
pub const VERSION_OLDEST: u8 = 1;
/// Longest envelope, header included. Nothing longer is looked into.
pub const ENVELOPE_BYTES_MAX: usize = 256 * 1024;
/// Where the rank starts, for the script that compares it on the server.
pub const RANK_AT: usize = 40;
/// How long the rank is.
pub const RANK_BYTES: usize = 40;

const MAGIC: u16 = 0x5752;
const CHECKSUM_AT: usize = RANK_AT + RANK_BYTES;
const HEADER_BYTES: usize = CHECKSUM_AT + 8;

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Payload {
    /// A slate.
    Slate = 1,
    /// A user's version; the rank says it, the payload is empty.
    UserVersion = 2,
    /// Somebody makes a slate; the payload is empty.
    Lease = 3,
}

/// Why bytes were not believed; each is a miss and a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Written under another key: a reply went to the wrong caller.
    #[error("foreign key")]
    ForeignKey,
    /// Not what was written.
    #[error("corrupt")]
    Corrupt,
    /// Of a version this process cannot read.
    #[error("version")]
    Version,
    /// Longer than [`ENVELOPE_BYTES_MAX`].
    #[error("too large")]
    TooLarge,
    /// Stamped too far ahead of our clock.
    #[error("future")]
    Future,
    /// Past its hard life.
    #[error("expired")]
    Expired,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::ForeignKey,
        Self::Corrupt,
        Self::Version,
        Self::TooLarge,
        Self::Future,
        Self::Expired,
    ];

    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ForeignKey => "foreign_key",
            Self::Corrupt => "corrupt",
            Self::Version => "version",
            Self::TooLarge => "too_large",
            Self::Future => "future",
            Self::Expired => "expired",
        }
    }
}

/// A value with everything needed to decide whether to believe and serve it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// When it was stored, Unix time in milliseconds.
    pub stored_at_ms: i64,
    /// For how long it is good. Kept in milliseconds, at most 49 days.
    pub life: Life,
    /// What it is compared by.
    pub rank: Rank,
    /// The value.
    pub payload: Bytes,
}

/// The hash under which a key is remembered inside its value.
#[must_use]
pub fn key_hash(key: &str) -> u128 {
    xxh3_128(key.as_bytes())
}

impl Envelope {
    /// Writes the envelope of a value that is stored under `key`.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] when no reader would take it.
    pub fn seal(&self, payload: Payload, key: u128) -> Result<Bytes, Refusal> {
        let total = HEADER_BYTES + self.payload.len();
        if total > ENVELOPE_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let mut bytes = BytesMut::with_capacity(total);
        bytes.put_u16_le(MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_u8(VERSION_OLDEST);
        bytes.put_u16_le(HEADER_BYTES as u16);
        bytes.put_u8(payload as u8);
        bytes.put_u8(0);
        bytes.put_u128_le(key);
        bytes.put_i64_le(self.stored_at_ms);
        bytes.put_u32_le(millis(self.life.soft));
        bytes.put_u32_le(millis(self.life.hard));
        bytes.put_u64(self.rank.user_version);
        self.rank
            .generation
            .0
            .iter()
            .for_each(|number| bytes.put_u64(*number));
        let mut hasher = Xxh3::new();
        hasher.update(&bytes);
        hasher.update(&self.payload);
        bytes.put_u64_le(hasher.digest());
        bytes.put_slice(&self.payload);
        Ok(bytes.freeze())
    }

    /// Reads an envelope that came back for `key`. Never panics, whatever the bytes.
    ///
    /// # Errors
    /// The [`Refusal`] says why the bytes are a miss.
    pub fn open(bytes: &Bytes, payload: Payload, key: u128, now_ms: i64) -> Result<Self, Refusal> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let field = Fields(bytes);
        if field.u16(0)? != MAGIC {
            return Err(Refusal::Corrupt);
        }
        if field.byte(2)? < VERSION_OLDEST || field.byte(3)? > VERSION {
            return Err(Refusal::Version);
        }
        let header = usize::from(field.u16(4)?);
        if header < HEADER_BYTES || header > bytes.len() {
            return Err(Refusal::Corrupt);
        }
        let mut hasher = Xxh3::new();
        hasher.update(field.span(0, CHECKSUM_AT)?);
        hasher.update(bytes.get(HEADER_BYTES..).ok_or(Refusal::Corrupt)?);
        if hasher.digest() != u64::from_le_bytes(field.array(CHECKSUM_AT)?) {
            return Err(Refusal::Corrupt);
        }
        // Only an intact envelope can say whose it is.
        if u128::from_le_bytes(field.array(8)?) != key {
            return Err(Refusal::ForeignKey);
        }
        if field.byte(6)? != payload as u8 {
            return Err(Refusal::Corrupt);
        }
        let mut generation = [0; 4];
        for (place, number) in generation.iter_mut().enumerate() {
            *number = u64::from_be_bytes(field.array(RANK_AT + 8 + 8 * place)?);
        }
        let envelope = Self {
            stored_at_ms: i64::from_le_bytes(field.array(24)?),
            life: Life {
                soft: Duration::from_millis(u32::from_le_bytes(field.array(32)?).into()),
                hard: Duration::from_millis(u32::from_le_bytes(field.array(36)?).into()),
            },
            rank: Rank {
                user_version: u64::from_be_bytes(field.array(RANK_AT)?),
                generation: GenerationOrder(generation),
            },
            payload: bytes.slice(header..),
        };
        match envelope.life.freshness(envelope.stored_at_ms, now_ms) {
            Freshness::Fresh | Freshness::Stale => Ok(envelope),
            Freshness::Dead if envelope.stored_at_ms > now_ms => Err(Refusal::Future),
            Freshness::Dead => Err(Refusal::Expired),
        }
    }
}

/// Reads fields at fixed places; a place that is not there makes the whole corrupt.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn span(&self, at: usize, len: usize) -> Result<&'a [u8], Refusal> {
        self.0
            .get(at..at.saturating_add(len))
            .ok_or(Refusal::Corrupt)
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], Refusal> {
        self.span(at, N)?.try_into().map_err(|_| Refusal::Corrupt)
    }

    fn byte(&self, at: usize) -> Result<u8, Refusal> {
        self.array::<1>(at).map(u8::from_le_bytes)
    }

    fn u16(&self, at: usize) -> Result<u16, Refusal> {
        self.array(at).map(u16::from_le_bytes)
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_764_000_000_000;
    const KEY: u128 = 7;

    fn envelope() -> Envelope {
        Envelope {
            stored_at_ms: NOW,
            life: Life {
                soft: Duration::from_secs(2),
                hard: Duration::from_secs(60),
            },
            rank: Rank::new(41, "2026-11-21.3"),
            payload: Bytes::from_static(b"ordered, best first"),
        }
    }

    fn sealed() -> Vec<u8> {
        envelope().seal(Payload::Slate, KEY).unwrap().to_vec()
    }

    fn open(bytes: Vec<u8>) -> Result<Envelope, Refusal> {
        Envelope::open(&Bytes::from(bytes), Payload::Slate, KEY, NOW)
    }

    /// Writes the checksum that belongs to changed bytes, as a hostile or newer writer would.
    fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let mut hasher = Xxh3::new();
        hasher.update(&bytes[..CHECKSUM_AT]);
        hasher.update(&bytes[HEADER_BYTES..]);
        let checksum = hasher.digest().to_le_bytes();
        bytes[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&checksum);
        bytes
    }

    #[test]
    fn a_value_comes_back_as_it_was_stored() {
        assert_eq!(open(sealed()), Ok(envelope()));
    }

    #[test]
    fn each_reason_to_refuse_is_named() {
        let with = |change: &dyn Fn(&mut Envelope)| {
            let mut envelope = envelope();
            change(&mut envelope);
            envelope.seal(Payload::Slate, KEY).unwrap().to_vec()
        };
        let bytes_with = |at: usize, byte: u8| {
            let mut bytes = sealed();
            bytes[at] = byte;
            resealed(bytes)
        };
        let foreign = envelope().seal(Payload::Slate, KEY + 1).unwrap().to_vec();
        let other_kind = envelope().seal(Payload::UserVersion, KEY).unwrap().to_vec();
        let cases = [
            ("nothing", Vec::new(), Refusal::Corrupt),
            ("half a header", sealed()[..40].to_vec(), Refusal::Corrupt),
            ("another key's", foreign, Refusal::ForeignKey),
            ("another kind", other_kind, Refusal::Corrupt),
            ("an older version", bytes_with(2, 0), Refusal::Version),
            (
                "only for newer readers",
                bytes_with(3, VERSION + 1),
                Refusal::Version,
            ),
            ("a short header", bytes_with(4, 8), Refusal::Corrupt),
            (
                "a header behind the end",
                bytes_with(5, 255),
                Refusal::Corrupt,
            ),
            ("10 MB", vec![b'R'; 10 << 20], Refusal::TooLarge),
            (
                "from the future",
                with(&|e| e.stored_at_ms += 5_001),
                Refusal::Future,
            ),
            (
                "expired",
                with(&|e| e.stored_at_ms -= 60_000),
                Refusal::Expired,
            ),
        ];
        for (what, bytes, expected) in cases {
            assert_eq!(open(bytes), Err(expected), "{what}");
        }
    }

    #[test]
    fn a_newer_writer_may_append_to_the_header() {
        let mut bytes = sealed();
        bytes[2] = VERSION + 1;
        bytes[4] += 4;
        bytes.splice(HEADER_BYTES..HEADER_BYTES, [9, 9, 9, 9]);
        assert_eq!(open(resealed(bytes)), Ok(envelope()));
    }

    #[test]
    fn nothing_is_sealed_that_nobody_would_open() {
        let payload = Bytes::from(vec![0; ENVELOPE_BYTES_MAX]);
        let huge = Envelope {
            payload,
            ..envelope()
        };
        assert_eq!(huge.seal(Payload::Slate, KEY), Err(Refusal::TooLarge));
        let payload = Bytes::from(vec![0; ENVELOPE_BYTES_MAX - HEADER_BYTES]);
        let fits = Envelope {
            payload,
            ..envelope()
        };
        assert_eq!(
            open(fits.seal(Payload::Slate, KEY).unwrap().to_vec()),
            Ok(fits)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_changed_bit_is_a_miss(bit in 0..(HEADER_BYTES + 19) * 8) {
            let mut bytes = sealed();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(bytes).is_err());
        }

        #[test]
        fn a_cut_or_lengthened_value_is_a_miss(keep in 0..HEADER_BYTES + 19, more in 1usize..64) {
            prop_assert_eq!(open(sealed()[..keep].to_vec()), Err(Refusal::Corrupt));
            let mut longer = sealed();
            longer.resize(longer.len() + more, 0);
            prop_assert_eq!(open(longer), Err(Refusal::Corrupt));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(open(bytes).is_err());
        }

        #[test]
        fn arbitrary_fields_with_a_right_checksum_never_panic(
            fields in proptest::collection::vec(any::<u8>(), CHECKSUM_AT - 6),
            header in 0u16..200,
        ) {
            let mut bytes = sealed();
            bytes[6..CHECKSUM_AT].copy_from_slice(&fields);
            bytes[4..6].copy_from_slice(&header.to_le_bytes());
            let _ = open(resealed(bytes));
        }

        #[test]
        fn only_its_own_key_opens_it(key in any::<u128>()) {
            prop_assume!(key != KEY);
            let opened = Envelope::open(&Bytes::from(sealed()), Payload::Slate, key, NOW);
            prop_assert_eq!(opened, Err(Refusal::ForeignKey));
        }
    }
}
