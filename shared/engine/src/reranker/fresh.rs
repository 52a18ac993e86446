//! New videos get a bounded share of the places: nobody can like what nobody is shown.

use super::{Reranker, lead};
use crate::pipeline::{Candidate, Prepared};

const HOUR_MS: i64 = 3_600_000;

/// Moves the best new candidates up, until every stretch of `1 / fresh_share` places has one.
///
/// A stretch that has one by its own merit gets no other. Without new candidates nothing changes,
/// and no more than the share is ever moved.
#[derive(Debug, Clone, Copy, Default)]
pub struct FreshReranker;

impl Reranker for FreshReranker {
    fn name(&self) -> &'static str {
        "rerank.fresh"
    }

    fn rerank(&self, asked: &Prepared<'_>, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        let share = asked.scene.fresh_share;
        if share <= 0.0 {
            return candidates;
        }
        let stretch = (1.0 / share).ceil().max(2.0) as usize;
        let since_ms = asked
            .query
            .now_ms
            .saturating_sub(i64::from(asked.scene.fresh_hours).saturating_mul(HOUR_MS));
        let is_new = |(_, candidate): &(usize, &Candidate)| {
            let row = asked.items.get(candidate.item as usize);
            row.is_some_and(|row| (since_ms..=asked.query.now_ms).contains(&row.published_ms.get()))
        };
        let wanted = asked.query.wanted.min(candidates.len());
        let ranked = candidates.iter().enumerate();
        let mut order = Vec::with_capacity(wanted);
        let mut new = ranked.clone().filter(is_new).peekable();
        let mut old = ranked.filter(|one| !is_new(one)).peekable();
        let mut waited = 0;
        // The two kinds keep their own order; what merges them is the rank, or the wait. Behind
        // what is wanted it is the rank alone.
        while order.len() < wanted {
            let due = waited + 1 >= stretch;
            let take_new = match (new.peek(), old.peek()) {
                (Some((new, _)), Some((old, _))) => due || new < old,
                (new, _) => new.is_some(),
            };
            let next = if take_new { new.next() } else { old.next() };
            let Some((place, _)) = next else {
                break;
            };
            waited = if take_new { 0 } else { waited + 1 };
            order.push(place);
        }
        lead(&mut candidates, &order);
        candidates
    }
}
