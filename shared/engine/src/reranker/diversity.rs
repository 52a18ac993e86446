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
        let mut window = Window::new(asked);
        let seats = candidates.iter().enumerate();
        let mut behind = seats.map(|(place, candidate)| Seat::new(asked, place, candidate));
        let mut ahead: Vec<Seat<'_>> = behind.by_ref().take(LOOKED_AT_MAX).collect();
        let mut order: Vec<usize> = Vec::with_capacity(candidates.len());
        while order.len() < asked.query.wanted && !ahead.is_empty() {
            let fits = ahead.iter().position(|seat| window.has_room(seat));
            let seat = ahead.remove(fits.unwrap_or(0));
            ahead.extend(behind.next());
            order.push(seat.place);
            window.take(seat);
        }
        order.extend(ahead.iter().map(|seat| seat.place));
        order.extend(order.len()..candidates.len());
        order
            .iter()
            .filter_map(|place| candidates.get(*place).copied())
            .collect()
    }
}

/// What the caps look at.
#[derive(Debug, Clone, Copy)]
struct Seat<'a> {
    place: usize,
    creator: u32,
    creator_bit: u64,
    category_bits: u64,
    categories: &'a [U32],
}

impl<'a> Seat<'a> {
    fn new(asked: &Prepared<'a>, place: usize, candidate: &Candidate) -> Self {
        let row = asked.items.get(candidate.item as usize);
        let creator = row.map_or(NONE, |row| row.creator.get());
        let categories = asked.index.item_categories().row(candidate.item);
        Self {
            place,
            creator,
            creator_bit: if creator == NONE { 0 } else { bit(creator) },
            category_bits: categories.iter().fold(0, |bits, own| bits | bit(own.get())),
            categories,
        }
    }
}

/// What stands before the next place, as far as the caps ask.
struct Window<'a> {
    length: usize,
    creator_max: usize,
    category_max: usize,
    creators: Counts,
    categories: Counts,
    /// The bits of those whose cap is reached. One bit stands for several numbers, so a set bit
    /// asks the counts; most seats have none set and ask nothing.
    full_creators: u64,
    full_categories: u64,
    before: VecDeque<Seat<'a>>,
}

impl<'a> Window<'a> {
    fn new(asked: &Prepared<'_>) -> Self {
        let length = (asked.scene.diversity_window as usize).max(1) - 1;
        Self {
            length,
            creator_max: asked.scene.creator_max as usize,
            category_max: asked.scene.category_max as usize,
            creators: Counts::default(),
            categories: Counts::default(),
            full_creators: 0,
            full_categories: 0,
            before: VecDeque::with_capacity(length + 1),
        }
    }

    fn has_room(&self, next: &Seat<'_>) -> bool {
        (next.creator_bit & self.full_creators == 0
            || self.creators.of(next.creator) < self.creator_max)
            && (next.category_bits & self.full_categories == 0
                || next
                    .categories
                    .iter()
                    .all(|own| self.categories.of(own.get()) < self.category_max))
    }

    /// Moves on by one place.
    fn take(&mut self, seat: Seat<'a>) {
        self.before.push_back(seat);
        self.creators.add(seat.creator);
        seat.categories
            .iter()
            .for_each(|own| self.categories.add(own.get()));
        if self.before.len() > self.length
            && let Some(oldest) = self.before.pop_front()
        {
            self.creators.remove(oldest.creator);
            oldest
                .categories
                .iter()
                .for_each(|own| self.categories.remove(own.get()));
        }
        self.full_creators = self.creators.full(self.creator_max);
        self.full_categories = self.categories.full(self.category_max);
    }
}

/// The bit that stands for a number.
fn bit(number: u32) -> u64 {
    1 << (number % u64::BITS)
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

    /// The bits of the numbers that were added `most` times.
    fn full(&self, most: usize) -> u64 {
        let full = self.0.iter().filter(|(_, count)| *count >= most);
        full.fold(0, |bits, (number, _)| bits | bit(*number))
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
