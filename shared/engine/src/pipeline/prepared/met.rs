//! What the user met before.

use rustc_hash::FxHashSet;

/// Bits of the sketch; a user's 700 videos set less than a tenth of them.
const SKETCH_BITS: u32 = 8_192;
const WORDS: usize = (SKETCH_BITS / u64::BITS) as usize;

/// Videos by dense id, and by the hash under which the user's state remembers them.
///
/// A sketch of the hashes stands before the two sets: most videos were not met, and one bit says so
/// at a fraction of the price.
#[derive(Debug)]
pub(super) struct Met {
    sketch: Box<[u64; WORDS]>,
    items: FxHashSet<u32>,
    hashes: FxHashSet<u32>,
}

impl Default for Met {
    fn default() -> Self {
        Self {
            sketch: Box::new([0; WORDS]),
            items: FxHashSet::default(),
            hashes: FxHashSet::default(),
        }
    }
}

impl Met {
    /// Makes room for so many more videos.
    pub(super) fn reserve(&mut self, items: usize) {
        self.items.reserve(items);
    }

    /// Takes a video with its hash; `false` when it is there already.
    pub(super) fn insert(&mut self, item: u32, hash: u32) -> bool {
        self.mark(hash);
        self.items.insert(item)
    }

    /// Takes what the user's state remembers.
    pub(super) fn extend(&mut self, hashes: &[u32]) {
        hashes.iter().for_each(|hash| self.mark(*hash));
        self.hashes.extend(hashes.iter().copied());
    }

    /// Whether the video was met.
    #[inline]
    pub(super) fn contains(&self, item: u32, hash: u32) -> bool {
        let (word, bit) = place(hash);
        let sketched = self.sketch.get(word).is_some_and(|own| own & bit != 0);
        sketched && (self.items.contains(&item) || self.hashes.contains(&hash))
    }

    /// At most so many videos were met.
    pub(super) fn len_max(&self) -> usize {
        self.items.len() + self.hashes.len()
    }

    fn mark(&mut self, hash: u32) {
        let (word, bit) = place(hash);
        if let Some(own) = self.sketch.get_mut(word) {
            *own |= bit;
        }
    }
}

#[inline]
fn place(hash: u32) -> (usize, u64) {
    let at = hash % SKETCH_BITS;
    ((at / u64::BITS) as usize, 1 << (at % u64::BITS))
}
