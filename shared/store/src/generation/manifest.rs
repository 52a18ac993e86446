//! The two small documents beside a generation's file.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::checked_name;
use crate::{Error, ErrorKind};

/// The version of both documents that is written; readers skip keys they do not know.
pub const MANIFEST_SCHEMA: u32 = 1;
/// Largest document.
pub const MANIFEST_BYTES_MAX: u64 = 16 * 1_024;

/// What a generation's file must be like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this document.
    pub schema: u32,
    /// The generation's name.
    pub generation: SmolStr,
    /// The file's size.
    pub bytes: u64,
    /// XXH3 of the file, 64 bits, 16 hexadecimal digits.
    pub checksum: String,
    /// When it was published, Unix time in milliseconds.
    pub created_ms: i64,
}

/// Which generation is current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The version of this document.
    pub schema: u32,
    /// The generation's name.
    pub generation: SmolStr,
    /// When the pointer was swapped, Unix time in milliseconds.
    pub swapped_ms: i64,
}

impl Manifest {
    /// Reads the manifest of the named generation.
    ///
    /// # Errors
    /// `Corrupt` when it is none or another's; `Invalid` when a newer version wrote it.
    pub fn parse(json: &[u8], generation: &str) -> Result<Self, Error> {
        let manifest: Self = parse(json, "read a manifest")?;
        checked_schema(manifest.schema, "read a manifest")?;
        if manifest.generation != generation {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "read a manifest: it is another's",
            ));
        }
        Ok(manifest)
    }
}

impl Pointer {
    /// Reads the pointer.
    ///
    /// # Errors
    /// `Corrupt` when it is none; `Invalid` when a newer version wrote it or its name is none.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let pointer: Self = parse(json, "read the pointer")?;
        checked_schema(pointer.schema, "read the pointer")?;
        // It becomes part of a path.
        checked_name(&pointer.generation)?;
        Ok(pointer)
    }
}

/// The JSON of a document.
pub(super) fn render<T: Serialize>(document: &T) -> Result<Bytes, Error> {
    let json = serde_json::to_vec_pretty(document);
    json.map(Bytes::from)
        .map_err(|e| Error::because(ErrorKind::Invalid, "write a manifest", e))
}

fn parse<T: DeserializeOwned>(json: &[u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| Error::because(ErrorKind::Corrupt, what, error))
}

fn checked_schema(schema: u32, what: &str) -> Result<(), Error> {
    if (1..=MANIFEST_SCHEMA).contains(&schema) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!("{what} of schema {schema}"),
    ))
}
