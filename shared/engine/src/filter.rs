//! Filters say whether one candidate may be shown. Whatever looks at neighbours is a reranker.

mod available;
mod category;
mod exclude;
mod hidden;
mod seen;

pub use available::AvailableFilter;
pub use category::CategoryFilter;
pub use exclude::ExcludeFilter;
pub use hidden::{HiddenFilter, OverlayFilter};
pub use seen::SeenFilter;

use crate::pipeline::Prepared;

/// Decides about one video at a time.
pub trait Filter: Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Whether it keeps every video of this query; it is not asked about each of them then.
    fn keeps_all(&self, _asked: &Prepared<'_>) -> bool {
        false
    }

    /// Whether the video may be shown.
    fn keeps(&self, asked: &Prepared<'_>, item: u32) -> bool;
}
