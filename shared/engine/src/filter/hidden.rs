//! Hidden by the user, or in the catalogue since the generation was built.

use super::Filter;
use crate::pipeline::Prepared;

/// Drops videos and creators that the user hid.
#[derive(Debug, Clone, Copy, Default)]
pub struct HiddenFilter;

impl Filter for HiddenFilter {
    fn name(&self) -> &'static str {
        "filter.hidden"
    }

    fn keeps(&self, asked: &Prepared<'_>, item: u32) -> bool {
        !asked.hidden_by_user(item)
    }
}

/// Drops what was hidden or deleted since the generation was built.
#[derive(Debug, Clone, Copy, Default)]
pub struct OverlayFilter;

impl Filter for OverlayFilter {
    fn name(&self) -> &'static str {
        "filter.overlay"
    }

    fn keeps(&self, asked: &Prepared<'_>, item: u32) -> bool {
        let hidden = &asked.query.hidden;
        hidden.is_empty() || !hidden.contains(asked.index.video_id(item))
    }
}
