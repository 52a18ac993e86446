//! A value of the shared tier of any bytes: refused, or what was sealed.

#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use store::envelope::{Envelope, Payload, RANK_AT, RANK_BYTES};
use store::life::{Life, Rank};
use xxhash_rust::xxh3::Xxh3;

const KEY: u128 = 7;
const NOW_MS: i64 = 1_700_000_000_000;
const CHECKSUM_AT: usize = RANK_AT + RANK_BYTES;
const HEADER_BYTES: usize = CHECKSUM_AT + 8;

fuzz_target!(|bytes: &[u8]| {
    open(bytes);
    let mut sealed = bytes.to_vec();
    if sealed.len() >= HEADER_BYTES {
        let mut hash = Xxh3::new();
        hash.update(&sealed[..CHECKSUM_AT]);
        hash.update(&sealed[HEADER_BYTES..]);
        sealed[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&hash.digest().to_le_bytes());
        open(&sealed);
    }
    let envelope = Envelope {
        stored_at_ms: NOW_MS,
        life: Life {
            soft: Duration::from_secs(1),
            hard: Duration::from_secs(2),
        },
        rank: Rank::default(),
        payload: Bytes::copy_from_slice(bytes),
    };
    if let Ok(sealed) = envelope.seal(Payload::Slate, KEY) {
        let opened = Envelope::open(&sealed, Payload::Slate, KEY, NOW_MS);
        assert_eq!(opened.as_ref(), Ok(&envelope));
    }
});

fn open(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    for payload in [Payload::Slate, Payload::UserVersion, Payload::Lease] {
        let _ = Envelope::open(&bytes, payload, KEY, NOW_MS);
    }
}
