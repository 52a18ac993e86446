//! A short-video feed: learned from everything before its last day, judged on that day.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::index::Index;
use engine::{
    CategoriesMatch, CreatorId, EngineTuning, Event, EventKind, Interaction, Pipeline, Profile,
    Query, Recipe, UserId, UserState, Video, VideoId,
};
use guard::{Deadline, ManualClock};
use learn::evaluate::baseline::{ItemKnn, KnnKnobs, Pairs, Popularity, Scorer, slates};
use learn::evaluate::{Contender, Course, Log, LogBuilder, Protocol, Report, jaccard};
use learn::{BuildOptions, GenerationBuilder};
use smol_str::SmolStr;

pub(crate) const DAY_MS: i64 = 86_400_000;
pub(crate) const CHINA_MS: i64 = 8 * 3_600_000;
/// 24 April 2022, 00:00 UTC.
const HISTORY_END_MS: i64 = 1_650_758_400_000;
const K: usize = 20;

/// One row of either file.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) user: u32,
    pub(crate) video: u32,
    pub(crate) ts_ms: i64,
    pub(crate) clicked: bool,
    pub(crate) long_view: bool,
    pub(crate) watch_ms: Option<u32>,
    pub(crate) duration_ms: u32,
}

pub(crate) struct Feed {
    pub(crate) videos: Vec<Video>,
    pub(crate) rows: Vec<Row>,
    pub(crate) last_day: i64,
}

pub(crate) fn day(ts_ms: i64) -> i64 {
    (ts_ms + CHINA_MS).div_euclid(DAY_MS)
}

fn number<T: std::str::FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

pub(crate) fn read(folder: &Path) -> Feed {
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let mut rows = Vec::new();
    for line in text("impressions_0425_0430.tsv").lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |n: usize| cells.get(n).copied();
        rows.push(Row {
            user: number(cell(0)).unwrap(),
            video: number(cell(1)).unwrap(),
            ts_ms: number(cell(2)).unwrap(),
            clicked: cell(3) == Some("1"),
            long_view: cell(9) == Some("1"),
            watch_ms: number(cell(10)),
            duration_ms: number(cell(11)).unwrap_or(0),
        });
    }
    let last_day = rows.iter().map(|row| day(row.ts_ms)).max().unwrap();
    // The history has an order and no time: it ends before the first impression, six hours a row.
    let mut end_ms = HashMap::new();
    let history = text("history_before_0425_longview.tsv");
    for line in history
        .lines()
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        let cells: Vec<u32> = line.split('\t').map(|cell| cell.parse().unwrap()).collect();
        let end_ms = end_ms.entry(cells[0]).or_insert(HISTORY_END_MS);
        rows.push(Row {
            user: cells[0],
            video: cells[2],
            ts_ms: *end_ms,
            clicked: false,
            long_view: true,
            watch_ms: Some(engine::event::LONG_VIEW_MS),
            duration_ms: 0,
        });
        *end_ms -= 6 * 3_600_000;
    }
    rows.sort_by_key(|row| row.ts_ms);
    let videos = text("video_features_basic_pure.csv")
        .lines()
        .skip(1)
        .map(video)
        .collect();
    Feed {
        videos,
        rows,
        last_day,
    }
}

fn video(line: &str) -> Video {
    let (line, tags) = match line.split_once('"') {
        Some((line, tags)) => (line.trim_end_matches(','), tags.trim_end_matches('"')),
        None => line.rsplit_once(',').unwrap(),
    };
    let cells: Vec<&str> = line.split(',').collect();
    let mut video = Video::new(VideoId::parse(cells[0]).unwrap());
    video.creator = CreatorId::parse(cells[1]).ok();
    video.duration_ms = cells[6].parse::<f64>().map_or(0, |ms| ms as u32);
    video.categories = tags
        .split(',')
        .filter(|t| !t.is_empty())
        .map(SmolStr::new)
        .collect();
    let days: String = cells[3].chars().filter(char::is_ascii_digit).collect();
    video.published_at = days.parse::<i64>().unwrap_or(0);
    video
}

fn video_id(number: u32) -> VideoId {
    VideoId::parse(&number.to_string()).unwrap()
}

pub(crate) fn user_id(number: u32) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

pub(crate) fn events(row: &Row) -> Vec<Event> {
    let mut events = Vec::new();
    let mut event = |kind: EventKind| {
        events.push(Event {
            event_id: SmolStr::new_static("e"),
            kind,
            user_id: user_id(row.user),
            video_id: video_id(row.video),
            ts_ms: row.ts_ms,
            watch_ms: row.watch_ms.filter(|_| kind == EventKind::Watch),
            duration_ms: Some(row.duration_ms).filter(|ms| *ms > 0),
            scene: SmolStr::default(),
            market: SmolStr::default(),
            creator_id: None,
            undo: false,
            recommendation_id: SmolStr::default(),
            slate_position: None,
            arms: SmolStr::default(),
            made: None,
        });
    };
    if row.ts_ms > HISTORY_END_MS {
        event(EventKind::Impression);
    }
    if row.clicked {
        event(EventKind::Click);
    }
    event(EventKind::Watch);
    events
}

/// What serving would know of a user who met these rows, oldest first.
pub(crate) fn state(rows: &[&Row], profile: Option<Profile>) -> UserState {
    let interaction = |row: &&Row| Interaction {
        video_id: video_id(row.video),
        kind: EventKind::Watch,
        ts_ms: row.ts_ms,
        watch_ratio: match (row.watch_ms, row.duration_ms) {
            (None, _) | (Some(_), 0) => f32::from(u8::from(row.long_view)),
            (Some(watched), duration) => (watched as f32 / duration as f32).min(1.0),
        },
    };
    let newest = rows.len().saturating_sub(engine::user::RECENT_MAX);
    UserState {
        recent: rows[newest..].iter().map(interaction).collect(),
        seen: rows
            .iter()
            .map(|r| UserState::seen_hash(&r.video.to_string()))
            .collect(),
        profile,
        ..UserState::default()
    }
}

/// The service as a contender.
struct Asked<'a> {
    log: &'a Log,
    course: &'a Course,
    index: Arc<Index>,
    states: HashMap<u32, Arc<UserState>>,
}

impl Asked<'_> {
    async fn contender(&self) -> Contender {
        let (pipeline, tuning) = (Pipeline::standard(), Arc::new(EngineTuning::default()));
        let mut slates = Vec::new();
        for exam in &self.course.exams {
            let clock = Arc::new(ManualClock::starting_at(self.course.now_ms));
            let query = Query {
                index: Arc::clone(&self.index),
                recipe: Recipe::Personal,
                user: self.states.get(&exam.user).cloned(),
                session: Vec::new(),
                scene: SmolStr::new_static("home"),
                market: SmolStr::default(),
                categories: Vec::new(),
                categories_match: CategoriesMatch::Any,
                exclude: Vec::new(),
                hidden: Arc::default(),
                wanted: K,
                tuning: Arc::clone(&tuning),
                deadline: Deadline::after(clock, Duration::from_millis(200)),
                now_ms: self.course.now_ms,
                seed: u64::from(exam.user),
            };
            let ranked = pipeline.run(&query).await;
            assert!(ranked.degraded.is_empty(), "{:?}", ranked.degraded);
            let ids = ranked.items.iter().map(|item| item.video_id.as_str());
            slates.push(ids.filter_map(|id| self.log.video(id)).collect());
        }
        Contender {
            name: "reelway".to_owned(),
            slates,
            ..Contender::default()
        }
    }
}

#[tokio::test]
async fn on_a_short_video_feed_the_service_beats_what_an_afternoon_would_build() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/kuairand-pure");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return;
    }
    let feed = read(&folder);
    let from_ms = feed.last_day * DAY_MS - CHINA_MS;
    let until_ms = from_ms + DAY_MS;
    let mut log = LogBuilder::new(engine::event::LONG_VIEW_MS);
    let mut builder = GenerationBuilder::new(BuildOptions::new("kuairand", from_ms - 1));
    for video in &feed.videos {
        log.add_video(video).unwrap();
        builder.add_video(video).unwrap();
    }
    let mut met: HashMap<UserId, Vec<&Row>> = HashMap::new();
    for row in &feed.rows {
        for event in events(row) {
            log.add_event(&event).unwrap();
            // What is later is left out by the night itself.
            builder.add_event(&event).unwrap();
        }
        if row.ts_ms < from_ms {
            met.entry(user_id(row.user)).or_default().push(row);
        }
    }
    let log = log.finish();
    let course = Course::new(&log, Protocol::Time { from_ms, until_ms });
    let mut built = builder.finish().unwrap();
    println!("{:?}", built.report);
    let index = Index::open(Arc::new(built.to_bytes())).unwrap();
    let profiles: HashMap<UserId, Profile> = built.profiles.into_iter().collect();
    let state_of = |exam: &learn::evaluate::Exam| {
        let id = &log.users[exam.user as usize];
        let rows = met.get(id).map_or(&[][..], Vec::as_slice);
        (exam.user, Arc::new(state(rows, profiles.get(id).cloned())))
    };
    let asked = Asked {
        log: &log,
        course: &course,
        index: Arc::new(index),
        states: course.exams.iter().map(state_of).collect(),
    };
    // What `reelway evaluate --utc-offset 8` says it chose on the day before, see docs/evaluation.md;
    // here nothing is chosen.
    let knobs = KnnKnobs {
        neighbours: 200,
        shrink: 5.0,
        newest: usize::MAX,
    };
    let pairs = Pairs::new(&course, log.videos.len());
    let baselines: [(&str, &dyn Scorer); 2] = [
        ("popularity", &Popularity::new(&course, log.videos.len())),
        ("item-kNN", &ItemKnn::new(&pairs, knobs)),
    ];
    let mut all = vec![asked.contender().await];
    all.extend(baselines.map(|(name, scorer)| Contender {
        name: name.to_owned(),
        slates: slates(&log, &course, scorer, K),
        ..Contender::default()
    }));
    let report = Report::new(&log, &course, &all, 1);
    println!("{}", report.table());
    for row in &report.rows {
        assert!(!row.breaches.any(), "{}: {:?}", row.name, row.breaches);
        let recall = row.measures["Recall@20"];
        let pair = row.first_minus_this.get("Recall@20");
        let pair = pair.map_or(String::new(), |p| {
            format!(", reelway {:+.4} [{:+.4}, {:+.4}]", p.mean, p.low, p.high)
        });
        println!(
            "shown: KuaiRand last day, {} users: {} Recall@20 {:.4}{pair}",
            report.users, row.name, recall.mean
        );
    }
    for (baseline, _) in baselines {
        let pair = report.row(baseline).unwrap().first_minus_this["Recall@20"];
        assert!(pair.low > 0.0, "{baseline}: {pair:?}");
    }
    let alike = similarity(&all[0].slates);
    assert!(
        alike <= 0.3,
        "mean similarity of two users' slates is {alike}"
    );
}

/// Mean similarity of neighbours in a shuffled order of users.
fn similarity(lists: &[Vec<u32>]) -> f64 {
    let far = lists.len() / 2 + 1;
    let pairs = (0..lists.len()).map(|n| (n, (n * 7919 + far) % lists.len()));
    let pairs = pairs.filter(|(a, b)| a != b);
    let (sum, count) = pairs.fold((0.0, 0), |(sum, count), (a, b)| {
        (sum + jaccard(&lists[a], &lists[b]), count + 1)
    });
    sum / f64::from(count)
}
