//! A record of the stream of any bytes: corrupt, or taken apart, and each part an event or not.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use md5::{Digest, Md5};
use store::aggregate::{MAGIC, unpack};
use store::events;

fuzz_target!(|bytes: &[u8]| {
    take(Bytes::copy_from_slice(bytes));
    // As somebody would send it who knows how the digest is made.
    let digest = Md5::digest(bytes);
    take([&MAGIC, bytes, digest.as_slice()].concat().into());
});

fn take(data: Bytes) {
    for (_, payload) in unpack(&data).unwrap_or_default() {
        if let Ok(event) = events::decode(&payload) {
            let again = events::decode(&events::encode(&event));
            assert_eq!(again.ok().as_ref(), Some(&event));
        }
    }
}
