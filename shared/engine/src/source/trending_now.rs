//! What the market watches now, refreshed between generations by what happens this hour.

use std::sync::Arc;

use async_trait::async_trait;
use rustc_hash::{FxHashMap, FxHashSet};

use super::trending::TrendingSource;
use super::{Proposal, Proposals, Source};
use crate::ReasonKind;
use crate::index::format::NONE;
use crate::pipeline::Prepared;
use crate::realtime::{Snapshot, Table};

/// Videos of the realtime table that are looked at, hottest first.
pub const HOT_LOOKED_AT_MAX: usize = 200;
/// At this heat a video weighs as much as the first of the night's list, at most twice as much: a few
/// viewers more or less move nothing, hundreds lift a video to the top whatever the night thought of it.
pub const HEAT_PAR: f32 = 50.0;

/// [`TrendingSource`] with a table beside it; takes its place in a pipeline.
///
/// What happens now is not told apart by market: a video that explodes in one is proposed in every
/// market where it may be shown.
#[derive(Debug, Clone, Default)]
pub struct TrendingNowSource {
    table: Arc<Table>,
}

impl TrendingNowSource {
    /// The source that looks at this table.
    #[must_use]
    pub fn new(table: Arc<Table>) -> Self {
        Self { table }
    }
}

#[async_trait]
impl Source for TrendingNowSource {
    fn name(&self) -> &'static str {
        TrendingSource.name()
    }

    fn reason(&self) -> ReasonKind {
        TrendingSource.reason()
    }

    async fn propose(&self, asked: &Prepared<'_>) -> Proposals {
        let night = TrendingSource.propose(asked).await;
        let now = self.table.owned();
        if night.overran || now.trending().is_empty() || !now.belongs_to(asked.index) {
            return night;
        }
        let worth = |item: u32| asked.worth_proposing(item);
        let mut items = lift(night.items, &now, worth);
        items.truncate(asked.scene.candidates_max as usize);
        Proposals {
            items,
            overran: false,
        }
    }
}

/// Adds what happens now, up to 2, to the night's scores, up to 1, and orders anew.
fn lift(mut night: Vec<Proposal>, now: &Snapshot, worth: impl Fn(u32) -> bool) -> Vec<Proposal> {
    let hot = now.trending().iter().take(HOT_LOOKED_AT_MAX);
    let hot: FxHashMap<u32, f32> = hot
        .map(|(item, heat)| (*item, 2.0 * heat / (heat + HEAT_PAR)))
        .collect();
    let top = night.iter().map(|one| one.score).fold(0.0, f32::max);
    let mut met = FxHashSet::default();
    for one in &mut night {
        let of_night = if top > 0.0 { one.score / top } else { 0.0 };
        one.score = of_night + hot.get(&one.item).copied().unwrap_or(0.0);
        met.insert(one.item);
    }
    let new = hot
        .iter()
        .filter(|(item, _)| !met.contains(item) && worth(**item));
    night.extend(new.map(|(item, score)| Proposal {
        item: *item,
        score: *score,
        because: NONE,
    }));
    night.sort_unstable_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| a.item.cmp(&b.item))
    });
    night
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::Row;

    fn proposal(item: u32, score: f32) -> Proposal {
        Proposal {
            item,
            score,
            because: NONE,
        }
    }

    fn ids(items: &[Proposal]) -> Vec<u32> {
        items.iter().map(|one| one.item).collect()
    }

    fn snapshot(views: &[(u32, f32)]) -> Snapshot {
        let mut builder = crate::realtime::Builder::of_rows("g", 0, 1_000, 10);
        for (item, views) in views {
            let row = Row {
                long_views: *views,
                ..Row::default()
            };
            assert!(builder.add(*item, 0, row));
        }
        builder.finish()
    }

    #[test]
    fn a_few_viewers_move_nothing_and_hundreds_go_to_the_top() {
        let night = || vec![proposal(1, 9.0), proposal(2, 6.0), proposal(3, 3.0)];
        let few = lift(night(), &snapshot(&[(7, 1.0), (3, 2.0)]), |_| true);
        assert_eq!(ids(&few), [1, 2, 3, 7]);
        let many = lift(night(), &snapshot(&[(7, 2_000.0), (3, 100.0)]), |_| true);
        assert_eq!(ids(&many), [7, 3, 1, 2]);
        let barred = lift(night(), &snapshot(&[(7, 2_000.0)]), |item| item != 7);
        assert_eq!(ids(&barred), [1, 2, 3]);
    }

    #[test]
    fn without_a_nights_list_there_is_what_happens_now() {
        let now = lift(Vec::new(), &snapshot(&[(7, 5.0), (3, 100.0)]), |_| true);
        assert_eq!(ids(&now), [3, 7]);
    }
}
