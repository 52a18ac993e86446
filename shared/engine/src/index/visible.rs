//! Whether a video may be shown.

use super::Index;
use super::format::{self, ItemRow};

impl Index {
    /// Whether a video may be shown in a market at a time, as far as the generation knows.
    ///
    /// Who comes from an unknown market (empty text, or one that no video names) sees only what
    /// may be shown everywhere.
    #[must_use]
    pub fn visible(&self, item: u32, market: &str, now_ms: i64) -> bool {
        let market = self.markets().find(market);
        self.item(item)
            .is_some_and(|row| self.row_visible(row, market, now_ms))
    }

    /// [`Index::visible`] for a row and a market's number.
    #[inline]
    #[must_use]
    pub fn row_visible(&self, row: &ItemRow, market: Option<u32>, now_ms: i64) -> bool {
        let open = row.flags.get() & format::flags::HIDDEN == 0
            && row.from_ms.get() <= now_ms
            && now_ms < row.until_ms.get();
        open && (row.market_set.get() == 0
            || market.is_some_and(|market| {
                self.market_sets()
                    .row(row.market_set.get())
                    .iter()
                    .any(|m| m.get() == market)
            }))
    }
}
