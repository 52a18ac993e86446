//! What the market watches now.

use async_trait::async_trait;
use rustc_hash::FxHashSet;

use super::{Proposals, Source, pairs};
use crate::ReasonKind;
use crate::pipeline::Prepared;

/// Proposes what the viewer's market watches now, or everybody where it has no list of its own;
/// where categories are asked for, behind it what is watched in them.
#[derive(Debug, Clone, Copy, Default)]
pub struct TrendingSource;

#[async_trait]
impl Source for TrendingSource {
    fn name(&self) -> &'static str {
        "trending"
    }

    fn reason(&self) -> ReasonKind {
        ReasonKind::Trending
    }

    async fn propose(&self, asked: &Prepared<'_>) -> Proposals {
        let market = pairs(asked.index.trending(asked.market));
        let Some(categories) = asked.categories() else {
            return Proposals::from_list(asked, market);
        };
        // A list for everybody is cut before a small category has its say, so that has its own.
        let lists = asked.index.category_trending();
        let own = categories.iter().flat_map(|own| pairs(lists.row(*own)));
        let mut met = FxHashSet::default();
        let once = market.chain(own).filter(|(item, _)| met.insert(*item));
        Proposals::from_list(asked, once)
    }
}
