//! What was chosen by hand, on the day before the one that is reported: everything here learns from
//! what lies before that day, is judged on it, and never looks at the last one.
//!
//! `cargo test -p learn --test nights choosing -- --ignored --nocapture` prints the figures;
//! docs/evaluation.md says what was made of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use engine::index::Index;
use engine::ranker::chance;
use engine::{EngineTuning, Pipeline, Profile, UserId, VideoId};
use learn::evaluate::bootstrap::{ROUNDS, draws, interval};
use learn::evaluate::{Figures, jaccard};
use learn::train::{TrainOptions, duel, judge};

use crate::kuairand::{CHINA_MS, DAY_MS, Feed, Row, read, state, user_id};
use crate::kuairand_ranker::{builder, scenes};
use crate::ranker::knowledge::query;

/// Weights of likeness that are tried; the first is the reference.
const WEIGHTS: [f32; 6] = [0.0, 0.02, 0.05, 0.1, 0.2, 0.3];
const PLACES: usize = 20;

/// The feed and the night before the day before the last.
fn validation() -> Option<(
    Feed,
    HashMap<crate::kuairand_ranker::Deed, smol_str::SmolStr>,
    i64,
)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/kuairand-pure");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return None;
    }
    let (mut feed, scenes) = (read(&folder), scenes(&folder));
    let last_ms = feed.last_day * DAY_MS - CHINA_MS;
    feed.rows.retain(|row| row.ts_ms < last_ms);
    Some((feed, scenes, last_ms - DAY_MS - 1))
}

/// Who is asked: what they met before the night, and what was new to them and watched long after it.
fn exams(feed: &Feed, night_ms: i64) -> BTreeMap<u32, (Vec<&Row>, BTreeSet<u32>)> {
    let mut users: BTreeMap<u32, (Vec<&Row>, BTreeSet<u32>)> = BTreeMap::new();
    for row in &feed.rows {
        let (met, wanted) = users.entry(row.user).or_default();
        if row.ts_ms <= night_ms {
            met.push(row);
        } else if row.long_view && met.iter().all(|old| old.video != row.video) {
            wanted.insert(row.video);
        }
    }
    users.retain(|_, (_, wanted)| !wanted.is_empty());
    users
}

/// Slates of one weight: recall and NDCG per user, distinct videos, and how like the pages are.
async fn slates(
    index: &Arc<Index>,
    users: &BTreeMap<u32, (Vec<&Row>, BTreeSet<u32>)>,
    profiles: &HashMap<UserId, Profile>,
    weight: f32,
) -> (Vec<[f64; 2]>, usize, f64) {
    let mut tuning = EngineTuning::default();
    tuning
        .scenes
        .values_mut()
        .for_each(|scene| scene.mmr_weight = weight);
    let (tuning, pipeline) = (Arc::new(tuning), Pipeline::standard());
    let (mut gains, mut shown, mut alike) = (Vec::new(), BTreeSet::new(), (0.0, 0u32));
    for (user, (met, wanted)) in users {
        let state = state(met, profiles.get(&user_id(*user)).cloned());
        let mut query = query(index, state, index.as_of_ms() + 1);
        query.tuning = Arc::clone(&tuning);
        let items = pipeline.run(&query).await.items;
        let list: Vec<VideoId> = items.into_iter().map(|item| item.video_id).collect();
        let wanted: Vec<VideoId> = wanted
            .iter()
            .map(|v| VideoId::parse(&v.to_string()).unwrap())
            .collect();
        let (mut ten, mut twenty) = (Figures::default(), Figures::default());
        ten.add(&list, &wanted, 10);
        twenty.add(&list, &wanted, PLACES);
        let hits = list.iter().filter(|video| wanted.contains(video)).count();
        gains.push([hits as f64 / wanted.len() as f64, ten.ndcg]);
        let topics: Vec<Vec<u32>> = list
            .iter()
            .filter_map(|video| index.find(video.as_str()))
            .map(|item| {
                index
                    .item_categories()
                    .row(item)
                    .iter()
                    .map(|c| c.get())
                    .collect()
            })
            .collect();
        for pair in topics.windows(2) {
            alike.0 += jaccard(&pair[0], &pair[1]);
            alike.1 += 1;
        }
        shown.extend(list);
    }
    (gains, shown.len(), alike.0 / f64::from(alike.1))
}

#[tokio::test]
#[ignore = "chooses, which takes minutes; what was chosen is in docs/evaluation.md"]
async fn the_weight_of_likeness_costs_nothing_on_the_day_before_the_last() {
    let Some((feed, scenes, night_ms)) = validation() else {
        return;
    };
    let built = builder(&feed, &scenes, night_ms, Some(TrainOptions::default())).finish();
    let mut built = built.unwrap();
    println!("shown: the night before: {:?}", built.report.findings);
    let trained = built.report.ranker.clone().unwrap();
    println!(
        "shown: the model's power: {}, {:?}",
        trained.blend, trained.outcome
    );
    let index = Arc::new(Index::open(Arc::new(built.to_bytes())).unwrap());
    let profiles: HashMap<UserId, Profile> = built.profiles.into_iter().collect();
    let users = exams(&feed, night_ms);
    let mut found = Vec::new();
    for weight in WEIGHTS {
        found.push(slates(&index, &users, &profiles, weight).await);
    }
    let numbers: Vec<u32> = (0..users.len() as u32).collect();
    let mut lost = Vec::new();
    for (weight, (gains, shown, alike)) in WEIGHTS.iter().zip(&found) {
        let pairs = gains.iter().zip(&found[0].0);
        let pairs: Vec<Vec<f64>> = pairs
            .map(|(own, none)| vec![own[0], own[1], none[0], none[1]])
            .collect();
        let drawn = draws(&pairs, &numbers, ROUNDS, 1);
        let recall = interval(&drawn, |means| means[0] - means[2]);
        let ndcg = interval(&drawn, |means| means[1] - means[3]);
        println!(
            "shown: weight {weight}: Recall@20 {:.4} ({:+.4} [{:+.4}, {:+.4}]), NDCG@10 {:.4} \
             ({:+.4} [{:+.4}, {:+.4}]), {shown} videos, neighbours alike {alike:.4} ({} users)",
            drawn[0][0],
            recall.mean,
            recall.low,
            recall.high,
            drawn[0][1],
            ndcg.mean,
            ndcg.low,
            ndcg.high,
            users.len()
        );
        lost.push(recall.high < 0.0 || ndcg.high < 0.0);
    }
    let default = EngineTuning::default().scenes["home"].mmr_weight;
    let place = WEIGHTS.iter().position(|weight| *weight == default);
    assert!(!lost[place.unwrap()], "the default costs something");
}

#[test]
#[ignore = "chooses, which takes minutes; what was chosen is in docs/evaluation.md"]
fn rising_features_do_not_lose_on_the_day_before_the_last() {
    let Some((feed, scenes, night_ms)) = validation() else {
        return;
    };
    let all = TrainOptions::default();
    let mut days = builder(&feed, &scenes, night_ms + DAY_MS, Some(all.clone()))
        .rehearse()
        .unwrap();
    let judged = days.remove(0);
    let watched = days.remove(0);
    let mut rows = learn::train::Rows::default();
    days.iter().rev().for_each(|day| rows.extend(day));
    // As the night does it: as many trees as explain the newest day best, then all days.
    let marks = |rising: bool| {
        let options = TrainOptions {
            rising,
            ..all.clone()
        };
        let sized = learn::train::grow(&rows, Some(&watched), options.trees_max, &options).unwrap();
        let mut rows = rows.clone();
        rows.extend(&watched);
        let forest = learn::train::grow(&rows, None, sized.trees(), &options).unwrap();
        let mut odds = Vec::new();
        forest.odds(&judged.vectors, &mut odds);
        odds.into_iter().map(chance).collect::<Vec<f32>>()
    };
    let (with, without) = (marks(true), marks(false));
    let won = duel(&judged, &with, &without, 1);
    for (name, marks) in [("with", &with), ("without", &without)] {
        let own = judge(&judged, marks).unwrap();
        println!(
            "shown: {name} rising features: AUC {:.4} GAUC {:.4} log loss {:.4} ({} impressions)",
            own.auc, own.gauc, own.log_loss, own.impressions
        );
    }
    println!(
        "shown: with minus without: AUC {:+.4} [{:+.4}, {:+.4}], GAUC {:+.4} [{:+.4}, {:+.4}]",
        won.auc.mean, won.auc.low, won.auc.high, won.gauc.mean, won.gauc.low, won.gauc.high
    );
    assert!(!won.is_lost(), "{won:?}");
}
