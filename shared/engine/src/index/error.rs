//! Why bytes are not a generation.

/// The bytes are not a generation this reader can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Too short, or the magic is another.
    #[error("not an index: the header is missing")]
    NotAnIndex,
    /// Written by a version that this reader does not know.
    #[error("index schema {0} is not supported")]
    Schema(u32),
    /// The file ends before or after where its header says.
    #[error("index has {actual} bytes, its header says {stated}")]
    Length {
        /// Bytes handed in.
        actual: u64,
        /// Bytes the header states.
        stated: u64,
    },
    /// The header or the section table was changed.
    #[error("index header fails its checksum")]
    HeaderChecksum,
    /// A section was changed.
    #[error("index section {0} fails its checksum")]
    SectionChecksum(u32),
    /// A section lies outside the file, off its alignment or over another.
    #[error("index section {0} is out of bounds")]
    SectionBounds(u32),
    /// A section that every generation has is not there.
    #[error("index section {0} is missing")]
    Missing(u32),
    /// What a section holds contradicts itself or another section.
    #[error("index section {0} is inconsistent")]
    Inconsistent(u32),
}
