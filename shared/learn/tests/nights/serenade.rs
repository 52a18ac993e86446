//! Shop sessions: each next click predicted from the clicks before it, as the paper does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::index::Index;
use engine::index::format::CfKnobs;
use engine::pipeline::prepared::Seed;
use engine::source::cf::{self, Scratch};
use engine::{Event, EventKind, UserId, Video, VideoId};
use learn::evaluate::Figures;
use learn::{BuildOptions, GenerationBuilder};
use smol_str::{SmolStr, format_smolstr};
use zerocopy::little_endian::{F32, U32};

type Clicks = BTreeMap<String, Vec<(i64, VideoId)>>;

fn read(path: &Path) -> Clicks {
    let mut sessions = Clicks::new();
    for line in std::fs::read_to_string(path).unwrap().lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let seconds: f64 = cells[2].parse().unwrap();
        let click = ((seconds * 1000.0) as i64, VideoId::parse(cells[1]).unwrap());
        sessions.entry(cells[0].to_owned()).or_default().push(click);
    }
    sessions
        .values_mut()
        .for_each(|clicks| clicks.sort_by_key(|(ts_ms, _)| *ts_ms));
    sessions
}

fn build(train: &Clicks, options: BuildOptions) -> Index {
    let options = BuildOptions {
        session_gap_ms: i64::MAX,
        ..options
    };
    let mut builder = GenerationBuilder::new(options);
    for (session, clicks) in train {
        for (ts_ms, video) in clicks {
            builder.add_video(&Video::new(video.clone())).unwrap();
            builder.add_event(&click(session, video, *ts_ms)).unwrap();
        }
    }
    let mut built = builder.finish().unwrap();
    println!("{:?}", built.report);
    Index::open(Arc::new(built.to_bytes())).unwrap()
}

fn own() -> BuildOptions {
    BuildOptions::new("serenade", i64::MAX)
}

fn click(session: &str, video: &VideoId, ts_ms: i64) -> Event {
    Event {
        event_id: SmolStr::new_static("e"),
        kind: EventKind::Click,
        user_id: UserId::parse(&format_smolstr!("s{session}")).unwrap(),
        video_id: video.clone(),
        ts_ms,
        watch_ms: None,
        duration_ms: None,
        scene: SmolStr::default(),
        market: SmolStr::default(),
        creator_id: None,
        undo: false,
        recommendation_id: SmolStr::default(),
        slate_position: None,
        arms: SmolStr::default(),
        made: None,
    }
}

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/serenade");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return None;
    }
    Some(folder)
}

/// As the authors' program counts: sessions above the 99.5th percentile of lengths find nobody and
/// no session is shortened, each video keeps its m newest sessions, a repeated click fills a place
/// among the last, and only the current video is not recommended.
#[test]
fn vmis_knn_by_its_authors_definition_gives_the_figures_of_the_reference() {
    let Some(folder) = folder() else {
        return;
    };
    let options = BuildOptions {
        session_videos_max: usize::MAX,
        session_quantile: 0.995,
        postings_max: 500,
        ..own()
    };
    let index = build(&read(&folder.join("train.txt")), options);
    let knobs = CfKnobs {
        last: U32::new(2),
        sessions: U32::new(500),
        voters: U32::new(50),
        session_share: F32::new(1.0),
        ..CfKnobs::default()
    };
    let valid = read(&folder.join("valid.txt"));
    let exact = judge(&index, &knobs, &valid, false);
    println!(
        "shown: VMIS-kNN m=500 k=50 last=2, sessions cut at p99.5: MRR@20 {:.4} HR@20 {:.4} ({})",
        exact.mrr, exact.hit_rate, exact.users
    );
    assert!((exact.mrr - 0.311).abs() <= 0.003, "{exact:?}");
    assert!((exact.hit_rate - 0.610).abs() <= 0.003, "{exact:?}");
}

#[test]
fn next_clicks_of_shop_sessions_are_predicted_better_than_by_the_reference() {
    let Some(folder) = folder() else {
        return;
    };
    let index = build(&read(&folder.join("train.txt")), own());
    let valid = read(&folder.join("valid.txt"));
    let own = judge(&index, index.cf_knobs(), &valid, true);
    println!(
        "shown: cf as the night chose on the training sessions: MRR@20 {:.4} HR@20 {:.4} ({}), {:?}",
        own.mrr,
        own.hit_rate,
        own.users,
        index.cf_knobs()
    );
    assert!(own.mrr >= 0.316 && own.hit_rate >= 0.637, "{own:?}");
}

/// Each next click from the clicks before it; `once` leaves out repeats, as serving does.
fn judge(index: &Index, knobs: &CfKnobs, valid: &Clicks, once: bool) -> Figures {
    let (mut figures, mut scratch) = (Figures::default(), Scratch::default());
    for clicks in valid.values() {
        let videos: Vec<VideoId> = clicks.iter().map(|(_, video)| video.clone()).collect();
        for next in 1..videos.len() {
            let list = predict(index, knobs, &videos[..next], once, &mut scratch);
            figures.add(&list, &videos[next..=next], 20);
        }
    }
    figures
}

/// The session protocol allows what was clicked before, all but the newest.
fn predict(
    index: &Index,
    knobs: &CfKnobs,
    clicks: &[VideoId],
    once: bool,
    scratch: &mut Scratch,
) -> Vec<VideoId> {
    let newest_first = clicks
        .iter()
        .rev()
        .filter_map(|video| index.find(video.as_str()));
    let mut met = BTreeSet::new();
    let seeds: Vec<Seed> = newest_first
        .filter(|item| met.insert(*item) || !once)
        .map(|item| Seed { item, weight: 1.0 })
        .collect();
    let current = seeds.first().map(|seed| seed.item);
    let best = cf::predict_best(
        index,
        knobs,
        &seeds,
        20,
        |item| Some(item) != current,
        scratch,
    );
    best.iter()
        .filter_map(|row| index.typed_video_id(row.item))
        .collect()
}
