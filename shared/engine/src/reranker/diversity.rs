//! No window of neighbours is full of one creator or one category.

use std::collections::VecDeque;

use zerocopy::little_endian::U32;

use super::Reranker;
use crate::index::format::NONE;
use crate::pipeline::{Candidate, Prepared};

/// Candidates looked at for one place before the best one is taken whatever the caps say.
const LOOKED_AT_MAX: usize = 200;

/// Fills each place with the best candidate left that keeps both caps in the window that ends
/// there; where none does, the best one left takes the place.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiversityReranker;

impl Reranker for DiversityReranker {
    fn name(&self) -> &'static str {
        "rerank.diversity"
    }

    fn rerank(&self, asked: &Prepared<'_>, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let window = (asked.scene.diversity_window as usize).max(1);
        let mut slate: Vec<Candidate> = Vec::with_capacity(candidates.len());
        let mut waiting: VecDeque<Candidate> = candidates.into();
        while slate.len() < asked.query.wanted && !waiting.is_empty() {
            let from = slate.len().saturating_sub(window - 1);
            let before = slate.get(from..).unwrap_or_default();
            let ahead = waiting.iter().take(LOOKED_AT_MAX);
            let fits = ahead
                .enumerate()
                .find(|(_, next)| keeps_caps(asked, before, next));
            let place = fits.map_or(0, |(place, _)| place);
            slate.extend(waiting.remove(place));
        }
        slate.extend(waiting);
        slate
    }
}

fn keeps_caps(asked: &Prepared<'_>, before: &[Candidate], next: &Candidate) -> bool {
    let creator = creator(asked, next);
    if creator != NONE {
        let same = before
            .iter()
            .filter(|other| self::creator(asked, other) == creator)
            .count();
        if same >= asked.scene.creator_max as usize {
            return false;
        }
    }
    categories(asked, next).iter().all(|category| {
        let has = |other: &&Candidate| categories(asked, other).contains(category);
        before.iter().filter(has).count() < asked.scene.category_max as usize
    })
}

fn creator(asked: &Prepared<'_>, candidate: &Candidate) -> u32 {
    asked
        .items
        .get(candidate.item as usize)
        .map_or(NONE, |row| row.creator.get())
}

fn categories<'a>(asked: &Prepared<'a>, candidate: &Candidate) -> &'a [U32] {
    asked.index.item_categories().row(candidate.item)
}
