//! Trains the ranker on what the nights before would have known.
//!
//! ```text
//! day    … 3      2      1      0 (newest, held out)
//! night ▲  │ ▲    │ ▲    │ ▲    │
//!       └rows└rows──└rows──└rows
//!        └── learn ──┘watch   judge, blend
//! ```
//!
//! For each of the last days the generation of the night before it is built again from the events
//! up to that night, and the vectors of the day's impressions are read from it by the function that
//! serves. Nothing of the day itself can be in them.

mod blend;
mod log;
mod shown;

use std::sync::Arc;

use engine::feature::{Outlook, Scenes, Scratch, Taste, number};
use engine::ranker::{Forest, Model, chance};
use engine::{Event, Index, Profile, UserId};

use super::diary::Diary;
use super::shelf::Catalogue;
use super::{BuildError, Found};
use crate::BuildOptions;
use crate::train::{Outcome, Rows, TrainOptions, Trained, duel, grow, judge};
use log::Log;
use shown::{Shown, shown_in};

const DAY_MS: i64 = 86_400_000;
/// Days before a night that say what its scenes are like.
const SCENE_DAYS: usize = 3;
/// Scenes with a rate of their own.
const SCENES_MAX: usize = 1_000;
/// Single features a model has to beat.
const SINGLE: [&str; 3] = [
    "video_long_view_rate",
    "user_long_view_rate",
    "user_video_chance",
];

/// Keeps events until the nights are played again.
#[derive(Debug, Default)]
pub(super) struct Rehearsal {
    log: Log,
}

/// One day's impressions, as the night before saw them.
pub(super) struct Night {
    pub(super) index: Arc<Index>,
    pub(super) outlook: Outlook,
    pub(super) profiles: Vec<(UserId, Profile)>,
    found: Found,
    pub(super) as_of_ms: i64,
}

impl Rehearsal {
    pub(super) fn add(&mut self, event: &Event, options: &BuildOptions) {
        if event.ts_ms <= options.as_of_ms {
            self.log.add(event, options.long_view_ms);
        }
    }

    /// The model a generation should carry, and how it came about.
    pub(super) fn train(
        mut self,
        catalogue: &Catalogue,
        diary: &Diary,
        options: &BuildOptions,
        train: &TrainOptions,
    ) -> Result<(Option<Vec<u8>>, Trained), BuildError> {
        self.log.settle();
        let stage = Stage {
            log: &self.log,
            catalogue,
            diary,
            options,
            train,
        };
        let mut trained = Trained::default();
        let new = stage.model(&mut trained)?;
        let model = match (new, &train.current) {
            (Some(model), _) => {
                trained.outcome = Outcome::Published;
                Some(model.to_bytes())
            }
            (None, Some(current)) if matches!(Model::read(current), Ok(Some(_))) => {
                trained.outcome = Outcome::Kept;
                Some(current.to_vec())
            }
            _ => None,
        };
        Ok((model, trained))
    }

    /// The days' rows, newest first; for tests and tables.
    pub(super) fn rows(
        mut self,
        catalogue: &Catalogue,
        diary: &Diary,
        options: &BuildOptions,
        train: &TrainOptions,
    ) -> Result<Vec<Rows>, BuildError> {
        self.log.settle();
        let stage = Stage {
            log: &self.log,
            catalogue,
            diary,
            options,
            train,
        };
        Ok(stage.days()?.0.into_iter().map(|(rows, _)| rows).collect())
    }
}

/// Everything a training reads.
struct Stage<'a> {
    log: &'a Log,
    catalogue: &'a Catalogue,
    diary: &'a Diary,
    options: &'a BuildOptions,
    train: &'a TrainOptions,
}

impl Stage<'_> {
    /// A model that does not lose; `None` otherwise, and where there is too little.
    fn model(&self, trained: &mut Trained) -> Result<Option<Model>, BuildError> {
        let train = self.train;
        let (mut days, scenes) = self.days()?;
        if days.len() < 3 {
            return Ok(None);
        }
        let (held, night) = days.remove(0);
        let newest = days.remove(0).0;
        let mut rows = Rows::default();
        days.iter().rev().for_each(|(day, _)| rows.extend(day));
        drop(days);
        if rows.len() < train.rows_min || held.len() < train.rows_min {
            return Ok(None);
        }
        let Some(sized) = grow(&rows, Some(&newest), train.trees_max, train) else {
            return Ok(None);
        };
        rows.extend(&newest);
        let Some(forest) = grow(&rows, None, sized.trees().max(1), train) else {
            return Ok(None);
        };
        trained.learned = rows.len();
        trained.trees = forest.trees();
        let chances = chances(&forest, &held);
        trained.judgement = judge(&held, &chances);
        let duel = duel(&held, &chances, &self.rival(&held), train.seed);
        trained.duel = Some(duel);
        if duel.is_lost() || trained.judgement.is_none() {
            return Ok(None);
        }
        trained.blend = blend::choose(self.log, &night, &forest, train);
        Ok(Some(Model {
            forest,
            scenes,
            blend: trained.blend,
        }))
    }

    /// What the model that serves now says of the rows, or else the best single feature.
    fn rival(&self, rows: &Rows) -> Vec<f32> {
        let current = self.train.current.as_deref();
        if let Some(model) = current.and_then(|bytes| Model::read(bytes).ok().flatten()) {
            return chances(&model.forest, rows);
        }
        let single = SINGLE.iter().filter_map(|name| {
            let feature = number(name)?;
            let marks = single(rows, feature);
            let found = judge(rows, &marks)?;
            Some((found.auc, marks))
        });
        let best = single.max_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or_else(|| vec![0.0; rows.len()], |(_, marks)| marks)
    }

    /// Rows of each day that has them, newest first, with the night before it; and the rates of
    /// scenes up to now. A day whose night had met no impression yet knows no rates and is left out.
    fn days(&self) -> Result<(Vec<(Rows, Night)>, Scenes), BuildError> {
        let Some(newest_ms) = self.log.newest_ms() else {
            return Ok((Vec::new(), Scenes::default()));
        };
        let recent = self.options.as_of_ms.saturating_sub(newest_ms) < DAY_MS;
        let end_ms = if recent {
            self.options.as_of_ms
        } else {
            newest_ms
        };
        let judged = self.train.days as usize + 1;
        let begin = |day: usize| end_ms - (day as i64 + 1) * DAY_MS;
        // What scenes are like has to be known before the first day, too.
        let shown: Vec<Vec<Shown>> = (0..judged + SCENE_DAYS)
            .map(|day| shown_in(self.log, begin(day), begin(day) + DAY_MS))
            .collect();
        let long_views = shown.iter().flatten().any(|shown| shown.long_view);
        let scenes = |day: usize| {
            let before = shown.get(day..day + SCENE_DAYS).unwrap_or_default();
            self.scenes(before, long_views)
        };
        let (mut days, mut known) = (Vec::new(), None);
        for (day, today) in shown.iter().enumerate().take(judged) {
            let older = shown.get(day + 1..).unwrap_or_default();
            if today.is_empty() || older.iter().all(Vec::is_empty) {
                continue;
            }
            if let Some(night) = self.night(begin(day), scenes(day + 1), known)? {
                known = Some(night.found);
                let rows = self.rows(&night, today, long_views);
                days.push((rows, night));
            }
        }
        Ok((days, scenes(0)))
    }

    /// The generation of a night and its profiles, made again. Trials take most of a night and are
    /// done once, on the newest before the day that judges.
    fn night(
        &self,
        as_of_ms: i64,
        scenes: Scenes,
        known: Option<Found>,
    ) -> Result<Option<Night>, BuildError> {
        let options = BuildOptions {
            as_of_ms,
            ranker: None,
            ..self.options.clone()
        };
        let mut diary = self.diary.sibling();
        for event in self.log.events_up_to(as_of_ms) {
            diary.add(&event, &options)?;
        }
        let history = diary.arrange(self.catalogue, &options)?;
        let mut built = super::build(self.catalogue, &history, known, &options);
        let Ok(index) = Index::open(Arc::new(built.to_bytes())) else {
            return Ok(None);
        };
        Ok(Some(Night {
            outlook: Outlook::new(&index, scenes),
            index: Arc::new(index),
            profiles: built.profiles,
            found: Found {
                cf: built.report.cf,
                findings: built.report.findings,
            },
            as_of_ms,
        }))
    }

    fn scenes(&self, days: &[Vec<Shown>], long_views: bool) -> Scenes {
        let names = self.log.scenes();
        let mut counts = vec![(0u32, 0u32); names.len()];
        for shown in days.iter().flatten() {
            if let Some((met, right)) = counts.get_mut(shown.scene as usize) {
                *met += 1;
                *right += u32::from(shown.right(long_views));
            }
        }
        let rows = names.iter().zip(&counts).take(SCENES_MAX);
        Scenes::counted(rows.map(|(name, (met, right))| (name.as_str(), *met, *right)))
    }

    /// The vectors of a day's impressions, by user; of too many a share of the users.
    fn rows(&self, night: &Night, shown: &[Shown], long_views: bool) -> Rows {
        let most = self.train.rows_max / self.train.days.max(1) as usize;
        let share = most as f64 / shown.len().max(1) as f64;
        let mut rows = Rows::default();
        let mut scratch = Scratch::default();
        for own in shown.chunk_by(|a, b| a.user == b.user) {
            let Some(user) = own.first().and_then(|first| self.log.user(first.user)) else {
                continue;
            };
            let place = engine::UserState::user_hash(user) as f64 / u64::MAX as f64;
            if place > share {
                continue;
            }
            let taste = Taste::new(
                &night.index,
                &night.outlook,
                night.profile(user),
                &mut scratch,
            );
            for one in own {
                let video = self.log.video(one.video);
                let Some(item) = video.and_then(|video| night.index.find(video.as_str())) else {
                    continue;
                };
                let scene = self.log.scenes().get(one.scene as usize);
                let scene = night.outlook.scene(scene.map_or("", |name| name.as_str()));
                rows.vectors.push(taste.vector(item, scene, one.ts_ms));
                rows.right.push(one.right(long_views));
                rows.clicked.push(one.clicked);
                rows.positions.push(one.position);
                rows.users.push(one.user);
                rows.items.push(item);
            }
        }
        rows
    }
}

impl Night {
    pub(super) fn profile(&self, user: &UserId) -> Option<&Profile> {
        let place = self.profiles.binary_search_by(|(id, _)| id.cmp(user));
        let row = place.ok().and_then(|place| self.profiles.get(place));
        row.map(|(_, profile)| profile)
    }
}

fn chances(forest: &Forest, rows: &Rows) -> Vec<f32> {
    let mut odds = Vec::new();
    forest.odds(&rows.vectors, &mut odds);
    odds.iter_mut().for_each(|odds| *odds = chance(*odds));
    odds
}

/// A feature as a score: what is not known counts as the mean of what is.
fn single(rows: &Rows, feature: usize) -> Vec<f32> {
    let values = || rows.vectors.iter().filter_map(|vector| vector.get(feature));
    let known = || values().filter(|value| value.is_finite());
    let mean = known().sum::<f32>() / known().count().max(1) as f32;
    let known_or_mean = |value: &f32| if value.is_finite() { *value } else { mean };
    values().map(known_or_mean).collect()
}
