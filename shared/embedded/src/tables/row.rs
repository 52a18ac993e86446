//! A row as it lies on disk.

use bytes::Bytes;
use store::{Error, ErrorKind, Row};

/// Layout: format (1), version (8), has expiry (1), expiry (8), value; little-endian.
const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 18;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredRow {
    pub(super) row: Row,
    pub(super) expires_at_s: Option<i64>,
}

impl StoredRow {
    pub(super) fn expired(&self, now_s: i64) -> bool {
        self.expires_at_s.is_some_and(|at| at <= now_s)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.row.bytes.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.row.version.to_le_bytes());
        bytes.push(u8::from(self.expires_at_s.is_some()));
        bytes.extend_from_slice(&self.expires_at_s.unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&self.row.bytes);
        bytes
    }

    pub(super) fn decode(stored: &[u8]) -> Result<Self, Error> {
        let corrupt = || Error::new(ErrorKind::Corrupt, "read a stored row");
        let (format, rest) = stored.split_first().ok_or_else(corrupt)?;
        let (version, rest) = rest.split_first_chunk::<8>().ok_or_else(corrupt)?;
        let (expires, rest) = rest.split_first().ok_or_else(corrupt)?;
        let (at, value) = rest.split_first_chunk::<8>().ok_or_else(corrupt)?;
        if *format != FORMAT || *expires > 1 {
            return Err(corrupt());
        }
        let version = u64::from_le_bytes(*version);
        let expires_at_s = (*expires == 1).then(|| i64::from_le_bytes(*at));
        Ok(Self {
            row: Row {
                bytes: Bytes::copy_from_slice(value),
                version,
            },
            expires_at_s,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_come_back_as_they_went(
            value: Vec<u8>,
            version: u64,
            expires_at_s: Option<i64>,
        ) {
            let stored = StoredRow { row: Row { bytes: value.into(), version }, expires_at_s };
            prop_assert_eq!(StoredRow::decode(&stored.encode()).unwrap(), stored);
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_read_but_never_panic(bytes: Vec<u8>) {
            let _ = StoredRow::decode(&bytes);
        }
    }
}
