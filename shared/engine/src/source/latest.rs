//! What is new.

use async_trait::async_trait;

use super::{Proposals, Source};
use crate::ReasonKind;
use crate::pipeline::Prepared;

/// Proposes the newest videos, the very newest first.
#[derive(Debug, Clone, Copy, Default)]
pub struct LatestSource;

#[async_trait]
impl Source for LatestSource {
    fn name(&self) -> &'static str {
        "latest"
    }

    fn reason(&self) -> ReasonKind {
        ReasonKind::Latest
    }

    async fn propose(&self, asked: &Prepared<'_>) -> Proposals {
        // Only the order is known; 1/(1 + rank/32) falls slowly and never reaches 0.
        let list = asked.index.latest().iter().enumerate();
        let list = list.map(|(rank, item)| (item.get(), 1.0 / (1.0 + rank as f32 / 32.0)));
        Proposals::from_list(asked, list)
    }
}
