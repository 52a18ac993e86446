//! The ranker on a short-video feed: learned before the last day, judged on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use engine::feature::{FEATURES, number};
use engine::index::Index;
use engine::ranker::{PriorRanker, chance};
use engine::{Item, Pipeline, Profile, UserId};
use learn::evaluate::bootstrap::{ROUNDS, draws, interval};
use learn::train::{Rows, TrainOptions, duel, judge};
use learn::{BuildOptions, GenerationBuilder};
use smol_str::{SmolStr, format_smolstr};

use crate::kuairand::{CHINA_MS, DAY_MS, Feed, Row, events, read, state, user_id};
use crate::ranker::knowledge::query;

pub(crate) fn builder(
    feed: &Feed,
    scenes: &HashMap<Deed, SmolStr>,
    as_of_ms: i64,
    ranker: Option<TrainOptions>,
) -> GenerationBuilder {
    let mut builder = GenerationBuilder::new(BuildOptions {
        ranker,
        ..BuildOptions::new("kuairand", as_of_ms)
    });
    for video in &feed.videos {
        builder.add_video(video).unwrap();
    }
    for row in feed.rows.iter().filter(|row| row.ts_ms <= as_of_ms) {
        let scene = scenes.get(&(row.user, row.ts_ms)).cloned();
        for mut event in events(row) {
            event.scene = scene.clone().unwrap_or_default();
            builder.add_event(&event).unwrap();
        }
    }
    builder
}

/// Who, and when.
pub(crate) type Deed = (u32, i64);

/// Where in the product each impression was.
pub(crate) fn scenes(folder: &Path) -> HashMap<Deed, SmolStr> {
    let text = std::fs::read_to_string(folder.join("impressions_0425_0430.tsv")).unwrap();
    let scene = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let deed = (cells[0].parse().unwrap(), cells[2].parse().unwrap());
        (deed, format_smolstr!("tab_{}", cells[12]))
    };
    text.lines().skip(1).map(scene).collect()
}

/// Rows as a table for other judges: tests/compare/ranker.py reads it.
fn table(days: &[Rows], marks: &[f32]) -> String {
    let names: Vec<&str> = FEATURES.iter().map(|feature| feature.name).collect();
    let mut text = format!("day\tuser\tright\tmark\t{}\n", names.join("\t"));
    for (day, rows) in days.iter().enumerate() {
        let marks = marks.iter().copied().filter(|_| day == 0);
        let marks = marks.chain(std::iter::repeat(f32::NAN));
        for (n, (mark, values)) in marks.zip(&rows.vectors).enumerate() {
            let right = u8::from(rows.right[n]);
            write!(text, "{day}\t{}\t{right}\t{mark}", rows.users[n]).unwrap();
            for value in values {
                write!(text, "\t{value}").unwrap();
            }
            text.push('\n');
        }
    }
    text
}

fn single(rows: &Rows, name: &str) -> Vec<f32> {
    let feature = number(name).unwrap();
    let values = || rows.vectors.iter().map(|vector| vector[feature]);
    let known: Vec<f32> = values().filter(|value| value.is_finite()).collect();
    let mean = known.iter().sum::<f32>() / known.len() as f32;
    values()
        .map(|value| if value.is_finite() { value } else { mean })
        .collect()
}

#[tokio::test]
#[cfg_attr(
    debug_assertions,
    ignore = "minutes unless optimised: cargo test --release -p learn --test nights"
)]
async fn on_a_short_video_feed_the_ranker_beats_every_single_rate() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/kuairand-pure");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return;
    }
    let (feed, scenes) = (read(&folder), scenes(&folder));
    let night_ms = feed.last_day * DAY_MS - CHINA_MS - 1;
    let train = TrainOptions::default();
    let built = builder(&feed, &scenes, night_ms, Some(train.clone())).finish();
    let mut built = built.unwrap();
    let trained = built.report.ranker.clone().unwrap();
    println!("shown: the night before the last day: {trained:?}");
    let index = Arc::new(Index::open(Arc::new(built.to_bytes())).unwrap());
    let model = index.ranking().expect("a model").0;

    // The last day's rows as the night before saw them, and the days that were learned from.
    let after_ms = night_ms + DAY_MS;
    let days = builder(&feed, &scenes, after_ms, Some(train))
        .rehearse()
        .unwrap();
    let last = &days[0];
    let mut odds = Vec::new();
    model.forest.odds(&last.vectors, &mut odds);
    let marks: Vec<f32> = odds.into_iter().map(chance).collect();
    let judged = judge(last, &marks).unwrap();
    println!(
        "shown: ranker on the last day: AUC {:.4} GAUC {:.4} click AUC {:.4} log loss {:.4} ({})",
        judged.auc, judged.gauc, judged.click_auc, judged.log_loss, judged.impressions
    );
    for row in &judged.reliability {
        let (said, happened) = (row.said, row.happened);
        println!(
            "shown: said {said:.3} happened {happened:.3} ({})",
            row.impressions
        );
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ranker_rows.tsv");
    std::fs::write(&file, table(&days, &marks)).unwrap();
    println!("rows for tests/compare/ranker.py: {}", file.display());
    for name in [
        "video_long_view_rate",
        "user_long_view_rate",
        "user_video_chance",
    ] {
        let rival = single(last, name);
        let own = judge(last, &rival).unwrap();
        let won = duel(last, &marks, &rival, 1);
        println!(
            "shown: {name}: AUC {:.4} GAUC {:.4}; the ranker is {:+.4} [{:+.4}, {:+.4}] and {:+.4} [{:+.4}, {:+.4}] better",
            own.auc,
            own.gauc,
            won.auc.mean,
            won.auc.low,
            won.auc.high,
            won.gauc.mean,
            won.gauc.low,
            won.gauc.high
        );
        assert!(won.auc.low > 0.0 && won.gauc.low > 0.0, "{name}: {won:?}");
    }
    slates(&feed, night_ms, index, built.profiles.into_iter().collect()).await;
}

/// Recall of whole slates with the model and with the first ranker, on the same users.
async fn slates(feed: &Feed, night_ms: i64, index: Arc<Index>, profiles: HashMap<UserId, Profile>) {
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
    let learned = Pipeline::standard();
    let mut first = Pipeline::standard();
    first.set_ranker(Box::new(PriorRanker));
    let mut recalls = Vec::with_capacity(users.len());
    for (user, (met, wanted)) in &users {
        let state = state(met, profiles.get(&user_id(*user)).cloned());
        let query = query(&index, state, night_ms + 1);
        let mut own = Vec::new();
        for pipeline in [&learned, &first] {
            let items = pipeline.run(&query).await.items;
            let right = |item: &&Item| {
                item.video_id
                    .as_str()
                    .parse()
                    .is_ok_and(|v| wanted.contains(&v))
            };
            own.push(items.iter().filter(right).count() as f64 / wanted.len() as f64);
        }
        recalls.push(own);
    }
    let numbers: Vec<u32> = (0..recalls.len() as u32).collect();
    let drawn = draws(&recalls, &numbers, ROUNDS, 1);
    let more = interval(&drawn, |means| means[0] - means[1]);
    println!(
        "shown: Recall@20 {:.4} with the model, {:.4} with the first ranker, {:+.4} [{:+.4}, {:+.4}] ({} users)",
        drawn[0][0],
        drawn[0][1],
        more.mean,
        more.low,
        more.high,
        recalls.len()
    );
    assert!(more.high >= 0.0, "{more:?}");
}
