//! Adds up what speaks for each video, and keeps the best of many.

use engine::index::format::Scored;

use super::neighbours::{best, key};

/// Sums by dense id, above 0 where something was added, and which those are.
pub(super) struct Sums {
    sums: Vec<f32>,
    /// The first `count` are the videos that something was added to.
    touched: Vec<u32>,
    count: usize,
}

impl Sums {
    pub(super) fn new(videos: usize) -> Self {
        Self {
            sums: vec![0.0; videos],
            // One more, so that there is always a next one.
            touched: vec![0; videos + 1],
            count: 0,
        }
    }

    /// Adds what is above 0. Whether it is the first time is as good as random, so nothing depends
    /// on a branch.
    #[inline]
    pub(super) fn add(&mut self, item: u32, more: f32) {
        let next = self.touched.get_mut(self.count);
        if let (Some(sum), Some(next)) = (self.sums.get_mut(item as usize), next) {
            *next = item;
            self.count += usize::from(*sum == 0.0);
            *sum += more;
        }
    }

    /// Hands out every sum and forgets it.
    #[inline]
    pub(super) fn drain(&mut self, mut take: impl FnMut(u32, f32)) {
        for item in self.touched.iter().take(self.count) {
            if let Some(sum) = self.sums.get_mut(*item as usize) {
                take(*item, std::mem::take(sum));
            }
        }
        self.count = 0;
    }

    /// The bare sums, for who adds to so many that looking at all of them costs less than noting
    /// which; has to be left as it was found, all 0.
    pub(super) fn all(&mut self) -> &mut [f32] {
        &mut self.sums
    }
}

/// Which videos are marked: so small that it stays next to the processor.
pub(super) struct Marks {
    words: Vec<u64>,
}

impl Marks {
    pub(super) fn new(videos: usize) -> Self {
        Self {
            words: vec![0; videos.div_ceil(64)],
        }
    }

    #[inline]
    pub(super) fn has(&self, item: u32) -> bool {
        let word = self.words.get(item as usize / 64);
        word.is_some_and(|word| word >> (item % 64) & 1 == 1)
    }

    #[inline]
    pub(super) fn set(&mut self, item: u32) {
        if let Some(word) = self.words.get_mut(item as usize / 64) {
            *word |= 1 << (item % 64);
        }
    }

    #[inline]
    pub(super) fn forget(&mut self, item: u32) {
        if let Some(word) = self.words.get_mut(item as usize / 64) {
            *word &= !(1 << (item % 64));
        }
    }

    /// Hands out every marked video, in the order of the ids, and forgets it.
    pub(super) fn drain(&mut self, mut take: impl FnMut(u32)) {
        for (first, word) in (0u32..).step_by(64).zip(&mut self.words) {
            let mut left = std::mem::take(word);
            while left != 0 {
                take(first + left.trailing_zeros());
                left &= left - 1;
            }
        }
    }
}

/// The best of rows that come one by one, in room for a few times as many.
pub(super) struct Best {
    keys: Vec<u64>,
    most: usize,
    /// A row has to be below it.
    limit: u64,
}

impl Best {
    pub(super) fn new(most: usize) -> Self {
        Self {
            keys: Vec::with_capacity(Self::room(most)),
            most,
            limit: u64::MAX,
        }
    }

    fn room(most: usize) -> usize {
        4 * most.max(16)
    }

    /// How many are kept.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Scores below it need not be offered.
    pub(super) fn least(&self) -> f32 {
        if self.limit == u64::MAX {
            0.0
        } else {
            f32::from_bits(!((self.limit >> 32) as u32))
        }
    }

    #[inline]
    pub(super) fn offer(&mut self, item: u32, score: f32) {
        let key = key(item, score);
        if key < self.limit {
            self.keys.push(key);
            if self.keys.len() == Self::room(self.most) {
                self.cut();
            }
        }
    }

    /// Forgets what is not among the best so far, so that [`Best::least`] is as high as it can be.
    #[cold]
    pub(super) fn cut(&mut self) {
        if let Some(last) = self.most.checked_sub(1)
            && self.keys.len() > last
        {
            let (_, limit, _) = self.keys.select_nth_unstable(last);
            self.limit = *limit;
        }
        self.keys.truncate(self.most);
    }

    /// The best, best first, ties by id; ready for others afterwards.
    pub(super) fn take(&mut self) -> Vec<Scored> {
        let rows = best(&mut self.keys, self.most);
        self.keys.clear();
        self.limit = u64::MAX;
        rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_that_come_one_by_one_are_the_best_of_all(
            rows in vec((0u32..500, 0u8..20), 0..600),
            most in 0usize..20,
        ) {
            let mut kept = Best::new(most);
            let mut all = Vec::new();
            for round in 0..2 {
                all = rows.iter().map(|(item, score)| key(*item, f32::from(*score))).collect();
                for (item, score) in &rows {
                    kept.offer(*item, f32::from(*score));
                }
                if round == 0 {
                    kept.take();
                }
            }
            let told = |rows: Vec<Scored>| -> Vec<(u32, u32)> {
                rows.iter().map(|row| (row.item.get(), row.score.get().to_bits())).collect()
            };
            prop_assert_eq!(told(kept.take()), told(best(&mut all, most)));
        }

        #[test]
        fn marks_are_handed_out_once_and_in_order(marked in vec(0u32..200, 0..50)) {
            let mut marks = Marks::new(200);
            for _ in 0..2 {
                marked.iter().for_each(|item| marks.set(*item));
                let mut found = Vec::new();
                marks.drain(|item| found.push(item));
                let expected: std::collections::BTreeSet<u32> = marked.iter().copied().collect();
                prop_assert!(found.iter().eq(&expected));
            }
        }

        #[test]
        fn sums_are_handed_out_once(adds in vec((0u32..40, 1u8..9), 0..200)) {
            let mut sums = Sums::new(30);
            for _ in 0..2 {
                adds.iter().for_each(|(item, more)| sums.add(*item, f32::from(*more)));
                let mut found = std::collections::BTreeMap::new();
                sums.drain(|item, sum| assert_eq!(found.insert(item, sum), None));
                let mut expected = std::collections::BTreeMap::new();
                for (item, more) in adds.iter().filter(|(item, _)| *item < 30) {
                    *expected.entry(*item).or_insert(0.0) += f32::from(*more);
                }
                prop_assert_eq!(found, expected);
            }
        }
    }
}
