//! Trains the ranker on what was known when the impressions were chosen.
//!
//! ```text
//! day    … 3      2      1      0 (newest, held out)
//! night ▲  │ ▲    │ ▲    │ ▲    │
//!       └rows└rows──└rows──└rows
//!        └── learn ──┘watch   judge, blend
//! ```
//!
//! `served` rows name the generation each slate came from. Where it is at hand ([`Past`]) the vectors
//! of its impressions are read from it, with the profiles of its night, by the function that serves:
//! they are what the ranker saw. Impressions that nobody named a generation for (imported ones, or
//! `served` rows that were lost), or one that was removed since, are read from the generation of the
//! night before, made again from the events up to it; where they are the lesser part of a day they
//! are left out instead. Nothing from after an answer can be in what its impressions are read from.

mod blend;
mod log;
mod night;
mod shown;
mod vectors;

use std::ops::Range;

use engine::feature::{Scenes, number};
use engine::ranker::{Forest, Model, chance};
use engine::{Event, UserId};
use smol_str::SmolStr;

use super::diary::Diary;
use super::shelf::Catalogue;
use super::{BuildError, Found};
use crate::BuildOptions;
use crate::train::{Outcome, Rows, TrainOptions, Trained, duel, grow, judge};
use log::Log;
use night::{Night, nights_of, seen};
use shown::{Shown, shown_in};

pub use night::Past;

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

/// Keeps events until the nights are looked back at.
#[derive(Debug, Default)]
pub(super) struct Rehearsal {
    log: Log,
    past: Vec<Past>,
}

impl Rehearsal {
    pub(super) fn add(&mut self, event: &Event, options: &BuildOptions, train: &TrainOptions) {
        if event.ts_ms <= options.as_of_ms {
            // The days that are read, and a slate may be older than its impression.
            let days = i64::from(train.days) + 2;
            let recent_from_ms = options.as_of_ms.saturating_sub(days * DAY_MS);
            self.log.add(event, options.long_view_ms, recent_from_ms);
        }
    }

    pub(super) fn add_past(&mut self, past: Past) {
        self.past.push(past);
    }

    pub(super) fn generations(&self) -> &[SmolStr] {
        self.log.generations()
    }

    pub(super) fn learns_from(&self, user: &UserId) -> bool {
        self.log.is_recent(user)
    }

    /// The model a generation should carry, and how it came about.
    pub(super) fn train(
        mut self,
        catalogue: &Catalogue,
        diary: &Diary,
        options: &BuildOptions,
        train: &TrainOptions,
    ) -> Result<(Option<Vec<u8>>, Trained), BuildError> {
        let stage = self.stage(catalogue, diary, options, train);
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
        Ok(self.stage(catalogue, diary, options, train).days()?.rows)
    }

    fn stage<'a>(
        &'a mut self,
        catalogue: &'a Catalogue,
        diary: &'a Diary,
        options: &'a BuildOptions,
        train: &'a TrainOptions,
    ) -> Stage<'a> {
        self.log.settle();
        Stage {
            log: &self.log,
            past: &self.past,
            catalogue,
            diary,
            options,
            train,
        }
    }
}

/// Everything a training reads.
struct Stage<'a> {
    log: &'a Log,
    past: &'a [Past],
    catalogue: &'a Catalogue,
    diary: &'a Diary,
    options: &'a BuildOptions,
    train: &'a TrainOptions,
}

/// The days that are learned from and judged on.
#[derive(Default)]
struct Days {
    /// Newest first.
    rows: Vec<Rows>,
    /// Before the newest of them: the night that most of its rows are from.
    night: Option<Night>,
    /// From after when to when the newest of them lasted.
    newest_ms: Range<i64>,
    /// What scenes are like up to now.
    scenes: Scenes,
    /// Rows that were read from the generation that served them.
    as_served: usize,
    /// Impressions of which nothing is known that they could be read from.
    left_out: usize,
}

impl Stage<'_> {
    /// A model that does not lose; `None` otherwise, and where there is too little.
    fn model(&self, trained: &mut Trained) -> Result<Option<Model>, BuildError> {
        let train = self.train;
        let Days {
            rows: mut days,
            night,
            newest_ms,
            scenes,
            as_served,
            left_out,
        } = self.days()?;
        (trained.as_served, trained.left_out) = (as_served, left_out);
        let Some(night) = night.filter(|_| days.len() >= 3) else {
            return Ok(None);
        };
        let (held, newest) = (days.remove(0), days.remove(0));
        let mut rows = Rows::default();
        days.iter().rev().for_each(|day| rows.extend(day));
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
        trained.blend = blend::choose(self.log, &night, &newest_ms, &forest, train);
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

    /// Rows of each day that has them. A day whose night had met no impression yet knows no rates and
    /// is left out.
    fn days(&self) -> Result<Days, BuildError> {
        let Some(newest_ms) = self.log.newest_ms() else {
            return Ok(Days::default());
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
        let (mut days, mut known) = (Days::default(), None);
        days.scenes = scenes(0);
        for (day, today) in shown.iter().enumerate().take(judged) {
            let older = shown.get(day + 1..).unwrap_or_default();
            if today.is_empty() || older.iter().all(Vec::is_empty) {
                continue;
            }
            let scenes = scenes(day + 1);
            let mut nights = nights_of(today, self.past, self.log, &scenes);
            let named = seen(today, &nights, self.log).len();
            if named < (today.len() / 2).max(self.train.rows_min.min(today.len())) {
                nights.extend(self.night(begin(day), scenes, known)?);
            }
            let seen = seen(today, &nights, self.log);
            let read = |night: usize| seen.iter().filter(|seen| seen.night == night).count();
            let Some(most) = (0..nights.len()).max_by_key(|night| read(*night)) else {
                continue;
            };
            let rows = self.rows(&nights, &seen, long_views);
            days.as_served += rows.as_served;
            days.left_out += today.len() - seen.len();
            if days.rows.is_empty() {
                days.newest_ms = begin(day)..begin(day) + DAY_MS;
            }
            days.rows.push(rows.rows);
            let night = nights.swap_remove(most);
            known.get_or_insert(night.found);
            days.night.get_or_insert(night);
        }
        Ok(days)
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
        let built = super::build(self.catalogue, &history, known, &options);
        Ok(Night::again(built, scenes))
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
