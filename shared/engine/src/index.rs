//! Reading one generation in place.

/// One immutable, versioned build of the index, read where it is mapped.
#[derive(Debug)]
pub struct Index {}
