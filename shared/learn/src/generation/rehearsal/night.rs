//! The night before a day: the generation that served the day, or the same made again.

use std::sync::Arc;

use engine::feature::{Outlook, Scenes};
use engine::{Index, Profile, UserId};

use super::log::{Log, Origin};
use super::shown::Shown;
use crate::generation::{Built, Found};

/// A generation that served, opened from where it was published.
#[derive(Debug, Clone)]
pub struct Past {
    index: Arc<Index>,
    /// Ordered by user.
    profiles: Arc<[(UserId, Profile)]>,
}

/// What was known before a day.
pub(in crate::generation) struct Night {
    pub(super) index: Arc<Index>,
    pub(super) outlook: Outlook,
    pub(super) profiles: Arc<[(UserId, Profile)]>,
    pub(super) found: Found,
    pub(super) as_of_ms: i64,
    /// The log's number of the generation that served; `None` when it was made again.
    generation: Option<u32>,
}

/// An impression, and what it is read from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) shown: &'a Shown,
    /// Which of the day's nights.
    pub(super) night: usize,
    /// The moment its features are of.
    pub(super) moment_ms: i64,
    /// The log's number of the scene its features are of.
    pub(super) scene: u32,
}

impl Past {
    /// A generation with the profiles of its night, in any order. Those of users that
    /// [`learns_from`](crate::GenerationBuilder::learns_from) names are enough.
    #[must_use]
    pub fn new(index: Arc<Index>, mut profiles: Vec<(UserId, Profile)>) -> Self {
        profiles.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Self {
            index,
            profiles: profiles.into(),
        }
    }
}

impl Night {
    /// A night that served. Before there was a model nobody had noted what scenes are like, and
    /// `scenes` stands in.
    pub(super) fn past(past: &Past, generation: u32, scenes: &Scenes) -> Self {
        let served = past.index.ranking().map(|(model, _)| &model.scenes);
        Self {
            outlook: Outlook::new(&past.index, served.unwrap_or(scenes).clone()),
            found: Found {
                cf: *past.index.cf_knobs(),
                findings: *past.index.findings(),
            },
            as_of_ms: past.index.as_of_ms(),
            index: Arc::clone(&past.index),
            profiles: Arc::clone(&past.profiles),
            generation: Some(generation),
        }
    }

    /// A night that was made again; `None` when it cannot be read.
    pub(super) fn again(mut built: Built, scenes: Scenes) -> Option<Self> {
        let index = Index::open(Arc::new(built.to_bytes())).ok()?;
        Some(Self {
            outlook: Outlook::new(&index, scenes),
            found: Found {
                cf: built.report.cf,
                findings: built.report.findings,
            },
            as_of_ms: index.as_of_ms(),
            index: Arc::new(index),
            profiles: built.profiles.into(),
            generation: None,
        })
    }

    pub(super) fn profile(&self, user: &UserId) -> Option<&Profile> {
        let place = self.profiles.binary_search_by(|(id, _)| id.cmp(user));
        let row = place.ok().and_then(|place| self.profiles.get(place));
        row.map(|(_, profile)| profile)
    }

    pub(super) fn has_served(&self) -> bool {
        self.generation.is_some()
    }

    /// Whether what was shown came from it. What was shown, or is said to have been served, before it
    /// knew what it knows did not.
    fn made(&self, origin: Origin, shown: &Shown) -> bool {
        let since = origin.served_ms.min(shown.ts_ms);
        self.generation == Some(origin.generation) && since > self.as_of_ms
    }
}

/// The generations at hand that slates of these impressions came from.
pub(super) fn nights_of(shown: &[Shown], past: &[Past], log: &Log, scenes: &Scenes) -> Vec<Night> {
    let mut named: Vec<u32> = shown
        .iter()
        .filter_map(|one| Some(log.origin(one.slate)?.generation))
        .collect();
    named.sort_unstable();
    named.dedup();
    let opened = named.into_iter().filter_map(|number| {
        let name = log.generations().get(number as usize)?;
        let past = past.iter().find(|past| past.index.generation() == name)?;
        Some(Night::past(past, number, scenes))
    });
    opened.collect()
}

/// What each impression is to be read from: the generation its slate came from, at the moment and in
/// the scene that it was served; else the night that was made again. Who has neither is left out.
pub(super) fn seen<'a>(shown: &'a [Shown], nights: &[Night], log: &Log) -> Vec<Seen<'a>> {
    let again = nights.iter().position(|night| !night.has_served());
    let read = |shown: &'a Shown| {
        let origin = log.origin(shown.slate);
        let served = origin.and_then(|origin| {
            let night = nights.iter().position(|night| night.made(origin, shown))?;
            Some((night, origin.served_ms, origin.scene))
        });
        let told = || Some((again?, shown.ts_ms, shown.scene));
        let (night, moment_ms, scene) = served.or_else(told)?;
        Some(Seen {
            shown,
            night,
            moment_ms,
            scene,
        })
    };
    shown.iter().filter_map(read).collect()
}
