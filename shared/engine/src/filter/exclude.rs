//! Named by the request as unwanted.

use super::Filter;
use crate::pipeline::Prepared;

/// Drops what the request excludes.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExcludeFilter;

impl Filter for ExcludeFilter {
    fn name(&self) -> &'static str {
        "filter.exclude"
    }

    fn keeps_all(&self, asked: &Prepared<'_>) -> bool {
        asked.excludes_none()
    }

    fn keeps(&self, asked: &Prepared<'_>, item: u32) -> bool {
        !asked.excluded(item)
    }
}
