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
        let mut window = Window {
            creator_max: asked.scene.creator_max as usize,
            category_max: asked.scene.category_max as usize,
            creators: Counts::default(),
            categories: Counts::default(),
        };
        let length = (asked.scene.diversity_window as usize).max(1) - 1;
        let mut order: Vec<usize> = Vec::with_capacity(seats.len());
        let mut before: VecDeque<Seat<'_>> = VecDeque::with_capacity(length + 1);
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
                .find(|(_, seat)| window.has_room(seat));
            let place = fits.map_or(first, |(place, _)| place);
            let Some(seat) = seats.get_mut(place) else {
                break;
            };
            seat.taken = true;
            order.push(place);
            before.push_back(*seat);
            window.add(seat);
            if before.len() > length
                && let Some(oldest) = before.pop_front()
            {
                window.remove(&oldest);
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

/// What stands before the next place, as far as the caps ask.
struct Window {
    creator_max: usize,
    category_max: usize,
    creators: Counts,
    categories: Counts,
}

impl Window {
    fn has_room(&self, next: &Seat<'_>) -> bool {
        let creator = next.creator == NONE || self.creators.of(next.creator) < self.creator_max;
        let has_room = |category: &U32| self.categories.of(category.get()) < self.category_max;
        creator && next.categories.iter().all(has_room)
    }

    fn add(&mut self, seat: &Seat<'_>) {
        self.creators.add(seat.creator);
        let categories = seat.categories.iter();
        categories.for_each(|category| self.categories.add(category.get()));
    }

    fn remove(&mut self, seat: &Seat<'_>) {
        self.creators.remove(seat.creator);
        let categories = seat.categories.iter();
        categories.for_each(|category| self.categories.remove(category.get()));
    }
}

/// How often a number was added. A window holds few, and a short list is searched faster than a
/// table.
#[derive(Default)]
struct Counts(Vec<(u32, usize)>);

impl Counts {
    fn of(&self, number: u32) -> usize {
        let own = self.0.iter().find(|(own, _)| *own == number);
        own.map_or(0, |(_, count)| *count)
    }

    fn add(&mut self, number: u32) {
        match self.0.iter_mut().find(|(own, _)| *own == number) {
            Some((_, count)) => *count += 1,
            None => self.0.push((number, 1)),
        }
    }

    fn remove(&mut self, number: u32) {
        let place = self.0.iter().position(|(own, _)| *own == number);
        let Some(place) = place else { return };
        if let Some((_, count)) = self.0.get_mut(place) {
            *count -= 1;
            if *count == 0 {
                self.0.swap_remove(place);
            }
        }
    }
}
