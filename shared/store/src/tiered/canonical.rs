//! Questions in the words of the mapped index: what nobody knows is no key of its own.
//!
//! Whoever asks may write any scene, market or cohort. Where it changes nothing in the answer it
//! must not change the key, or one client could fill every tier with copies of one slate. Videos
//! and categories that nobody knows cannot be replaced: what is made for them stays here, briefly.

use engine::Index;
use smol_str::SmolStr;

use super::{Inner, Tiered};
use crate::ask::{Ask, Kind, Who};
use crate::tuning::Tuning;

/// The scene that an unknown one is served like.
const HOME: &str = "home";

impl Tiered {
    /// The same question with a scene, a market and a cohort that there are; as it is without an
    /// index. Part of [`Tiered::slate`]; for those who need the key before.
    #[must_use]
    pub fn canonical(&self, ask: Ask, tuning: &Tuning) -> Ask {
        self.inner.canonical(ask, tuning)
    }
}

impl Inner {
    pub(super) fn canonical(&self, mut ask: Ask, tuning: &Tuning) -> Ask {
        let Some(index) = self.origin.index() else {
            return ask;
        };
        if ask.scene != HOME && !knows_scene(&index, &ask.scene, tuning) {
            ask.scene = SmolStr::new_static(HOME);
        }
        // Who comes from a market that no video names sees what is shown everywhere.
        if !ask.market.is_empty() && index.markets().find(&ask.market).is_none() {
            ask.market = SmolStr::default();
        }
        if matches!(ask.who, Who::Cohort(cohort) if cohort.number >= index.cohorts()) {
            ask.who = Who::Anyone;
        }
        ask
    }

    /// Whether the slate may leave this process.
    pub(super) fn may_leave(&self, ask: &Ask) -> bool {
        ask.shareable() && self.knows(ask)
    }

    /// Whether the mapped index knows what is asked for; without one nobody can tell.
    pub(super) fn knows(&self, ask: &Ask) -> bool {
        let Some(index) = self.origin.index() else {
            return true;
        };
        let video = match &ask.kind {
            Kind::Similar(video) => index.find(video.as_str()).is_some(),
            Kind::Recommend | Kind::Trending | Kind::Latest | Kind::Popular => true,
        };
        let names = index.categories();
        video && ask.categories.iter().all(|name| names.find(name).is_some())
    }
}

/// Whether a scene is tuned, or has a rate of its own in the model.
fn knows_scene(index: &Index, scene: &str, tuning: &Tuning) -> bool {
    let has_rate = || {
        let (_, outlook) = index.ranking()?;
        Some(outlook.scene(scene).to_bits() != outlook.scene("").to_bits())
    };
    tuning.engine.scenes.contains_key(scene) || has_rate().unwrap_or(false)
}
