//! Not about what was asked for.

use super::Filter;
use crate::pipeline::Prepared;

/// Drops what is not in the categories asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct CategoryFilter;

impl Filter for CategoryFilter {
    fn name(&self) -> &'static str {
        "filter.category"
    }

    fn keeps_all(&self, asked: &Prepared<'_>) -> bool {
        asked.categories().is_none()
    }

    fn keeps(&self, asked: &Prepared<'_>, item: u32) -> bool {
        asked.in_categories(item)
    }
}
