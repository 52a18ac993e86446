//! Slates that somebody is in the middle of, so that the next page is cut from the same one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use engine::Slate;

/// Slates in each of the two halves; about 30 KB each, mostly shared with the local tier.
const HALF_MAX: usize = 1_024;

/// Keeps the last 1,024 slates that were read on, and up to as many before them.
///
/// Old halves are dropped whole: an entry costs one insertion and no bookkeeping.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    halves: Mutex<Halves>,
    /// How often a young half has become the old one.
    turns: AtomicU64,
}

/// Remembers in which turn a slate was kept; 0 for never.
#[derive(Debug, Default)]
pub(crate) struct Kept(AtomicU64);

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
            self.turns.fetch_add(1, Ordering::Relaxed);
        }
        halves
            .young
            .insert((slate_key, slate_hash), Arc::clone(slate));
    }

    /// Keeps what `slate` answers unless it lies in the young half already: then nobody waits for
    /// anybody.
    pub fn keep_on<'s>(&self, kept: &Kept, slate: impl FnOnce() -> (u128, u64, &'s Arc<Slate>)) {
        if kept.0.load(Ordering::Relaxed) == self.turns.load(Ordering::Relaxed) + 1 {
            return;
        }
        let (slate_key, slate_hash, slate) = slate();
        self.keep(slate_key, slate_hash, slate);
        // Should another turn come between, the slate lies in the old half, and is kept a turn less.
        let turn = self.turns.load(Ordering::Relaxed) + 1;
        kept.0.store(turn, Ordering::Relaxed);
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
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use engine::Rung;

    use super::*;

    fn slate() -> Arc<Slate> {
        Arc::new(Slate {
            slate_id: "s".into(),
            generation: "g".into(),
            user_version: 0,
            rung: Rung::Personal,
            cohort: None,
            degraded: Vec::new(),
            items: Arc::default(),
        })
    }

    #[test]
    fn what_is_read_on_all_the_time_is_never_forgotten() {
        let (hot, others, reading) = (slate(), slate(), Reading::default());
        let kept = Kept::default();
        let mut asked = 0;
        for n in 0..5 * HALF_MAX as u64 {
            reading.keep_on(&kept, || {
                asked += 1;
                (1, u64::MAX, &hot)
            });
            assert!(reading.find(1, u64::MAX).is_some(), "{n}");
            reading.keep(2, n, &others);
        }
        assert!((5..=6).contains(&asked), "once a turn: {asked}");
    }

    #[test]
    fn the_newest_are_kept_and_there_is_a_bound() {
        let slate = slate();
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
