//! What many liked for long.

use async_trait::async_trait;

use super::{Proposals, Source, pairs};
use crate::ReasonKind;
use crate::pipeline::Prepared;

/// Proposes what most people liked over all the time that was learned from.
#[derive(Debug, Clone, Copy, Default)]
pub struct PopularSource;

#[async_trait]
impl Source for PopularSource {
    fn name(&self) -> &'static str {
        "popular"
    }

    fn reason(&self) -> ReasonKind {
        ReasonKind::Popular
    }

    async fn propose(&self, asked: &Prepared<'_>) -> Proposals {
        Proposals::from_list(asked, pairs(asked.index.popular()))
    }
}
