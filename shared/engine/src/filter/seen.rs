//! Met before.

use super::Filter;
use crate::pipeline::Prepared;

/// Drops what the user met before.
#[derive(Debug, Clone, Copy, Default)]
pub struct SeenFilter;

impl Filter for SeenFilter {
    fn name(&self) -> &'static str {
        "filter.seen"
    }

    fn keeps(&self, asked: &Prepared<'_>, item: u32) -> bool {
        !asked.seen(item)
    }
}
