//! Hidden in the catalogue, not for this market, not now.

use super::Filter;
use crate::pipeline::Prepared;

/// Drops what the catalogue does not allow here and now.
#[derive(Debug, Clone, Copy, Default)]
pub struct AvailableFilter;

impl Filter for AvailableFilter {
    fn name(&self) -> &'static str {
        "filter.available"
    }

    fn keeps(&self, asked: &Prepared<'_>, item: u32) -> bool {
        let row = asked.items.get(item as usize);
        row.is_some_and(|row| {
            asked
                .index
                .row_visible(row, asked.market, asked.query.now_ms)
        })
    }
}
