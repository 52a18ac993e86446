//! How long a cached value is good for, and which of two values wins.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A value stamped further ahead of our clock than this is not believed. Milliseconds.
pub const FUTURE_MAX_MS: i64 = 5_000;
/// How far a life is moved to either side, so that values made together do not expire together.
const JITTER: f64 = 0.1;

/// How long a value is good for, counted from when it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Past this it is answered from, if at all, while it is being refreshed.
    pub soft: Duration,
    /// Past this it is never served as personal.
    pub hard: Duration,
}

/// What a value's age makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// To be served.
    Fresh,
    /// Past its soft life.
    Stale,
    /// Past its hard life, or from the future.
    Dead,
}

impl Life {
    /// Judges an age.
    #[must_use]
    pub fn freshness(self, stored_at_ms: i64, now_ms: i64) -> Freshness {
        if stored_at_ms > now_ms.saturating_add(FUTURE_MAX_MS) {
            return Freshness::Dead;
        }
        let age = Duration::from_millis(age_ms(stored_at_ms, now_ms));
        if age >= self.hard {
            Freshness::Dead
        } else if age >= self.soft {
            Freshness::Stale
        } else {
            Freshness::Fresh
        }
    }

    /// The same life with its soft end moved by up to ±10 % as the key says, so that values made
    /// together do not go stale together; every process moves it the same way. A life without a
    /// stale part stays as it is.
    #[must_use]
    pub fn spread(self, key: u128) -> Self {
        if self.soft >= self.hard {
            return self;
        }
        let soft = jittered(self.soft, key, 0).min(self.hard);
        Self { soft, ..self }
    }
}

/// `max(0, now − stored_at)`: clocks of two machines never make an age negative.
#[must_use]
pub fn age_ms(stored_at_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(stored_at_ms)).unwrap_or(0)
}

/// A span moved by up to ±10 %, the same for the same key and moment.
#[must_use]
pub fn jittered(span: Duration, key: u128, now_ms: i64) -> Duration {
    span.mul_f64(1.0 - JITTER + 2.0 * JITTER * unit(key, now_ms))
}

/// A number in `[0, 1)` that looks random and is the same for the same key and moment.
pub(crate) fn unit(key: u128, now_ms: i64) -> f64 {
    let hash = xxh3_64_with_seed(&key.to_le_bytes(), now_ms.cast_unsigned());
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// Which of two values for one key is newer: user version first, then generation, never time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Rank {
    /// The user version a value was made from; 0 without a user.
    pub user_version: u64,
    /// The numbers in the name of the generation it was made from.
    pub generation: GenerationOrder,
}

/// The first four numbers in a generation's name: `2026-11-21.10` is newer than `2026-11-21.9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GenerationOrder(pub [u64; 4]);

impl GenerationOrder {
    /// Reads the order out of a name. Numbers too large count as the largest.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let mut order = [0; 4];
        let numbers = name
            .split(|c: char| !c.is_ascii_digit())
            .filter(|run| !run.is_empty());
        for (place, run) in order.iter_mut().zip(numbers) {
            *place = run.parse().unwrap_or(u64::MAX);
        }
        Self(order)
    }
}

impl Rank {
    /// The rank of a value made from this user version and generation.
    #[must_use]
    pub fn new(user_version: u64, generation: &str) -> Self {
        Self {
            user_version,
            generation: GenerationOrder::of(generation),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const LIFE: Life = Life {
        soft: Duration::from_secs(2),
        hard: Duration::from_secs(10),
    };

    #[test]
    fn an_age_is_fresh_stale_or_dead() {
        let cases = [
            (0, Freshness::Fresh),
            (1_999, Freshness::Fresh),
            (2_000, Freshness::Stale),
            (9_999, Freshness::Stale),
            (10_000, Freshness::Dead),
            (i64::MAX / 2, Freshness::Dead),
            (-5_000, Freshness::Fresh),
            (-5_001, Freshness::Dead),
        ];
        for (age, expected) in cases {
            assert_eq!(
                LIFE.freshness(1_000_000, 1_000_000 + age),
                expected,
                "age {age} ms"
            );
        }
        assert_eq!(LIFE.freshness(i64::MAX, i64::MIN), Freshness::Dead);
        assert_eq!(LIFE.freshness(i64::MIN, i64::MAX), Freshness::Dead);
    }

    #[test]
    fn expiries_spread_so_that_no_second_sees_more_than_2_percent() {
        let mut seconds: HashMap<u64, usize> = HashMap::new();
        for key in 0..10_000_u128 {
            let life = jittered(Duration::from_secs(600), key, 1_700_000_000_000);
            assert!((540.0..=660.0).contains(&life.as_secs_f64()), "{life:?}");
            *seconds.entry(life.as_secs()).or_default() += 1;
        }
        let most = seconds.values().max().copied().unwrap_or(0);
        assert!(most <= 200, "{most} of 10,000 expire within one second");
        assert!(
            seconds.len() >= 110,
            "only {} seconds are used",
            seconds.len()
        );
    }

    #[test]
    fn generations_are_ordered_by_their_numbers() {
        let ordered = [
            "demo",
            "g1",
            "2026-11-09.2",
            "2026-11-10.1",
            "2026-11-21.9",
            "2026-11-21.10",
        ];
        for pair in ordered.windows(2) {
            let (older, newer) = (GenerationOrder::of(pair[0]), GenerationOrder::of(pair[1]));
            assert!(older < newer, "{pair:?}");
        }
        let huge = "9".repeat(40);
        assert_eq!(GenerationOrder::of(&huge).0[0], u64::MAX);
        assert!(Rank::new(2, "1") > Rank::new(1, "9"));
    }
}
