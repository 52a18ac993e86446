//! Ranking one slate's candidates with trees as large as training makes them.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::feature::{COUNT, Scenes};
use engine::pipeline::{Candidate, Prepared};
use engine::ranker::{LearnedRanker, Model, PriorRanker, Ranker};
use engine::{CategoriesMatch, Index, Profile, Query, Recipe, UserState};
use futures_util::FutureExt;
use guard::{Deadline, ManualClock};
use learn::train::{POSITION_UNKNOWN, Rows, TrainOptions, grow};
use learn::{BuildOptions, GenerationBuilder};
use smol_str::SmolStr;

use crate::measure::compare::Random;
use crate::measure::{Report, allocations, cpu};
use crate::world;

const VIDEOS: usize = 20_000;
const USERS: usize = 5_000;
/// Candidates of one slate.
const CANDIDATES: usize = 500;
/// Trees, as many as KuaiRand's nights keep at most.
const TREES: usize = 150;
/// Impressions the trees are grown on.
const ROWS: usize = 20_000;
const SLATES: usize = 20_000;
/// Users who ask in turn.
const ASKERS: usize = 500;

/// Slates per second and core.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let model = model().context("a forest")?;
    let (index, profiles) = generation(&model)?;
    let queries: Vec<Query> = profiles.iter().map(|own| query(&index, own)).collect();
    let asked: Vec<Prepared<'_>> = queries.iter().map(Prepared::new).collect();
    let mut random = Random(5);
    let candidates: Vec<Vec<Candidate>> = asked.iter().map(|_| some(&mut random)).collect();
    cpu::pin(0);
    let one = |ranker: &dyn Ranker, slate: usize, own: &mut Vec<Candidate>| {
        let at = slate % asked.len().max(1);
        if let (Some(asked), Some(candidates)) = (asked.get(at), candidates.get(at)) {
            own.clone_from(candidates);
            let _ = black_box(ranker.rank(asked, own).now_or_never());
        }
    };
    let mut own = Vec::with_capacity(CANDIDATES);
    let rate = |ranker: &dyn Ranker, own: &mut Vec<Candidate>| {
        (0..ASKERS).for_each(|slate| one(ranker, slate, own));
        let start = cpu::this_thread();
        (0..SLATES).for_each(|slate| one(ranker, slate, own));
        SLATES as f64 / (cpu::this_thread() - start).as_secs_f64()
    };
    let learned = rate(&LearnedRanker, &mut own);
    let first = rate(&PriorRanker, &mut own);
    let (_, taken) = allocations(|| {
        (0..ASKERS).for_each(|slate| one(&LearnedRanker, slate, &mut own));
    });
    report.check(
        &format!("slates of {CANDIDATES} candidates per second and core"),
        format!("{learned:.0}"),
        "≥ 1,000",
        learned >= 1_000.0,
    );
    report.tell("the same with the first ranker", format!("{first:.0}"));
    // The boxed future of a ranker is one.
    report.check(
        &format!("allocations of {ASKERS} slates"),
        taken.calls.to_string(),
        "one per slate",
        taken.calls <= ASKERS as u64,
    );
    report.note(format!(
        "{} trees of depth {}, {COUNT} features, profiles of up to 50 long views, {VIDEOS} videos",
        model.forest.trees(),
        model.forest.depth()
    ));
    report.keep("slates_per_second", [learned, first]);
    Ok(())
}

fn model() -> Option<Model> {
    let mut random = Random(3);
    let mut rows = Rows::default();
    for n in 0..ROWS {
        let mut vector = [0.0; COUNT];
        vector
            .iter_mut()
            .for_each(|value| *value = random.unit() as f32);
        let sum: f32 = vector.iter().sum::<f32>() / COUNT as f32;
        let right = random.unit() < f64::from(sum);
        rows.vectors.push(vector);
        rows.right.push(right);
        rows.clicked.push(right);
        rows.positions.push(POSITION_UNKNOWN);
        rows.users.push(n as u32);
        rows.items.push(0);
    }
    Some(Model {
        forest: grow(&rows, None, TREES, &TrainOptions::default())?,
        scenes: Scenes::default(),
        blend: 0.5,
    })
}

/// A town whose nights met no impression, so that the model of before stays.
fn generation(model: &Model) -> anyhow::Result<(Arc<Index>, Vec<Profile>)> {
    let mut builder = GenerationBuilder::new(BuildOptions {
        cohort_users_min: 20,
        ranker: Some(TrainOptions {
            current: Some(model.to_bytes().into()),
            ..TrainOptions::default()
        }),
        ..BuildOptions::new("bench.rank", world::NOW_MS)
    });
    for number in 0..VIDEOS {
        builder.add_video(&world::video(number))?;
    }
    for event in world::diaries(VIDEOS, USERS).iter().flatten() {
        builder.add_event(event)?;
    }
    let mut built = builder.finish()?;
    let index = Index::open(Arc::new(built.to_bytes()))?;
    index.ranking().context("a generation with a model")?;
    let profiles = built.profiles.into_iter().map(|(_, profile)| profile);
    Ok((Arc::new(index), profiles.take(ASKERS).collect()))
}

fn query(index: &Arc<Index>, profile: &Profile) -> Query {
    let clock = Arc::new(ManualClock::starting_at(world::NOW_MS));
    Query {
        index: Arc::clone(index),
        recipe: Recipe::Personal,
        user: Some(Arc::new(UserState {
            profile: Some(profile.clone()),
            ..UserState::default()
        })),
        session: Vec::new(),
        scene: SmolStr::new_static("home"),
        market: SmolStr::default(),
        categories: Vec::new(),
        categories_match: CategoriesMatch::Any,
        exclude: Vec::new(),
        hidden: Arc::default(),
        wanted: 20,
        tuning: Arc::default(),
        deadline: Deadline::after(clock, Duration::from_secs(1)),
        now_ms: world::NOW_MS,
        seed: 1,
    }
}

fn some(random: &mut Random) -> Vec<Candidate> {
    let step = VIDEOS / CANDIDATES;
    let one = |n: usize, random: &mut Random| {
        let mut candidate = Candidate::new((n * step + random.below(step)) as u32);
        candidate.merged = random.unit() as f32;
        candidate.personal = candidate.merged * 0.7;
        candidate
    };
    (0..CANDIDATES).map(|n| one(n, random)).collect()
}
