//! A bounded table of small things, one per key.

use crate::sync::{Mutex, MutexGuard, PoisonError};

/// Keys that share one lock and compete for the same places.
pub(crate) const WAYS: usize = 8;

/// Things of type `T` under well-mixed key hashes, in sets of 8 places that share a lock and a
/// context of type `C`. A full set forgets what its owner calls cheapest to forget.
#[derive(Debug)]
pub(crate) struct Keyed<C, T> {
    sets: Vec<Mutex<Set<C, T>>>,
}

/// One set of places.
#[derive(Debug)]
pub(crate) struct Set<C, T> {
    /// What holds for every key of the set.
    pub context: C,
    places: Vec<(u64, T)>,
}

impl<C: Copy, T> Keyed<C, T> {
    /// A table for at least `keys_max` keys, rounded up to a multiple of 8.
    pub fn new(keys_max: usize, context: C) -> Self {
        let set = || {
            Mutex::new(Set {
                context,
                places: Vec::new(),
            })
        };
        let sets = keys_max.div_ceil(WAYS).max(1);
        Self {
            sets: std::iter::repeat_with(set).take(sets).collect(),
        }
    }

    /// The set that a key belongs to; a table always has one.
    pub fn set(&self, key: u64) -> Option<MutexGuard<'_, Set<C, T>>> {
        let set = usize::try_from(key % self.sets.len() as u64).ok()?;
        self.sets.get(set).map(lock)
    }

    /// All sets, one after another.
    pub fn sets(&self) -> impl Iterator<Item = MutexGuard<'_, Set<C, T>>> {
        self.sets.iter().map(lock)
    }

    /// How many keys are kept.
    pub fn keys(&self) -> usize {
        self.sets().map(|set| set.places.len()).sum()
    }

    /// What this table weighs now, counted place by place, in bytes.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let room: usize = self.sets().map(|set| set.places.capacity()).sum();
        self.sets.capacity() * size_of::<Mutex<Set<C, T>>>() + room * size_of::<(u64, T)>()
    }

    /// What a table for `keys_max` keys weighs when every place is taken, in bytes.
    pub fn bytes_max(keys_max: usize) -> usize {
        let set = size_of::<Mutex<Set<C, T>>>() + WAYS * size_of::<(u64, T)>();
        keys_max.div_ceil(WAYS).max(1) * set
    }
}

impl<C: Copy, T> Set<C, T> {
    /// What is kept under a key.
    pub fn held(&mut self, key: u64) -> Option<&mut T> {
        let mut places = self.places.iter_mut();
        places.find(|(held, _)| *held == key).map(|(_, it)| it)
    }

    /// Everything in the set.
    pub fn all(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().map(|(_, it)| it)
    }

    /// Keeps something under a new key; in a full set in place of what is cheapest to forget.
    pub fn keep(&mut self, key: u64, it: T, mut cost: impl FnMut(&T) -> f64) {
        if self.places.len() < WAYS {
            self.places.push((key, it));
            return;
        }
        let cheapest = self
            .places
            .iter_mut()
            .min_by(|(_, a), (_, b)| cost(a).total_cmp(&cost(b)));
        if let Some(place) = cheapest {
            *place = (key, it);
        }
    }
}

fn lock<C, T>(set: &Mutex<Set<C, T>>) -> MutexGuard<'_, Set<C, T>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_set_forgets_what_is_cheapest_and_nothing_else() {
        let table = Keyed::<(), f64>::new(1, ());
        for key in 0..8 {
            table.set(key).unwrap().keep(key, key as f64, |cost| *cost);
        }
        assert_eq!(table.keys(), 8);
        table
            .set(8)
            .unwrap()
            .keep(8, 0.5, |cost| (*cost - 3.0).abs());
        let held = |key| table.set(key).unwrap().held(key).is_some();
        assert!((0..9).all(|key| held(key) == (key != 3)));
        assert_eq!(table.keys(), 8);
    }

    #[test]
    fn a_table_has_room_for_all_the_keys_it_was_made_for() {
        for (keys_max, sets) in [(0, 1), (1, 1), (8, 1), (9, 2), (100_000, 12_500)] {
            let table = Keyed::<(), u8>::new(keys_max, ());
            assert_eq!(table.sets().count(), sets, "{keys_max}");
            let set = size_of::<Mutex<Set<(), u8>>>() + 8 * 16;
            assert_eq!(Keyed::<(), u8>::bytes_max(keys_max), sets * set);
        }
    }
}
