//! How far the model leans the order of a whole slate: found out on the day that was held back.
//!
//! The model is trained on what was shown; a slate is made of what the sources found. So the
//! pipeline of the night before that day proposes for users who watched something new in it, and the
//! power of the chance is taken that finds most of it.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::feature::{Scratch, Taste, Vector};
use engine::pipeline::{Candidate, Prepared};
use engine::ranker::{Forest, PriorRanker, Ranker};
use engine::user::{RECENT_MAX, SEEN_MAX};
use engine::{
    CategoriesMatch, EngineTuning, EventKind, Index, Interaction, Pipeline, Query, Recipe,
    UserState,
};
use futures_util::FutureExt;
use guard::{Deadline, ManualClock};
use rustc_hash::{FxHashMap, FxHashSet};
use smol_str::SmolStr;

use super::Night;
use super::log::{Deed, Log};
use crate::train::TrainOptions;

/// Powers that are tried.
const BLENDS: [f32; 7] = [0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5];
/// Places that count.
const PLACES: usize = 20;
/// With fewer users nothing is concluded.
const USERS_MIN: usize = 50;

/// One user's candidates, and what they watched.
struct Exam {
    /// Video, the first ranker's score, the logarithm of the model's chance.
    found: Vec<(u32, f32, f32)>,
    wanted: FxHashSet<u32>,
}

/// The power that finds most in a day; 0 where no other is better by more than a standard error of the
/// paired differences. The night may be older than the day before it.
pub(super) fn choose(
    log: &Log,
    night: &Night,
    day_ms: &Range<i64>,
    forest: &Forest,
    train: &TrainOptions,
) -> f32 {
    let from_ms = day_ms.start.max(night.as_of_ms);
    let exams = exams(log, night, &(from_ms..day_ms.end), forest, train);
    if exams.len() < USERS_MIN {
        return 0.0;
    }
    let gains = |blend: f32| -> Vec<f64> { exams.iter().map(|exam| exam.recall(blend)).collect() };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let usual = gains(0.0);
    let mut best = (0.0, 0.0);
    for blend in BLENDS {
        let less = gains(blend);
        let more: Vec<f64> = less
            .iter()
            .zip(&usual)
            .map(|(own, old)| own - old)
            .collect();
        let gain = mean(&more);
        let spread = more.iter().map(|own| (own - gain).powi(2)).sum::<f64>();
        let error = spread.sqrt() / more.len() as f64;
        if gain > error && gain > best.1 {
            best = (blend, gain);
        }
    }
    best.0
}

impl Exam {
    fn recall(&self, blend: f32) -> f64 {
        let mut order: Vec<(f32, u32)> = self
            .found
            .iter()
            .map(|(item, score, chance)| (score * (chance * blend).exp(), *item))
            .collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let hits = order.iter().take(PLACES);
        let hits = hits.filter(|(_, item)| self.wanted.contains(item)).count();
        hits as f64 / self.wanted.len().max(1) as f64
    }
}

/// Users who watched something new in the day, chosen by a hash of their ids.
fn exams(
    log: &Log,
    night: &Night,
    day_ms: &Range<i64>,
    forest: &Forest,
    train: &TrainOptions,
) -> Vec<Exam> {
    let mut users: FxHashMap<u32, Vec<&Deed>> = FxHashMap::default();
    let watched = |deed: &&Deed| deed.ts_ms > day_ms.start && deed.ts_ms <= day_ms.end;
    for deed in log.deeds().iter().filter(watched) {
        users.entry(deed.user).or_default();
    }
    let mut chosen: Vec<(u64, u32)> = users
        .keys()
        .filter_map(|user| Some((UserState::user_hash(log.user(*user)?), *user)))
        .collect();
    chosen.sort_unstable();
    // Some watched nothing new.
    chosen.truncate(train.users_max * 3);
    users.clear();
    users.extend(chosen.iter().map(|(_, user)| (*user, Vec::new())));
    for deed in log.deeds().iter().filter(|deed| deed.ts_ms <= day_ms.end) {
        if let Some(own) = users.get_mut(&deed.user) {
            own.push(deed);
        }
    }
    let mut asker = Asker::new(night, day_ms.start);
    let exams = chosen.iter().filter_map(|(_, user)| {
        let deeds = users.get_mut(user)?;
        deeds.sort_unstable_by_key(|deed| (deed.ts_ms, deed.video, deed.kind));
        asker.exam(log, forest, *user, deeds)
    });
    exams.take(train.users_max).collect()
}

/// Remembers what it was asked to rank.
struct Recorder(Arc<Mutex<Vec<(u32, f32)>>>);

#[async_trait]
impl Ranker for Recorder {
    fn name(&self) -> &'static str {
        "rank"
    }

    async fn rank(
        &self,
        asked: &Prepared<'_>,
        candidates: &mut [Candidate],
    ) -> Result<(), &'static str> {
        PriorRanker.rank(asked, candidates).await?;
        let found = candidates.iter().map(|one| (one.item, one.score));
        if let Ok(mut recorded) = self.0.lock() {
            recorded.clear();
            recorded.extend(found);
        }
        Ok(())
    }
}

/// Asks the pipeline of a night.
struct Asker<'a> {
    night: &'a Night,
    /// Users ask right after it.
    from_ms: i64,
    index: Arc<Index>,
    pipeline: Pipeline,
    recorded: Arc<Mutex<Vec<(u32, f32)>>>,
    tuning: Arc<EngineTuning>,
    scratch: Scratch,
}

impl<'a> Asker<'a> {
    fn new(night: &'a Night, from_ms: i64) -> Self {
        let recorded = Arc::default();
        let mut pipeline = Pipeline::standard();
        pipeline.set_ranker(Box::new(Recorder(Arc::clone(&recorded))));
        Self {
            night,
            from_ms,
            index: Arc::clone(&night.index),
            pipeline,
            recorded,
            tuning: Arc::default(),
            scratch: Scratch::default(),
        }
    }

    fn exam(&mut self, log: &Log, forest: &Forest, user: u32, deeds: &[&Deed]) -> Option<Exam> {
        let split = deeds.partition_point(|deed| deed.ts_ms <= self.from_ms);
        let (before, after) = deeds.split_at_checked(split)?;
        let met: FxHashSet<u32> = before.iter().map(|deed| deed.video).collect();
        let wanted: FxHashSet<u32> = after
            .iter()
            .filter(|deed| deed.long_view && !met.contains(&deed.video))
            .filter_map(|deed| self.index.find(log.video(deed.video)?.as_str()))
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let id = log.user(user)?;
        let profile = self.night.profile(id);
        let state = UserState {
            profile: profile.cloned(),
            ..state(log, before)
        };
        let query = self.query(state);
        self.pipeline.run(&query).now_or_never()?;
        let found = self.recorded.lock().ok()?.clone();
        let taste = Taste::new(
            &self.night.index,
            &self.night.outlook,
            profile,
            &mut self.scratch,
        );
        let scene = self.night.outlook.scene(&query.scene);
        let vectors: Vec<Vector> = found
            .iter()
            .map(|(item, _)| taste.vector(*item, scene, query.now_ms))
            .collect();
        let mut odds = Vec::new();
        forest.odds(&vectors, &mut odds);
        let rows = found.iter().zip(odds);
        let logs = rows.map(|((item, score), odds)| (*item, *score, -(-odds).exp().ln_1p()));
        Some(Exam {
            found: logs.collect(),
            wanted,
        })
    }

    fn query(&self, state: UserState) -> Query {
        let now_ms = self.from_ms + 1;
        let clock = Arc::new(ManualClock::starting_at(now_ms));
        Query {
            index: Arc::clone(&self.index),
            recipe: Recipe::Personal,
            user: Some(Arc::new(state)),
            session: Vec::new(),
            scene: SmolStr::new_static("home"),
            market: SmolStr::default(),
            categories: Vec::new(),
            categories_match: CategoriesMatch::Any,
            exclude: Vec::new(),
            hidden: Arc::default(),
            wanted: PLACES,
            tuning: Arc::clone(&self.tuning),
            deadline: Deadline::after(clock, Duration::from_secs(1)),
            now_ms,
            seed: 1,
        }
    }
}

/// What serving would remember of these deeds, oldest first.
fn state(log: &Log, deeds: &[&Deed]) -> UserState {
    let mut state = UserState::default();
    let mut met = FxHashSet::default();
    for deed in deeds.iter().rev() {
        let Some(video) = log.video(deed.video) else {
            continue;
        };
        if state.seen.len() < SEEN_MAX && met.insert(deed.video) {
            state.seen.push(UserState::seen_hash(video.as_str()));
        }
        let acted = deed.kind != EventKind::Impression && deed.kind != EventKind::Hide;
        let known = || state.recent.iter().any(|old| old.video_id == *video);
        if acted && !deed.undo && state.recent.len() < RECENT_MAX && !known() {
            state.recent.push(Interaction {
                video_id: video.clone(),
                kind: deed.kind,
                ts_ms: deed.ts_ms,
                watch_ratio: deed.watch_ratio(),
            });
        }
    }
    state.seen.reverse();
    state.recent.reverse();
    state
}

#[cfg(test)]
mod tests;
