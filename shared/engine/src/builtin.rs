//! The last rung: an answer that needs nobody.

use smol_str::SmolStr;

use crate::slate::SLATE_ITEMS_MAX;
use crate::{Index, Item, Reason, ReasonKind, Rung, Slate};

/// The most liked videos that may be shown in the market now; empty without an index. Whatever is
/// known to be hidden since is for the caller to say.
#[must_use]
pub fn builtin(
    index: Option<&Index>,
    market: &str,
    now_ms: i64,
    hidden: impl Fn(&str) -> bool,
) -> Slate {
    let items = index
        .map(|index| popular(index, market, now_ms, hidden))
        .unwrap_or_default();
    let generation = index.map(Index::generation).unwrap_or_default();
    let short = items.len() < SLATE_ITEMS_MAX;
    Slate {
        slate_id: SmolStr::new_static("builtin"),
        generation: SmolStr::new(generation),
        user_version: 0,
        rung: Rung::Builtin,
        cohort: None,
        degraded: short
            .then(|| SmolStr::new_static("size_not_enough"))
            .into_iter()
            .collect(),
        items,
    }
}

fn popular(index: &Index, market: &str, now_ms: i64, hidden: impl Fn(&str) -> bool) -> Vec<Item> {
    let market = index.markets().find(market);
    let shown = index.popular().iter().filter_map(|row| {
        let item = row.item.get();
        let open = index.row_visible(index.item(item)?, market, now_ms);
        let open = open && !hidden(index.video_id(item));
        Some(Item {
            video_id: index.typed_video_id(item).filter(|_| open)?,
            score: row.score.get(),
            sources: vec![SmolStr::new_static("builtin")],
            reason: Reason {
                kind: ReasonKind::Builtin,
                because: Vec::new(),
            },
            propensity: 1.0,
        })
    });
    shown.take(SLATE_ITEMS_MAX).collect()
}
