//! A short-video feed: learned from everything before its last day, judged on that day.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::index::Index;
use engine::{
    CategoriesMatch, CreatorId, EngineTuning, Event, EventKind, Interaction, Pipeline, Profile,
    Query, Recipe, UserId, UserState, Video, VideoId,
};
use guard::{Deadline, ManualClock};
use learn::evaluate::{Figures, jaccard};
use learn::{BuildOptions, GenerationBuilder};
use smol_str::SmolStr;

const DAY_MS: i64 = 86_400_000;
const CHINA_MS: i64 = 8 * 3_600_000;
/// 24 April 2022, 00:00 UTC.
const HISTORY_END_MS: i64 = 1_650_758_400_000;
const K: usize = 20;

/// One row of either file.
#[derive(Clone)]
struct Row {
    user: u32,
    video: u32,
    ts_ms: i64,
    clicked: bool,
    long_view: bool,
    watch_ms: Option<u32>,
    duration_ms: u32,
}

struct Feed {
    videos: Vec<Video>,
    rows: Vec<Row>,
    last_day: i64,
}

fn day(ts_ms: i64) -> i64 {
    (ts_ms + CHINA_MS).div_euclid(DAY_MS)
}

fn number<T: std::str::FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

fn read(folder: &Path) -> Feed {
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

fn user_id(number: u32) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

fn events(row: &Row) -> Vec<Event> {
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
fn state(rows: &[&Row], profile: Option<Profile>) -> UserState {
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

/// A name, a recipe, and the weights of its sources.
type Contender<'a> = (&'a str, Recipe, &'a [(&'a str, f32)]);

struct Asked {
    pipeline: Pipeline,
    index: Arc<Index>,
    tuning: Arc<EngineTuning>,
    now_ms: i64,
}

impl Asked {
    async fn list(&self, recipe: Recipe, user: Option<UserState>) -> Vec<VideoId> {
        let clock = Arc::new(ManualClock::starting_at(self.now_ms));
        let query = Query {
            index: Arc::clone(&self.index),
            recipe,
            user: user.map(Arc::new),
            session: Vec::new(),
            scene: SmolStr::new_static("home"),
            market: SmolStr::default(),
            categories: Vec::new(),
            categories_match: CategoriesMatch::Any,
            exclude: Vec::new(),
            hidden: Arc::default(),
            wanted: K,
            tuning: Arc::clone(&self.tuning),
            deadline: Deadline::after(clock, Duration::from_millis(200)),
            now_ms: self.now_ms,
            seed: 1,
        };
        let ranked = self.pipeline.run(&query).await;
        assert!(ranked.degraded.is_empty(), "{:?}", ranked.degraded);
        ranked.items.into_iter().map(|item| item.video_id).collect()
    }
}

/// Weights of the sources.
fn weighted(weights: &[(&str, f32)]) -> Arc<EngineTuning> {
    let mut tuning = EngineTuning::default();
    let home = tuning.scenes.get_mut("home").unwrap();
    home.weights = weights
        .iter()
        .map(|(name, w)| ((*name).to_owned(), *w))
        .collect();
    Arc::new(tuning)
}

#[tokio::test]
async fn on_a_short_video_feed_slates_are_personal_and_better_than_popularity() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/kuairand-pure");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return;
    }
    let feed = read(&folder);
    let personal = judge(&feed, feed.last_day).await;
    assert!(
        personal.0 > 1.5 * personal.1,
        "recall {} against popularity's {}",
        personal.0,
        personal.1
    );
    assert!(
        personal.2 <= 0.3,
        "mean similarity of two users' slates is {}",
        personal.2
    );
}

/// Recall of the pipeline and of popularity, and how alike two users' slates are.
async fn judge(feed: &Feed, day_judged: i64) -> (f64, f64, f64) {
    let as_of_ms = day_judged * DAY_MS - CHINA_MS - 1;
    let mut builder = GenerationBuilder::new(BuildOptions::new("kuairand", as_of_ms));
    for video in &feed.videos {
        builder.add_video(video).unwrap();
    }
    let mut met: HashMap<u32, Vec<&Row>> = HashMap::new();
    for row in feed.rows.iter().filter(|row| row.ts_ms <= as_of_ms) {
        events(row)
            .iter()
            .for_each(|event| builder.add_event(event).unwrap());
        met.entry(row.user).or_default().push(row);
    }
    let mut built = builder.finish().unwrap();
    println!("{:?}", built.report);
    let bytes = built.to_bytes();
    let profiles: HashMap<UserId, Profile> = built.profiles.into_iter().collect();
    let wanted = wanted(feed, day_judged, &met);
    let mut users: Vec<u32> = wanted.keys().copied().collect();
    users.sort_unstable();
    let mut asked = Asked {
        pipeline: Pipeline::standard(),
        index: Arc::new(Index::open(Arc::new(bytes)).unwrap()),
        tuning: Arc::default(),
        now_ms: as_of_ms + 1,
    };
    let mut table = Vec::new();
    let rows: [Contender<'_>; 6] = [
        (
            "pipeline",
            Recipe::Personal,
            &[("cf", 0.4), ("content", 0.35), ("trending", 0.25)],
        ),
        ("popular", Recipe::Popular, &[("cf", 1.0)]),
        ("trending", Recipe::Trending, &[("cf", 1.0)]),
        ("cf", Recipe::Personal, &[("cf", 1.0)]),
        ("content", Recipe::Personal, &[("content", 1.0)]),
        ("cohort", Recipe::Personal, &[("cohort", 1.0)]),
    ];
    for (name, recipe, weights) in rows {
        asked.tuning = weighted(weights);
        let mut figures = Figures::default();
        let mut lists: Vec<Vec<VideoId>> = Vec::new();
        for user in &users {
            let rows = met.get(user).map_or(&[][..], Vec::as_slice);
            let state = state(rows, profiles.get(&user_id(*user)).cloned());
            let list = asked.list(recipe.clone(), Some(state)).await;
            let distinct: HashSet<&VideoId> = list.iter().collect();
            assert_eq!((list.len(), distinct.len()), (K, K), "{name}");
            assert!(
                rows.iter().all(|row| !list.contains(&video_id(row.video))),
                "{name}"
            );
            figures.add(&list, &wanted[user], K);
            lists.push(list);
        }
        let alike = similarity(&lists);
        println!(
            "{name:14} Recall@20 {:.4} NDCG@20 {:.4} HR@20 {:.4} Jaccard {alike:.3} ({} users)",
            figures.recall, figures.ndcg, figures.hit_rate, figures.users
        );
        table.push((figures.recall, alike));
    }
    (table[0].0, table[1].0, table[0].1)
}

/// What users watched long on a day and had not met before.
fn wanted(
    feed: &Feed,
    day_judged: i64,
    met: &HashMap<u32, Vec<&Row>>,
) -> HashMap<u32, Vec<VideoId>> {
    let mut wanted: HashMap<u32, Vec<VideoId>> = HashMap::new();
    for row in feed
        .rows
        .iter()
        .filter(|row| day(row.ts_ms) == day_judged && row.long_view)
    {
        let before = met.get(&row.user).map_or(&[][..], Vec::as_slice);
        let own = wanted.entry(row.user).or_default();
        let video = video_id(row.video);
        if before.iter().all(|old| old.video != row.video) && !own.contains(&video) {
            own.push(video);
        }
    }
    wanted.retain(|_, videos| !videos.is_empty());
    wanted
}

/// Mean similarity of neighbours in a shuffled order of users.
fn similarity(lists: &[Vec<VideoId>]) -> f64 {
    let far = lists.len() / 2 + 1;
    let pairs = (0..lists.len()).map(|n| (n, (n * 7919 + far) % lists.len()));
    let pairs = pairs.filter(|(a, b)| a != b);
    let (sum, count) = pairs.fold((0.0, 0), |(sum, count), (a, b)| {
        (sum + jaccard(&lists[a], &lists[b]), count + 1)
    });
    sum / f64::from(count)
}
