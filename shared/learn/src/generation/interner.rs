//! Numbers for texts.

use std::hash::BuildHasher;

use engine::index::format::NONE;
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use smol_str::SmolStr;

use super::BuildError;

/// Numbers texts in the order they come.
#[derive(Debug, Default, Clone)]
pub(super) struct Interner {
    numbers: HashTable<Named>,
    texts: Vec<SmolStr>,
    /// What was asked for last.
    last: Option<Named>,
}

/// A text's number beside how it begins, so that most texts are found without being looked up.
#[derive(Debug, Clone, Copy)]
struct Named {
    beginning: Beginning,
    number: u32,
}

impl Named {
    #[inline]
    fn is(&self, beginning: Beginning, text: &str, texts: &[SmolStr]) -> bool {
        self.beginning == beginning && (beginning.is_all() || text_of(texts, self.number) == text)
    }
}

impl Interner {
    pub(super) fn number(&mut self, text: &str) -> Result<u32, BuildError> {
        let beginning = Beginning::of(text);
        let is = |own: &Named| own.is(beginning, text, &self.texts);
        // Events of one user and one market come in runs.
        if let Some(last) = self.last.filter(is) {
            return Ok(last.number);
        }
        let hash = beginning.hash(text);
        let known = self.numbers.find(hash, is).copied();
        let named = match known {
            Some(named) => named,
            None => self.add(hash, beginning, text)?,
        };
        self.last = Some(named);
        Ok(named.number)
    }

    /// The number of a text that has one.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        let beginning = Beginning::of(text);
        let is = |own: &Named| own.is(beginning, text, &self.texts);
        let known = self.numbers.find(beginning.hash(text), is);
        known.map(|named| named.number)
    }

    fn add(&mut self, hash: u64, beginning: Beginning, text: &str) -> Result<Named, BuildError> {
        let number = u32::try_from(self.texts.len()).ok().filter(|n| *n < NONE);
        let number = number.ok_or(BuildError::TooMany("distinct texts"))?;
        let named = Named { beginning, number };
        self.texts.push(SmolStr::new(text));
        let hash_of = |named: &Named| named.beginning.hash(text_of(&self.texts, named.number));
        self.numbers.insert_unique(hash, named, hash_of);
        Ok(named)
    }

    /// Texts in the order they came.
    pub(super) fn texts(&self) -> &[SmolStr] {
        &self.texts
    }

    /// Texts ascending, and the new number of every old one.
    pub(super) fn sorted(&self) -> (Vec<SmolStr>, Vec<u32>) {
        let beginnings = self.texts.iter().map(|text| Beginning::of(text));
        let mut order: Vec<(Beginning, u32)> = beginnings.zip(0..).collect();
        order.sort_unstable_by(|a, b| {
            let by_text = || text_of(&self.texts, a.1).cmp(text_of(&self.texts, b.1));
            a.0.cmp(&b.0).then_with(by_text)
        });
        let mut renumbered = vec![NONE; order.len()];
        for (new, (_, old)) in (0u32..).zip(&order) {
            if let Some(slot) = renumbered.get_mut(*old as usize) {
                *slot = new;
            }
        }
        let texts = order
            .iter()
            .filter_map(|(_, n)| self.texts.get(*n as usize).cloned())
            .collect();
        (texts, renumbered)
    }
}

fn text_of(texts: &[SmolStr], number: u32) -> &str {
    texts.get(number as usize).map_or("", SmolStr::as_str)
}

/// The first bytes of a text, filled up with zeros, sorting as they do; the last byte says how many
/// there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Beginning([u64; 2]);

impl Beginning {
    const LONGEST: usize = 15;

    fn of(text: &str) -> Self {
        let own = text
            .as_bytes()
            .get(..Self::LONGEST)
            .unwrap_or(text.as_bytes());
        // Copying a few bytes and reading them as a number would wait for the copy.
        let (high, low) = match (own.first_chunk(), own.last_chunk()) {
            (Some(first), Some(last)) => {
                let twice = 8 * (2 * size_of::<u64>() - own.len()) as u32;
                let rest = u64::from_be_bytes(*last).checked_shl(twice);
                (u64::from_be_bytes(*first), rest.unwrap_or(0))
            }
            _ => {
                let all = own.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
                let free = 8 * (size_of::<u64>() - own.len()) as u32;
                (all.checked_shl(free).unwrap_or(0), 0)
            }
        };
        Self([high, low | text.len().min(Self::LONGEST + 1) as u64])
    }

    /// Whether there is nothing behind it.
    fn is_all(self) -> bool {
        let Self([_, low]) = self;
        low & 0xff <= Self::LONGEST as u64
    }

    fn hash(self, text: &str) -> u64 {
        if self.is_all() {
            FxBuildHasher.hash_one(self.0)
        } else {
            FxBuildHasher.hash_one(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few letters, one of them the byte that fills up, so that texts differ late and in length alone.
        #[test]
        fn equal_texts_have_one_number_and_order_is_that_of_the_texts(
            texts in vec("(a{7}|a{13}|é{3})?[\\x00ab]{0,3}(b{5})?", 0..300),
        ) {
            let (mut interner, mut numbers) = (Interner::default(), BTreeMap::new());
            for text in &texts {
                let next = numbers.len() as u32;
                let expected = *numbers.entry(text.as_str()).or_insert(next);
                prop_assert_eq!(interner.find(text), (expected != next).then_some(expected));
                prop_assert_eq!(interner.number(text).unwrap(), expected);
                prop_assert_eq!(interner.find(text), Some(expected));
            }
            let (sorted, renumbered) = interner.sorted();
            prop_assert!(sorted.iter().eq(numbers.keys()));
            for (new, old) in (0u32..).zip(numbers.values()) {
                prop_assert_eq!(renumbered[*old as usize], new);
            }
        }
    }
}
