//! Slates that somebody is in the middle of, so that the next page is cut from the same one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use engine::Slate;

/// Slates in each of the two halves; about 30 KB each, mostly shared with the local tier.
const HALF_MAX: usize = 1_024;

/// Keeps the last 1,024 slates that were read on, and up to as many before them.
///
/// Old halves are dropped whole: an entry costs one insertion and no bookkeeping.
#[derive(Debug, Default)]
pub(crate) struct Reading(Mutex<Halves>);

type Half = HashMap<(u128, u64), Arc<Slate>>;

#[derive(Debug, Default)]
struct Halves {
    young: Half,
    old: Half,
}

impl Reading {
    /// Keeps a slate under its key and the hash of its id.
    pub fn keep(&self, slate_key: u128, slate_hash: u64, slate: &Arc<Slate>) {
        let mut halves = self.lock();
        if halves.young.len() >= HALF_MAX {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves
            .young
            .insert((slate_key, slate_hash), Arc::clone(slate));
    }

    /// Finds it again.
    pub fn find(&self, slate_key: u128, slate_hash: u64) -> Option<Arc<Slate>> {
        let halves = self.lock();
        let key = (slate_key, slate_hash);
        halves
            .young
            .get(&key)
            .or_else(|| halves.old.get(&key))
            .cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use engine::Rung;

    use super::*;

    #[test]
    fn the_newest_are_kept_and_there_is_a_bound() {
        let slate = Arc::new(Slate {
            slate_id: "s".into(),
            generation: "g".into(),
            user_version: 0,
            rung: Rung::Personal,
            cohort: None,
            degraded: Vec::new(),
            items: Vec::new(),
        });
        let reading = Reading::default();
        let all = 5 * HALF_MAX as u64;
        for n in 0..all {
            reading.keep(1, n, &slate);
        }
        let kept = (0..all).filter(|n| reading.find(1, *n).is_some()).count();
        assert!(kept <= 2 * HALF_MAX, "{kept}");
        assert!((all - HALF_MAX as u64..all).all(|n| reading.find(1, n).is_some()));
        assert!(
            reading.find(2, all - 1).is_none(),
            "another question's slate"
        );
    }
}
