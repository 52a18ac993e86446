//! The service itself as a contender: whole, and each of its sources alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use engine::{
    CategoriesMatch, EngineTuning, Index, Pipeline, Query, Ranked, Recipe, UserId, UserState,
    VideoId,
};
use futures_util::FutureExt as _;
use guard::{Clock, Deadline, ManualClock};
use learn::evaluate::report::{Contribution, Latency};
use learn::evaluate::{Contender, Course, Exam, Log, Protocol, Replay, Slates};
use smol_str::SmolStr;
use store::Tuning;

use super::{PLACES, Tally};
use crate::import::progress::Progress;

/// The scene whose tuning is judged.
const SCENE: &str = "home";
/// A deadline that never passes: the clock it is told by stands still.
const NEVER: Duration = Duration::from_secs(10);
/// Slates between two looks at the progress bar.
const PER_STEP: usize = 64;
/// The one contender that learns from the judged part, too, from what is past at each moment.
const KEPT_CURRENT: &str = "cf kept current";
/// The same of the night before.
const CF_ALONE: &str = "cf alone";
const MINUTE_MS: i64 = 60_000;
/// Time of the log between two refreshments of what is kept current.
pub(super) const REFRESH_MS: i64 = 10 * MINUTE_MS;

/// What was learned from before the split.
pub(super) struct Learned {
    /// The generation.
    pub index: Arc<Index>,
    /// The state of everybody who is asked.
    pub states: HashMap<UserId, Arc<UserState>>,
    /// When they are asked.
    pub now_ms: i64,
}

/// Asks pipelines the questions of a course.
pub(super) struct Asker<'a> {
    pub log: &'a Log,
    pub course: &'a Course,
    pub learned: &'a Learned,
    pub tuning: &'a Tuning,
    pub clock: &'a dyn Clock,
}

impl Asker<'_> {
    /// The full pipeline with the store's tuning, and what each source brought.
    pub fn whole(&self, shown: &mut dyn Progress) -> (Contender, Vec<Contribution>) {
        let pipeline = Pipeline::standard();
        let tuning = Arc::clone(&self.tuning.engine);
        let mut tally = Tally::new(pipeline.sources().collect());
        let (slates, latency) = self.run(&pipeline, &tuning, "reelway", shown, |exam, ranked| {
            for (item, how) in ranked.items.iter().zip(&ranked.explained) {
                let number = self.log.video(item.video_id.as_str());
                let hit = number.is_some_and(|n| exam.wanted.binary_search(&n).is_ok());
                tally.add(&how.sources, hit);
            }
        });
        let contender = Contender {
            name: "reelway".to_owned(),
            chosen: weights(&tuning),
            slates,
            marks: self.marks(&pipeline, &tuning),
            latency: Some(latency),
            twin: None,
        };
        (contender, tally.finish())
    }

    /// Each source as if it were the only one.
    pub fn alone(&self, shown: &mut dyn Progress) -> Vec<Contender> {
        let pipeline = Pipeline::standard();
        let one = |source: &'static str| {
            let tuning = self.only(source);
            let name = format!("{source} alone");
            let (slates, latency) = self.run(&pipeline, &tuning, &name, shown, |_, _| {});
            Contender {
                name,
                chosen: String::new(),
                slates,
                marks: Vec::new(),
                latency: Some(latency),
                twin: None,
            }
        };
        pipeline.sources().map(one).collect()
    }

    /// Collaborative filtering alone, asked of a generation that is refreshed as time goes by.
    ///
    /// # Errors
    /// When a generation cannot be refreshed.
    pub fn kept_current(
        &self,
        replay: Replay,
        shown: &mut dyn Progress,
    ) -> anyhow::Result<Contender> {
        let (pipeline, tuning) = (Pipeline::standard(), self.only("cf"));
        let exams = self.course.exams.len();
        shown.begin(KEPT_CURRENT, exams as u64);
        let mut slates = Slates::new();
        slates.resize(exams, Vec::new());
        let mut took = Vec::with_capacity(exams);
        replay.ask(self.course, |place, exam, index| {
            let query = Query {
                index: Arc::clone(index),
                ..self.query(exam, &tuning)
            };
            let (ranked, span) = self.answer(&pipeline, &query);
            if let Some(slate) = slates.get_mut(place) {
                *slate = self.slate(&ranked);
            }
            took.push(span);
            if took.len() % PER_STEP == 0 {
                shown.at(took.len() as u64);
            }
        })?;
        shown.end();
        Ok(Contender {
            name: KEPT_CURRENT.to_owned(),
            chosen: format!("refreshed every {} minutes", REFRESH_MS / MINUTE_MS),
            slates,
            marks: Vec::new(),
            latency: Some(latency(took)),
            twin: Some(CF_ALONE),
        })
    }

    /// The tuning with one source and no other.
    fn only(&self, source: &str) -> Arc<EngineTuning> {
        let mut tuning = EngineTuning::clone(&self.tuning.engine);
        for scene in tuning.scenes.values_mut() {
            scene.weights = BTreeMap::from([(source.to_owned(), 1.0)]);
        }
        Arc::new(tuning)
    }

    fn run(
        &self,
        pipeline: &Pipeline,
        tuning: &Arc<EngineTuning>,
        stage: &str,
        shown: &mut dyn Progress,
        mut each: impl FnMut(&Exam, &Ranked),
    ) -> (Slates, Latency) {
        shown.begin(stage, self.course.exams.len() as u64);
        let mut slates = Slates::with_capacity(self.course.exams.len());
        let mut took = Vec::with_capacity(self.course.exams.len());
        for (done, exam) in self.course.exams.iter().enumerate() {
            let (ranked, span) = self.answer(pipeline, &self.query(exam, tuning));
            took.push(span);
            slates.push(self.slate(&ranked));
            each(exam, &ranked);
            if done % PER_STEP == 0 {
                shown.at(done as u64);
            }
        }
        shown.end();
        (slates, latency(took))
    }

    fn answer(&self, pipeline: &Pipeline, query: &Query) -> (Ranked, Duration) {
        let begin = self.clock.now().mono;
        // Ready at the first poll: built-in stages compute and the clock stands still.
        let ranked = pipeline.run(query).now_or_never().unwrap_or_default();
        (ranked, self.clock.now().mono.saturating_sub(begin))
    }

    fn slate(&self, ranked: &Ranked) -> Vec<u32> {
        let ids = ranked.items.iter().map(|item| item.video_id.as_str());
        ids.filter_map(|id| self.log.video(id)).collect()
    }

    /// What the ranker says of everything viewers were shown; empty where it could not.
    fn marks(&self, pipeline: &Pipeline, tuning: &Arc<EngineTuning>) -> Vec<f32> {
        let mut marks = Vec::new();
        for viewer in &self.course.viewers {
            let query = self.query(&viewer.exam, tuning);
            let ids = self.ids(viewer.shown.iter().map(|(video, _)| *video));
            let own = pipeline.appraise(&query, &ids).now_or_never().flatten();
            let Some(own) = own.filter(|own| own.len() == ids.len()) else {
                return Vec::new();
            };
            marks.extend(own);
        }
        marks
    }

    fn query(&self, exam: &Exam, tuning: &Arc<EngineTuning>) -> Query {
        let sessions = matches!(self.course.protocol, Protocol::Sessions { .. });
        let user = self.log.users.get(exam.user as usize);
        let user = user.filter(|_| !sessions);
        let ids = |videos: &[u32]| self.ids(videos.iter().copied());
        let clock = Arc::new(ManualClock::starting_at(self.learned.now_ms));
        Query {
            index: Arc::clone(&self.learned.index),
            recipe: Recipe::Personal,
            user: user.and_then(|user| self.learned.states.get(user).cloned()),
            session: if sessions {
                ids(&exam.liked)
            } else {
                Vec::new()
            },
            scene: SmolStr::new_static(SCENE),
            market: SmolStr::default(),
            categories: Vec::new(),
            categories_match: CategoriesMatch::Any,
            // The same rule for everybody: also what the state has forgotten was met.
            exclude: ids(&exam.met),
            hidden: Arc::default(),
            wanted: PLACES,
            tuning: Arc::clone(tuning),
            deadline: Deadline::after(clock, NEVER),
            now_ms: self.learned.now_ms,
            seed: u64::from(exam.user) << 32 | u64::from(exam.step),
        }
    }

    fn ids(&self, videos: impl Iterator<Item = u32>) -> Vec<VideoId> {
        videos
            .filter_map(|video| self.log.videos.get(video as usize).cloned())
            .collect()
    }
}

fn weights(tuning: &EngineTuning) -> String {
    let scene = tuning.scene(SCENE);
    let all = scene.into_iter().flat_map(|scene| &scene.weights);
    let named: Vec<String> = all
        .map(|(name, weight)| format!("{name} {weight}"))
        .collect();
    named.join(", ")
}

fn latency(mut took: Vec<Duration>) -> Latency {
    took.sort_unstable();
    let at = |share: f64| {
        let place = (took.len().saturating_sub(1) as f64 * share).round() as usize;
        let span = took.get(place).copied().unwrap_or_default();
        span.as_secs_f64() * 1e6
    };
    Latency {
        p50_us: at(0.5),
        p99_us: at(0.99),
    }
}
