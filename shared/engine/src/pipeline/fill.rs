//! What tops up a slate that came out shorter than asked.

use rustc_hash::FxHashSet;

use super::candidate::Candidate;
use super::prepared::Prepared;
use crate::index::format::Scored;
use crate::{CategoriesMatch, Recipe};

/// Where a filling video comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// The newest; only where the newest were asked for.
    Latest,
    /// The market's trending list.
    Trending,
    /// The complete list of videos, or of the categories asked for.
    Popular,
}

impl Filling {
    /// The source that would have proposed it.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Trending => "trending",
            Self::Popular => "popular",
        }
    }
}

/// Appends eligible videos until `wanted` are there or no eligible one is left.
///
/// Trending first, then the list that holds every video (or every video of the categories), so a
/// short slate means that eligible videos ran out.
pub fn fill(
    asked: &Prepared<'_>,
    slate: &mut Vec<Candidate>,
    keeps: impl Fn(u32) -> bool,
    number_of: impl Fn(&str) -> usize,
) {
    let mut taken: FxHashSet<u32> = slate.iter().map(|candidate| candidate.item).collect();
    for (filling, item) in lists(asked) {
        if slate.len() >= asked.query.wanted {
            return;
        }
        if keeps(item) && taken.insert(item) {
            let number = number_of(filling.source());
            let mut candidate = Candidate::new(item);
            candidate.sources = 1u16.checked_shl(number as u32).unwrap_or(0);
            candidate.strongest = u8::try_from(number).unwrap_or(u8::MAX);
            slate.push(candidate);
        }
    }
}

fn lists<'a>(asked: &'a Prepared<'_>) -> Box<dyn Iterator<Item = (Filling, u32)> + 'a> {
    let index = asked.index;
    let trending = items(index.trending(asked.market)).map(|item| (Filling::Trending, item));
    let popular = |list: &'a [Scored]| items(list).map(|item| (Filling::Popular, item));
    if asked.query.recipe == Recipe::Latest && asked.categories().is_none() {
        return Box::new(
            index
                .latest()
                .iter()
                .map(|item| (Filling::Latest, item.get())),
        );
    }
    let Some(categories) = asked.categories() else {
        return Box::new(trending.chain(popular(index.popular())));
    };
    let rows = categories
        .iter()
        .map(|category| index.category_lists().row(*category));
    match asked.query.categories_match {
        CategoriesMatch::Any => Box::new(rows.flat_map(popular)),
        CategoriesMatch::All => Box::new(
            rows.min_by_key(|row| row.len())
                .into_iter()
                .flat_map(popular),
        ),
    }
}

fn items(list: &[Scored]) -> impl Iterator<Item = u32> {
    list.iter().map(|row| row.item.get())
}
