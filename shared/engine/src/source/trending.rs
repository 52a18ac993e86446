//! What the market watches now.

use async_trait::async_trait;

use super::{Proposals, Source, pairs};
use crate::ReasonKind;
use crate::pipeline::Prepared;

/// Proposes what the viewer's market watches now, or everybody where it has no list of its own.
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
        Proposals::from_list(asked, pairs(asked.index.trending(asked.market)))
    }
}
