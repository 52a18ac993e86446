//! How long slates live, and what is said about them.

use std::time::Duration;

use metrics::Counter;
use ops::metric::TIER_READS;
use smol_str::{SmolStr, format_smolstr};

use super::{DEGRADED_LIFE, SESSION_LIFE, TierOutcome};
use crate::ask::{Ask, SlateKey, Who};
use crate::life::Life;
use crate::local::HOT_LIFE;
use crate::tuning::Tuning;

/// How many times as long a value is fresh: a user's may not be older than it says.
pub(super) fn times(ask: &Ask, hot: bool) -> i64 {
    if hot && ask.user().is_none() {
        HOT_LIFE
    } else {
        1
    }
}

/// What kind of question it is, for people; names nobody.
pub(super) fn about(ask: &Ask) -> SmolStr {
    let who = match ask.who {
        Who::User(_) => "user",
        Who::Cohort(_) => "cohort",
        Who::Anyone => "anyone",
    };
    let (kind, scene, market) = (ask.kind.as_str(), &ask.scene, &ask.market);
    format_smolstr!("{kind} scene={scene} market={market} for={who}")
}

/// The counter of an outcome.
pub(super) fn counter(outcome: &TierOutcome) -> Counter {
    metrics::counter!(TIER_READS, "tier" => outcome.tier(), "outcome" => outcome.as_str())
}

/// How long a detached load may take.
pub(super) fn load_budget(tuning: &Tuning) -> Duration {
    Duration::from_millis(tuning.store.budgets.load_ms.into())
}

/// How long that somebody is unknown is believed: unasked for no longer than a personal slate.
pub(super) fn absent_life(tuning: &Tuning) -> Life {
    let hard = Duration::from_millis(tuning.store.lives.absent_ms.into());
    let soft = tuning.store.personal_life().soft.min(hard);
    Life { soft, hard }
}

/// How long a slate for what nobody knows is kept.
pub(super) fn brief_life(tuning: &Tuning) -> Life {
    let brief = Duration::from_millis(tuning.store.lives.absent_ms.into());
    Life {
        soft: brief,
        hard: brief,
    }
}

/// The life of a slate as this process keeps it: what is for many does not go stale all at once.
pub(super) fn life_here(ask: &Ask, key: SlateKey, life: Life) -> Life {
    match ask.who {
        Who::User(_) => life,
        Who::Cohort(_) | Who::Anyone => life.spread(key.0),
    }
}

/// The life of a slate that this process made.
pub(super) fn life_of(ask: &Ask, whole: bool, tuning: &Tuning) -> Life {
    if !whole {
        return Life {
            soft: DEGRADED_LIFE,
            hard: DEGRADED_LIFE,
        };
    }
    let life = match ask.who {
        Who::User(_) => tuning.store.personal_life(),
        Who::Cohort(_) | Who::Anyone => tuning.store.shared_life(),
    };
    if ask.shareable() {
        life
    } else {
        Life {
            hard: life.hard.min(SESSION_LIFE),
            ..life
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::Cohort;
    use crate::ask::Kind;

    #[test]
    fn of_ten_thousand_slates_made_together_no_second_sees_more_than_2_percent_go_stale() {
        let tuning = Tuning::parse(r#"{"store":{"lives":{"shared_soft_ms":600000}}}"#).unwrap();
        let mut seconds: HashMap<u64, usize> = HashMap::new();
        for number in 0..10_000 {
            let ask = Ask::new(Who::Cohort(Cohort::new(number)), Kind::Recommend);
            let life = life_here(&ask, ask.key(), life_of(&ask, true, &tuning));
            assert!((540..=660).contains(&life.soft.as_secs()), "{life:?}");
            assert_eq!(life.hard, tuning.store.shared_life().hard);
            *seconds.entry(life.soft.as_secs()).or_default() += 1;
        }
        let most = seconds.values().max().copied().unwrap_or(0);
        println!("shown: 10,000 shared slates of 600 s: at most {most} go stale in one second");
        assert!(most <= 200, "{most}");
    }

    #[test]
    fn a_users_life_and_one_without_a_stale_part_stay_as_they_are() {
        let tuning = Tuning::default();
        let user = Ask::new(Who::User("u1".parse().unwrap()), Kind::Recommend);
        let anyone = Ask::new(Who::Anyone, Kind::Recommend);
        for (ask, whole) in [(user, true), (anyone, false)] {
            let life = life_of(&ask, whole, &tuning);
            assert_eq!(life_here(&ask, ask.key(), life), life);
        }
    }
}
