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
        let categories = asked.index.item_categories();
        let seat = |candidate: &Candidate| Seat {
            creator: asked
                .items
                .get(candidate.item as usize)
                .map_or(NONE, |r| r.creator.get()),
            categories: categories.row(candidate.item),
            taken: false,
        };
        let mut seats: Vec<Seat<'_>> = candidates.iter().map(seat).collect();
        let caps = Caps {
            creator: asked.scene.creator_max as usize,
            category: asked.scene.category_max as usize,
        };
        let window = (asked.scene.diversity_window as usize).max(1) - 1;
        let mut order: Vec<usize> = Vec::with_capacity(seats.len());
        let mut before: VecDeque<Seat<'_>> = VecDeque::with_capacity(window + 1);
        let mut first = 0;
        while order.len() < asked.query.wanted.min(seats.len()) {
            while seats.get(first).is_some_and(|seat| seat.taken) {
                first += 1;
            }
            let ahead = seats
                .iter()
                .enumerate()
                .skip(first)
                .filter(|(_, seat)| !seat.taken);
            let fits = ahead
                .take(LOOKED_AT_MAX)
                .find(|(_, seat)| caps.allow(&before, seat));
            let place = fits.map_or(first, |(place, _)| place);
            let Some(seat) = seats.get_mut(place) else {
                break;
            };
            seat.taken = true;
            order.push(place);
            before.push_back(*seat);
            if before.len() > window {
                before.pop_front();
            }
        }
        let rest = seats
            .iter()
            .enumerate()
            .filter(|(_, seat)| !seat.taken)
            .map(|(place, _)| place);
        order.extend(rest);
        order
            .iter()
            .filter_map(|place| candidates.get(*place).copied())
            .collect()
    }
}

/// What the caps look at.
#[derive(Debug, Clone, Copy)]
struct Seat<'a> {
    creator: u32,
    categories: &'a [U32],
    taken: bool,
}

struct Caps {
    creator: usize,
    category: usize,
}

impl Caps {
    fn allow(&self, before: &VecDeque<Seat<'_>>, next: &Seat<'_>) -> bool {
        let creator = next.creator;
        let same = || {
            before
                .iter()
                .filter(|other| other.creator == creator)
                .count()
        };
        if creator != NONE && same() >= self.creator {
            return false;
        }
        next.categories.iter().all(|category| {
            let has = |other: &&Seat<'_>| other.categories.contains(category);
            before.iter().filter(has).count() < self.category
        })
    }
}
