//! The tier in this process: bounded in bytes, judged by wall-clock stamps, never failing.
//!
//! The cache's own clock only returns memory. Whether a value may be served is decided by its
//! stamps, because monotonic time stands still while a Lambda environment is frozen.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use engine::Slate;
use moka::Expiry;
use moka::ops::compute::Op;
use moka::sync::Cache;
use smol_str::SmolStr;

use crate::ask::{SlateKey, Who};
use crate::life::{FUTURE_MAX_MS, Freshness, Life, Rank, age_ms, jittered};

/// What one entry costs beside its slate, in bytes: key, stamps and the cache's own bookkeeping.
const ENTRY_BYTES: usize = 256;
/// What one place of a slate costs, in bytes: inlined ids, a list of inlined names.
const ITEM_BYTES: usize = 160;
/// A hot slate for many lives so many times as long, because it is refreshed before it is stale.
pub(crate) const HOT_LIFE: i64 = 2;
/// But no longer than this unless its own life is: what explodes is in it within a minute, with the
/// fifteen seconds that the consumer and the realtime table take to know.
const HOT_LIFE_MAX_MS: i64 = 40_000;
/// Least share of its soft life before whose end a hot value may be refreshed early.
const EARLY_SHARE: f64 = 0.01;
/// So many makings ahead of the end is the earliest that one begins: −ln of the smallest random number
/// but 0, which has 53 bits, is 36.7.
const AHEAD_MAX: f64 = 37.0;

/// What is held for a question.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Its slate.
    Slate(Arc<Slate>),
    /// Nothing is known of the user: the answer is somebody else's.
    Absent(Who),
    /// It could not be made a moment ago: the answer is somebody else's, and says why.
    Below(Who, Arc<[SmolStr]>),
}

/// A held value with what is needed to judge it.
#[derive(Debug)]
pub(crate) struct Held {
    /// What is held.
    pub value: Value,
    /// What it is compared by.
    pub rank: Rank,
    /// When it was made, Unix time in milliseconds.
    pub stored_at_ms: i64,
    /// Counted from `stored_at_ms` (hard) and from the last confirmation (soft).
    pub life: Life,
    /// How long its making took, in milliseconds.
    pub took_ms: u32,
    confirmed_at_ms: AtomicI64,
    refresh_from_ms: AtomicI64,
    early_from_ms: AtomicI64,
}

impl Held {
    /// Holds a value that was made, and last known to be right, at the given times.
    pub fn new(value: Value, rank: Rank, life: Life, stored_at_ms: i64, now_ms: i64) -> Self {
        Self {
            value,
            rank,
            stored_at_ms,
            life,
            took_ms: 0,
            confirmed_at_ms: AtomicI64::new(now_ms),
            refresh_from_ms: AtomicI64::new(i64::MIN),
            early_from_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// The slate, unless the answer is somebody else's.
    pub fn slate(&self) -> Option<&Arc<Slate>> {
        match &self.value {
            Value::Slate(slate) => Some(slate),
            Value::Absent(_) | Value::Below(..) => None,
        }
    }

    /// What time makes of it: soft life from the last confirmation, hard life from its making.
    pub fn freshness(&self, now_ms: i64) -> Freshness {
        self.freshness_of(now_ms, 1)
    }

    /// The same for a value whose soft life is `times` as long, within [`HOT_LIFE_MAX_MS`].
    pub fn freshness_of(&self, now_ms: i64, times: i64) -> Freshness {
        match self.life.freshness(self.stored_at_ms, now_ms) {
            Freshness::Dead => Freshness::Dead,
            Freshness::Fresh | Freshness::Stale if self.soft_left_ms(now_ms, times) > 0 => {
                Freshness::Fresh
            }
            Freshness::Fresh | Freshness::Stale => Freshness::Stale,
        }
    }

    /// Whether a hot value should be refreshed although it is fresh: the likelier, the nearer the
    /// end of its life and the longer its making took, so that of many processes one begins early
    /// enough and few begin together. `unit` is a random number in `[0, 1)`.
    ///
    /// Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention (2015).
    pub fn wants_early(&self, now_ms: i64, times: i64, unit: f64) -> bool {
        let least_ms = self.life.soft.as_secs_f64() * 1_000.0 * EARLY_SHARE;
        let took_ms = f64::from(self.took_ms).max(least_ms);
        let left_ms = self.soft_left_ms(now_ms, times) as f64;
        // Most of its life no number makes it begin, so no logarithm is taken.
        left_ms <= took_ms * AHEAD_MAX && took_ms * -unit.max(f64::MIN_POSITIVE).ln() >= left_ms
    }

    /// What is left of its soft life; none for one that was confirmed in the future.
    fn soft_left_ms(&self, now_ms: i64, times: i64) -> i64 {
        let confirmed_at_ms = self.confirmed_at_ms();
        if confirmed_at_ms > now_ms.saturating_add(FUTURE_MAX_MS) {
            return 0;
        }
        let soft_ms = i64::try_from(self.life.soft.as_millis()).unwrap_or(i64::MAX);
        let longest_ms = soft_ms.max(HOT_LIFE_MAX_MS);
        confirmed_at_ms
            .saturating_add(soft_ms.saturating_mul(times).min(longest_ms))
            .saturating_sub(now_ms)
    }

    /// When it was last known to be right.
    pub fn confirmed_at_ms(&self) -> i64 {
        self.confirmed_at_ms.load(Ordering::Relaxed)
    }

    /// Starts its soft life again: it was compared and is still right.
    pub fn confirm(&self, now_ms: i64) {
        self.confirmed_at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Takes the right to refresh it; nobody else gets it for `pause`.
    pub fn claim_refresh(&self, now_ms: i64, pause: Duration) -> bool {
        claim(&self.refresh_from_ms, now_ms, pause)
    }

    /// Takes the right to refresh it while it is fresh; nobody else gets it for `pause`.
    pub fn claim_early(&self, now_ms: i64, pause: Duration) -> bool {
        claim(&self.early_from_ms, now_ms, pause)
    }

    /// Whether somebody took the right to refresh it a moment ago.
    pub fn refresh_claimed(&self, now_ms: i64, pause: Duration) -> bool {
        let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        let from_ms = self.refresh_from_ms.load(Ordering::Relaxed);
        now_ms < from_ms && from_ms <= now_ms.saturating_add(pause_ms)
    }

    /// How old it is.
    pub fn age_ms(&self, now_ms: i64) -> u64 {
        age_ms(self.stored_at_ms, now_ms)
    }

    fn bytes(&self) -> u32 {
        let items = self.slate().map_or(0, |slate| slate.items.len());
        u32::try_from(ENTRY_BYTES + items * ITEM_BYTES).unwrap_or(u32::MAX)
    }
}

fn claim(from: &AtomicI64, now_ms: i64, pause: Duration) -> bool {
    let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    let claimed = from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |from_ms| {
        // A claim from the future was made before the clock stepped back.
        let claimed = now_ms < from_ms && from_ms <= now_ms.saturating_add(pause_ms);
        (!claimed).then_some(now_ms.saturating_add(pause_ms))
    });
    claimed.is_ok()
}

/// The values of this process. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    cache: Cache<SlateKey, Arc<Held>>,
}

impl Local {
    /// An empty tier of at most `bytes_max`.
    pub fn new(bytes_max: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_: &SlateKey, held: &Arc<Held>| held.bytes())
            .expire_after(HardLife)
            .build();
        Self { cache }
    }

    /// Looks up a value.
    pub fn get(&self, key: SlateKey) -> Option<Arc<Held>> {
        self.cache.get(&key)
    }

    /// Keeps a value unless a newer one is held, which wins; returns the one that is held now.
    pub fn put(&self, key: SlateKey, held: Arc<Held>, now_ms: i64) -> Arc<Held> {
        let ours = Arc::clone(&held);
        let result = self.cache.entry(key).and_compute_with(|current| {
            let newer = current.is_some_and(|entry| {
                let current = entry.value();
                current.rank > held.rank && current.freshness(now_ms) != Freshness::Dead
            });
            if newer { Op::Nop } else { Op::Put(held) }
        });
        result.into_entry().map_or(ours, moka::Entry::into_value)
    }

    /// How many values there are, once the cache has caught up with itself.
    #[cfg(test)]
    pub fn settled(&self) -> (u64, u64) {
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }
}

/// Returns the memory of a value when its hard life, jittered, is over.
struct HardLife;

impl HardLife {
    fn of(key: SlateKey, held: &Held) -> Option<Duration> {
        Some(jittered(held.life.hard, key.0, held.stored_at_ms))
    }
}

impl Expiry<SlateKey, Arc<Held>> for HardLife {
    fn expire_after_create(
        &self,
        key: &SlateKey,
        held: &Arc<Held>,
        _: Instant,
    ) -> Option<Duration> {
        Self::of(*key, held)
    }

    fn expire_after_update(
        &self,
        key: &SlateKey,
        held: &Arc<Held>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Self::of(*key, held)
    }
}

#[cfg(test)]
mod tests {
    use engine::Rung;

    use super::*;

    const NOW: i64 = 1_764_000_000_000;
    const LIFE: Life = Life {
        soft: Duration::from_secs(2),
        hard: Duration::from_secs(60),
    };

    fn slate(items: usize) -> Arc<Slate> {
        let item = engine::Item {
            video_id: engine::VideoId::parse("v").unwrap(),
            score: 0.0,
            sources: Vec::new(),
            propensity: 1.0,
            reason: engine::Reason {
                kind: engine::ReasonKind::Builtin,
                because: Vec::new(),
            },
        };
        Arc::new(Slate {
            slate_id: "s".into(),
            generation: "1".into(),
            user_version: 0,
            rung: Rung::Personal,
            cohort: None,
            degraded: Vec::new(),
            items: vec![item; items].into(),
        })
    }

    fn held(user_version: u64, generation: &str, stored_at_ms: i64) -> Arc<Held> {
        let rank = Rank::new(user_version, generation);
        Arc::new(Held::new(
            Value::Slate(slate(1)),
            rank,
            LIFE,
            stored_at_ms,
            stored_at_ms,
        ))
    }

    #[test]
    fn an_older_value_never_replaces_a_newer_one_that_is_alive() {
        let cases = [
            ("the same", held(5, "2", NOW), NOW, true),
            ("a newer user", held(6, "1", NOW), NOW, true),
            ("a newer generation", held(5, "3", NOW), NOW, true),
            ("an older user", held(4, "3", NOW), NOW, false),
            ("an older generation", held(5, "1", NOW), NOW, false),
            (
                "an older user, but the held one is dead",
                held(4, "1", NOW),
                NOW + 60_000,
                true,
            ),
        ];
        for (what, new, now_ms, replaces) in cases {
            let local = Local::new(1 << 20);
            local.put(SlateKey(1), held(5, "2", NOW), NOW);
            let kept = local.put(SlateKey(1), Arc::clone(&new), now_ms);
            assert_eq!(Arc::ptr_eq(&kept, &new), replaces, "{what}");
            let found = local.get(SlateKey(1)).unwrap();
            assert!(Arc::ptr_eq(&found, &kept), "{what}");
        }
    }

    #[test]
    fn the_tier_is_bounded_in_bytes() {
        let local = Local::new(1 << 20);
        for key in 0..1_000 {
            let value = Value::Slate(slate(200));
            let held = Held::new(value, Rank::default(), LIFE, NOW, NOW);
            local.put(SlateKey(key), Arc::new(held), NOW);
        }
        let (entries, bytes) = local.settled();
        assert!(bytes <= 1 << 20, "{bytes} bytes");
        assert!(
            (20..=32).contains(&entries),
            "{entries} slates of 32 KB in 1 MiB"
        );
    }

    #[test]
    fn a_confirmation_renews_the_soft_life_and_not_the_hard_one() {
        let held = held(1, "1", NOW);
        assert_eq!(held.freshness(NOW + 1_999), Freshness::Fresh);
        assert_eq!(held.freshness(NOW + 2_000), Freshness::Stale);
        held.confirm(NOW + 2_000);
        assert_eq!(held.freshness(NOW + 3_999), Freshness::Fresh);
        held.confirm(NOW + 59_000);
        assert_eq!(held.freshness(NOW + 59_999), Freshness::Fresh);
        assert_eq!(held.freshness(NOW + 60_000), Freshness::Dead);
        assert_eq!(
            held.freshness(NOW - 5_001),
            Freshness::Dead,
            "stored in the future"
        );
    }

    #[test]
    fn a_hot_value_lives_longer_and_is_refreshed_before_it_is_stale() {
        let mut held = Held::new(Value::Slate(slate(1)), Rank::default(), LIFE, NOW, NOW);
        held.took_ms = 50;
        assert_eq!(held.freshness_of(NOW + 3_999, HOT_LIFE), Freshness::Fresh);
        assert_eq!(held.freshness_of(NOW + 4_000, HOT_LIFE), Freshness::Stale);
        // With the chance of e⁻² it begins two makings ahead of the end, never 20 makings ahead.
        let unit = (-2.0_f64).exp();
        assert!(held.wants_early(NOW + 3_901, HOT_LIFE, unit));
        assert!(!held.wants_early(NOW + 3_899, HOT_LIFE, unit));
        assert!(!held.wants_early(NOW + 3_000, HOT_LIFE, 1e-8));
        assert!(held.wants_early(NOW + 4_000, HOT_LIFE, 0.999_999));
        // A thousand asks over the last tenth of a second: somebody begins, and not at once.
        let first = (0..1_000_i64).find(|step| {
            let unit = crate::life::unit(7, *step);
            held.wants_early(NOW + 3_700 + step * 300 / 1_000, HOT_LIFE, unit)
        });
        assert!(first.is_some_and(|step| step > 0), "{first:?}");
    }

    #[test]
    fn a_hot_value_does_not_hide_for_long_what_explodes() {
        for (soft_s, hot_s) in [(19, 38), (30, 40), (60, 60)] {
            let soft = Duration::from_secs(soft_s);
            let life = Life {
                soft,
                hard: 10 * soft,
            };
            let held = Held::new(Value::Slate(slate(1)), Rank::default(), life, NOW, NOW);
            assert_eq!(held.soft_left_ms(NOW, HOT_LIFE), hot_s * 1_000, "{soft_s}");
        }
    }

    #[test]
    fn one_refresh_is_claimed_at_a_time() {
        let (held, pause) = (held(1, "1", NOW), Duration::from_secs(1));
        assert!(!held.refresh_claimed(NOW, pause));
        assert!(held.claim_refresh(NOW, pause));
        assert!(held.refresh_claimed(NOW + 999, pause));
        assert!(!held.claim_refresh(NOW + 999, pause));
        assert!(held.claim_refresh(NOW + 1_000, pause));
        assert!(
            held.claim_refresh(NOW - 3_600_000, pause),
            "the clock stepped back"
        );
    }
}
