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
use learn::{BuildOptions, Built, CurrentCf, GenerationBuilder};
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
    open(&mut built(train, train, options))
}

fn open(built: &mut Built) -> Index {
    Index::open(Arc::new(built.to_bytes())).unwrap()
}

/// Learned from `train`; the catalogue is what `shop` clicks on.
fn built(shop: &Clicks, train: &Clicks, options: BuildOptions) -> Built {
    let mut builder = GenerationBuilder::new(options);
    for video in &catalogue(shop) {
        builder.add_video(video).unwrap();
    }
    for event in &by_time(train) {
        builder.add_event(event).unwrap();
    }
    let built = builder.finish().unwrap();
    println!("{:?}", built.report);
    built
}

fn catalogue(shop: &Clicks) -> Vec<Video> {
    let ids: BTreeSet<&VideoId> = shop.values().flatten().map(|(_, video)| video).collect();
    ids.into_iter().map(|id| Video::new(id.clone())).collect()
}

fn by_time(clicks: &Clicks) -> Vec<Event> {
    let of = |(session, clicks): (&String, &Vec<(i64, VideoId)>)| -> Vec<Event> {
        let clicks = clicks.iter();
        clicks
            .map(|(ts_ms, video)| click(session, video, *ts_ms))
            .collect()
    };
    let mut events: Vec<Event> = clicks.iter().flat_map(of).collect();
    events.sort_by_key(|event| event.ts_ms);
    events
}

fn own() -> BuildOptions {
    BuildOptions {
        session_gap_ms: i64::MAX,
        ..BuildOptions::new("serenade", i64::MAX)
    }
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

/// What a night that is a day old costs against one that is a few minutes old: the same knobs, the same
/// questions, asked in the order of time.
#[test]
fn next_clicks_are_predicted_no_worse_by_what_is_kept_current() {
    let Some(folder) = folder() else {
        return;
    };
    let train = read(&folder.join("train.txt"));
    let valid = read(&folder.join("valid.txt"));
    let (mut shop, begin_ms) = (train.clone(), by_time(&valid)[0].ts_ms);
    assert!(by_time(&train).iter().all(|event| event.ts_ms < begin_ms));
    // What is first clicked on the judged day is in the catalogue of both.
    for (session, clicks) in &valid {
        shop.insert(format!("valid{session}"), clicks.clone());
    }
    let mut frozen = built(&shop, &train, own());
    let knobs = frozen.report.cf;
    let day_old = judge(&open(&mut frozen), &knobs, &valid, true);
    let mut told = vec![("a day old".to_owned(), day_old)];
    for minutes in [60, 10] {
        let mut cf = CurrentCf::new(own(), &catalogue(&shop)).unwrap();
        by_time(&train)
            .iter()
            .for_each(|event| cf.add_event(event).unwrap());
        let figures = judge_current(&mut frozen, cf, &valid, minutes * 60_000);
        told.push((format!("refreshed every {minutes} minutes"), figures));
    }
    for (
        name,
        Figures {
            mrr,
            hit_rate,
            users,
            ..
        },
    ) in &told
    {
        println!("shown: cf, {name}: MRR@20 {mrr:.4} HR@20 {hit_rate:.4} ({users} clicks)");
    }
    for (name, figures) in &told[1..] {
        assert_eq!(figures.users, day_old.users);
        assert!(
            figures.hit_rate >= day_old.hit_rate && figures.mrr >= day_old.mrr,
            "{name}"
        );
    }
}

/// As [`judge`], each click asked of what was refreshed at most `every_ms` before it.
fn judge_current(built: &mut Built, mut cf: CurrentCf, valid: &Clicks, every_ms: i64) -> Figures {
    let (mut figures, mut scratch) = (Figures::default(), Scratch::default());
    let knobs = built.report.cf;
    let events = by_time(valid);
    let (mut taken, mut known) = (0, BTreeMap::<UserId, Vec<VideoId>>::new());
    built.refresh(&mut cf).unwrap();
    let mut index = open(built);
    for event in &events {
        let refreshed_ms = event.ts_ms - (event.ts_ms - events[0].ts_ms) % every_ms;
        if events[taken].ts_ms < refreshed_ms {
            while events[taken].ts_ms < refreshed_ms {
                cf.add_event(&events[taken]).unwrap();
                taken += 1;
            }
            built.refresh(&mut cf).unwrap();
            index = open(built);
        }
        let clicks = known.entry(event.user_id.clone()).or_default();
        if !clicks.is_empty() {
            let list = predict(&index, &knobs, clicks, true, &mut scratch);
            figures.add(&list, std::slice::from_ref(&event.video_id), 20);
        }
        clicks.push(event.video_id.clone());
    }
    figures
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
