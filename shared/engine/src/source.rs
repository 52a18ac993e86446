//! Sources propose candidates: recall.
//!
//! A source is async so that a team's own may be remote; the built-in ones compute on the index,
//! poll the deadline between parts and are ready at once.

pub mod cf;
pub mod cohort;
pub mod content;
pub mod latest;
pub mod popular;
mod tally;
mod top;
pub mod trending;
pub mod trending_now;

use async_trait::async_trait;

use crate::ReasonKind;
use crate::index::format::{NONE, Scored};
use crate::pipeline::Prepared;

/// Most sources in one pipeline.
pub const SOURCES_MAX: usize = 8;

/// Proposes videos for a query.
#[async_trait]
pub trait Source: Send + Sync {
    /// Its name in tuning, answers and metrics.
    fn name(&self) -> &'static str;

    /// Why its videos are shown.
    fn reason(&self) -> ReasonKind;

    /// Proposes at most `candidates_max` videos, in any order, none twice.
    async fn propose(&self, asked: &Prepared<'_>) -> Proposals;
}

/// What a source found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proposals {
    /// The videos.
    pub items: Vec<Proposal>,
    /// The deadline passed before the source was through.
    pub overran: bool,
}

/// One proposed video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// Dense id.
    pub item: u32,
    /// In the source's own scale; higher is better.
    pub score: f32,
    /// The user's own video that spoke most for it, or [`NONE`].
    pub because: u32,
}

impl Proposals {
    /// Nothing, because the deadline passed.
    #[must_use]
    pub fn overrun() -> Self {
        Self {
            items: Vec::new(),
            overran: true,
        }
    }

    /// The first `candidates_max` of an ordered list that are worth proposing.
    fn from_list(asked: &Prepared<'_>, list: impl Iterator<Item = (u32, f32)>) -> Self {
        let mut items = Vec::new();
        for (looked_at, (item, score)) in list.enumerate() {
            if items.len() >= asked.scene.candidates_max as usize || looked_at >= LOOKED_AT_MAX {
                break;
            }
            if asked.worth_proposing(item) {
                items.push(Proposal {
                    item,
                    score,
                    because: NONE,
                });
            }
        }
        Self {
            items,
            overran: false,
        }
    }
}

/// Rows of an ordered list that one source looks at before it gives up; the fill goes further.
const LOOKED_AT_MAX: usize = 20_000;

fn pairs(list: &[Scored]) -> impl Iterator<Item = (u32, f32)> {
    list.iter().map(|row| (row.item.get(), row.score.get()))
}
