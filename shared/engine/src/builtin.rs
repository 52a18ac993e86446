//! The last rung: an answer that needs nobody.

use smol_str::SmolStr;

use crate::slate::SLATE_ITEMS_MAX;
use crate::{Index, Item, Reason, ReasonKind, Rung, Slate, VideoId};

/// What ships inside the binary, best first: shown while there is no index at all. These are the
/// first of the demo catalogue; a deployment brings its own list.
#[must_use]
pub fn packaged() -> Vec<VideoId> {
    listed(include_str!("builtin.txt"))
}

/// The videos of a list with one id a line, best first, at most as many as a slate holds. Empty
/// lines, comments behind `#` and what is no id are left out.
#[must_use]
pub fn listed(text: &str) -> Vec<VideoId> {
    let ids = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let ids = ids.filter_map(|id| VideoId::parse(id).ok());
    ids.take(SLATE_ITEMS_MAX).collect()
}

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
        items: items.into(),
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_page_of_distinct_videos_ships_inside_the_binary() {
        let packaged = packaged();
        let distinct: HashSet<_> = packaged.iter().collect();
        assert!(packaged.len() >= 50 && distinct.len() == packaged.len());
    }

    #[test]
    fn a_list_is_read_line_by_line_and_bounded() {
        let ids: Vec<_> = listed("# best first\nv2\n\n  v1 # liked\nno id!\n")
            .into_iter()
            .collect();
        assert_eq!(
            ids.iter().map(VideoId::as_str).collect::<Vec<_>>(),
            ["v2", "v1"]
        );
        let long = (0..10_000).map(|n| format!("v{n}\n")).collect::<String>();
        assert_eq!(listed(&long).len(), SLATE_ITEMS_MAX);
    }
}
