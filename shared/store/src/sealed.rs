//! The header in front of every row this crate writes: schema version and checksum.
//!
//! ```text
//! 0        1                  5
//! ├ schema ┼ checksum (LE u32) ┼ body …
//! ```
//!
//! The schema version is raised only by changes that an older reader must not guess at; what an
//! older reader may skip (a new protobuf field, a new JSON key) keeps it.

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Error, ErrorKind};

/// Bytes in front of the body.
pub const HEADER_BYTES: usize = 5;

/// Puts the header in front of a body.
#[must_use]
pub fn seal(schema: u8, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + body.len());
    bytes.put_u8(schema);
    bytes.put_u32_le(checksum(schema, body));
    bytes.put_slice(body);
    bytes.freeze()
}

/// Checks the header and gives the body.
///
/// # Errors
/// `Corrupt` when the bytes are not what was sealed; `Invalid` when a newer version, which this one
/// must not overwrite, sealed them.
pub fn open<'a>(schema_max: u8, bytes: &'a [u8], what: &str) -> Result<&'a [u8], Error> {
    let corrupt = || Error::new(ErrorKind::Corrupt, what);
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(corrupt)?;
    let &[schema, a, b, c, d] = header else {
        return Err(corrupt());
    };
    if checksum(schema, body) != u32::from_le_bytes([a, b, c, d]) || schema == 0 {
        return Err(corrupt());
    }
    if schema > schema_max {
        let what = format!("{what} of schema {schema}, newer than {schema_max}");
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    Ok(body)
}

/// The schema seeds the hash, so that a damaged version byte is damage, not a version.
fn checksum(schema: u8, body: &[u8]) -> u32 {
    xxh3_64_with_seed(body, u64::from(schema)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_newer_version_sealed_is_told_from_damage() {
        let newer = seal(3, b"body");
        assert_eq!(
            open(2, &newer, "open").unwrap_err().kind,
            ErrorKind::Invalid
        );
        assert_eq!(open(3, &newer, "open").unwrap(), b"body");
        assert_eq!(open(4, &newer, "open").unwrap(), b"body");
        for short in 0..HEADER_BYTES {
            assert_eq!(
                open(3, &newer[..short], "open").unwrap_err().kind,
                ErrorKind::Corrupt
            );
        }
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_found(body in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut bytes = seal(1, &body).to_vec();
            prop_assert_eq!(open(1, &bytes, "open").unwrap(), &body[..]);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(open(1, &bytes, "open").is_err());
        }
    }
}
