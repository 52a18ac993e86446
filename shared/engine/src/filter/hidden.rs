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

    fn keeps_all(&self, asked: &Prepared<'_>) -> bool {
        asked.hides_none()
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

    fn keeps_all(&self, asked: &Prepared<'_>) -> bool {
        asked.query.hidden.is_empty()
    }

    fn keeps(&self, asked: &Prepared<'_>, item: u32) -> bool {
        !asked.query.hidden.contains(asked.index.video_id(item))
    }
}
