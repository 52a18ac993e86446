//! How long slates live, and what is said about them.

use std::time::Duration;

use metrics::Counter;
use ops::metric::TIER_READS;
use smol_str::{SmolStr, format_smolstr};

use super::{DEGRADED_LIFE, SESSION_LIFE, TierOutcome};
use crate::ask::{Ask, Who};
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
