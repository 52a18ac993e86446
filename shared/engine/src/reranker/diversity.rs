//! No window of neighbours is full of one creator or one category.

use std::cell::RefCell;
use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::{Reranker, lead};
use crate::index::format::NONE;
use crate::pipeline::{Candidate, Prepared};

/// Candidates looked at for one place before the best one is taken whatever the caps say.
const LOOKED_AT_MAX: usize = 200;

thread_local! {
    static HALL: RefCell<Hall> = RefCell::default();
}

/// Fills each place with the best candidate left that keeps both caps in the window that ends
/// there; where none does, the best one left takes the place.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiversityReranker;

impl Reranker for DiversityReranker {
    fn name(&self) -> &'static str {
        "rerank.diversity"
    }

    fn rerank(&self, asked: &Prepared<'_>, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        let places = asked.query.wanted.min(candidates.len());
        let reach = candidates.len().min(places + LOOKED_AT_MAX);
        HALL.with_borrow_mut(|hall| {
            hall.seat(asked, candidates.get(..reach).unwrap_or_default());
            let window = (asked.scene.diversity_window as usize).max(1) - 1;
            let order = hall.order(places, window);
            lead(&mut candidates, order);
        });
        candidates
    }
}

/// A creator or a category of somebody in the hall.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// Allowed in a window.
    most: usize,
    /// In the window that ends before the next place.
    here: usize,
}

/// Candidates, best first, and the groups they belong to. Reused from slate to slate.
///
/// Sets of seats are bits, so that who may not take a place for the sake of a full group is crossed
/// out 64 at a time.
#[derive(Debug, Default)]
struct Hall {
    seats: usize,
    numbers: FxHashMap<u64, usize>,
    groups: Vec<Group>,
    /// The seats of each group, a row of words per group.
    members: Vec<u64>,
    /// The groups of each seat, one seat behind the other, and where each seat's end.
    of_seats: Vec<usize>,
    ends: Vec<usize>,
    /// Who has no place yet.
    left: Vec<u64>,
    /// Groups that reached their cap.
    full: Vec<usize>,
    window: VecDeque<usize>,
    order: Vec<usize>,
}

impl Hall {
    /// Empties the hall and lets the candidates in.
    fn seat(&mut self, asked: &Prepared<'_>, candidates: &[Candidate]) {
        self.seats = candidates.len();
        self.numbers.clear();
        self.groups.clear();
        self.members.clear();
        self.of_seats.clear();
        self.ends.clear();
        let most = |cap: u32| cap.max(1) as usize;
        let of_creator = most(asked.scene.creator_max);
        let of_category = most(asked.scene.category_max);
        let categories = asked.index.item_categories();
        for (seat, candidate) in candidates.iter().enumerate() {
            let row = asked.items.get(candidate.item as usize);
            let creator = row.map_or(NONE, |row| row.creator.get());
            if creator != NONE {
                self.join(seat, u64::from(creator) | 1 << 32, of_creator);
            }
            for category in categories.row(candidate.item) {
                self.join(seat, u64::from(category.get()), of_category);
            }
            self.ends.push(self.of_seats.len());
        }
        self.left.clear();
        self.left.resize(self.words(), u64::MAX);
        self.full.clear();
        self.window.clear();
        self.order.clear();
    }

    /// Makes a seat a member of a group.
    fn join(&mut self, seat: usize, name: u64, most: usize) {
        let next = self.groups.len();
        let number = *self.numbers.entry(name).or_insert(next);
        let words = self.words();
        if number == next {
            self.groups.push(Group { most, here: 0 });
            self.members.resize((next + 1) * words, 0);
        }
        if let Some(word) = self.members.get_mut(number * words + seat / 64) {
            *word |= 1 << (seat % 64);
        }
        self.of_seats.push(number);
    }

    /// Who takes the places, in their order; a window looks back at `length` of them.
    fn order(&mut self, places: usize, length: usize) -> &[usize] {
        for place in 0..places {
            let looked_at = self.seats.min(place + LOOKED_AT_MAX);
            let fits = self.first(looked_at, |word| !self.in_full(word));
            let Some(seat) = fits.or_else(|| self.first(looked_at, |_| u64::MAX)) else {
                break;
            };
            self.take(seat);
            if self.window.len() > length
                && let Some(oldest) = self.window.pop_front()
            {
                self.leave_window(oldest);
            }
        }
        &self.order
    }

    /// The first of the first `seats` that has no place and that `fits` marks, word by word.
    fn first(&self, seats: usize, fits: impl Fn(usize) -> u64) -> Option<usize> {
        let mut words = self.left.iter().take(seats.div_ceil(64)).enumerate();
        let found = words.find_map(|(word, left)| {
            let open = if *left == 0 { 0 } else { left & fits(word) };
            (open != 0).then(|| word * 64 + open.trailing_zeros() as usize)
        });
        found.filter(|seat| *seat < seats)
    }

    /// The members of full groups, one word of them.
    fn in_full(&self, word: usize) -> u64 {
        let words = self.words();
        let members = self.full.iter().map(|group| {
            let members = self.members.get(group * words + word);
            members.copied().unwrap_or(0)
        });
        members.fold(0, |all, members| all | members)
    }

    fn take(&mut self, seat: usize) {
        if let Some(left) = self.left.get_mut(seat / 64) {
            *left &= !(1 << (seat % 64));
        }
        self.order.push(seat);
        self.window.push_back(seat);
        for at in self.groups_of(seat) {
            let Some(number) = self.of_seats.get(at).copied() else {
                continue;
            };
            if let Some(group) = self.groups.get_mut(number) {
                group.here += 1;
                if group.here == group.most {
                    self.full.push(number);
                }
            }
        }
    }

    fn leave_window(&mut self, seat: usize) {
        for at in self.groups_of(seat) {
            let Some(number) = self.of_seats.get(at).copied() else {
                continue;
            };
            if let Some(group) = self.groups.get_mut(number) {
                if group.here == group.most {
                    self.full.retain(|full| *full != number);
                }
                group.here -= 1;
            }
        }
    }

    /// Where the groups of a seat stand in `of_seats`.
    fn groups_of(&self, seat: usize) -> std::ops::Range<usize> {
        let end = |seat: usize| self.ends.get(seat).copied().unwrap_or(0);
        seat.checked_sub(1).map_or(0, end)..end(seat)
    }

    /// Words of a set of seats.
    fn words(&self) -> usize {
        self.seats.div_ceil(64)
    }
}
