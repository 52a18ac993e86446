//! Film ratings, split by time: what is new rules, and the night notices without being told.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::index::Index;
use engine::index::format::Findings;
use engine::{
    CategoriesMatch, EngineTuning, Event, EventKind, Interaction, Pipeline, Profile, Query, Recipe,
    UserId, UserState, Video, VideoId,
};
use guard::{Deadline, ManualClock};
use learn::evaluate::Figures;
use learn::{BuildOptions, GenerationBuilder};
use smol_str::SmolStr;

const DAY_MS: i64 = 86_400_000;
const K: usize = 10;

struct Rating {
    user: u32,
    film: u32,
    ts_ms: i64,
}

fn read(folder: &Path) -> (Vec<Video>, Vec<Rating>) {
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let films = text("movies.dat")
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split("::").collect();
            let mut film = Video::new(film_id(cells[0].parse().unwrap()));
            let genres = cells[2].split('|').filter(|genre| !genre.is_empty());
            film.categories = genres.map(SmolStr::new).collect();
            film
        })
        .collect();
    let mut ratings: Vec<Rating> = text("ratings.dat")
        .lines()
        .map(|line| {
            let cells: Vec<i64> = line.split("::").map(|cell| cell.parse().unwrap()).collect();
            Rating {
                user: cells[0] as u32,
                film: cells[1] as u32,
                ts_ms: cells[3] * 1_000,
            }
        })
        .collect();
    ratings.sort_by_key(|rating| rating.ts_ms);
    (films, ratings)
}

fn film_id(number: u32) -> VideoId {
    VideoId::parse(&number.to_string()).unwrap()
}

fn user_id(number: u32) -> UserId {
    UserId::parse(&number.to_string()).unwrap()
}

fn watched(rating: &Rating) -> Event {
    Event {
        event_id: SmolStr::new_static("e"),
        kind: EventKind::Watch,
        user_id: user_id(rating.user),
        video_id: film_id(rating.film),
        ts_ms: rating.ts_ms,
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

/// What serving would know of somebody, oldest first.
fn state(films: &[&Rating], profile: Option<Profile>) -> UserState {
    let newest = films.len().saturating_sub(engine::user::RECENT_MAX);
    let past = |rating: &&Rating| Interaction {
        video_id: film_id(rating.film),
        kind: EventKind::Watch,
        ts_ms: rating.ts_ms,
        watch_ratio: 1.0,
    };
    UserState {
        recent: films[newest..].iter().map(past).collect(),
        seen: films
            .iter()
            .map(|rating| UserState::seen_hash(&rating.film.to_string()))
            .collect(),
        profile,
        ..UserState::default()
    }
}

/// The first new films of a list, by counting who rated them in the week before.
fn last_week(ratings: &[Rating], now_ms: i64) -> Vec<VideoId> {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for rating in ratings.iter().filter(|r| r.ts_ms > now_ms - 7 * DAY_MS) {
        *counts.entry(rating.film).or_default() += 1;
    }
    let mut films: Vec<(u32, u32)> = counts.into_iter().collect();
    films.sort_by_key(|(film, count)| (std::cmp::Reverse(*count), *film));
    films.into_iter().map(|(film, _)| film_id(film)).collect()
}

async fn slate(
    index: &Arc<Index>,
    recipe: Recipe,
    user: Option<UserState>,
    now_ms: i64,
) -> Vec<VideoId> {
    let clock = Arc::new(ManualClock::starting_at(now_ms));
    let query = Query {
        index: Arc::clone(index),
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
        tuning: Arc::new(EngineTuning::default()),
        deadline: Deadline::after(clock, Duration::from_millis(200)),
        now_ms,
        seed: 1,
    };
    let ranked = Pipeline::standard().run(&query).await;
    ranked.items.into_iter().map(|item| item.video_id).collect()
}

/// What a split came to.
struct Judged {
    findings: Findings,
    /// NDCG@10 of popularity of the last seven days, of the trending list, of the whole pipeline.
    mean: [f64; 3],
    /// The pipeline minus popularity of seven days, and half of its 95 % interval.
    better: (f64, f64),
}

async fn splits(shares: &[usize]) -> Vec<Judged> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/movietweetings");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return Vec::new();
    }
    let (films, ratings) = read(&folder);
    let mut judged = Vec::new();
    for share in shares {
        judged.push(judge(&films, &ratings, *share).await);
    }
    judged
}

#[tokio::test]
async fn where_taste_moves_fast_the_night_notices() {
    for judged in splits(&[80, 90, 95]).await {
        notices(&judged.findings);
        let [week, now, _] = judged.mean;
        assert!(
            now >= 0.9 * week,
            "trending {now:.4} against 7-day popularity {week:.4}"
        );
        let (better, half) = judged.better;
        assert!(
            better + half >= 0.0,
            "the pipeline is below 7-day popularity: {better:+.4} ± {half:.4}"
        );
    }
}

#[tokio::test]
#[ignore = "prints the figures of docs/evaluation.md"]
async fn every_split() {
    for judged in splits(&[50, 55, 60, 65, 70, 75, 80, 85, 90, 95]).await {
        notices(&judged.findings);
    }
}

fn notices(findings: &Findings) {
    let forgets_ms = findings.half_life_ms.get().min(findings.window_ms.get());
    assert!(
        forgets_ms <= 14 * DAY_MS,
        "recency was not noticed: {findings:?}"
    );
}

/// Learns from the first `share` percent of all ratings, is judged on the rest.
async fn judge(films: &[Video], ratings: &[Rating], share: usize) -> Judged {
    let (before, after) = ratings.split_at(ratings.len() * share / 100);
    let now_ms = before[before.len() - 1].ts_ms + 1;
    let mut builder = GenerationBuilder::new(BuildOptions::new("films", now_ms));
    films
        .iter()
        .for_each(|film| builder.add_video(film).unwrap());
    before
        .iter()
        .for_each(|rating| builder.add_event(&watched(rating)).unwrap());
    let mut built = builder.finish().unwrap();
    let findings = built.report.findings;
    let index = Arc::new(Index::open(Arc::new(built.to_bytes())).unwrap());
    let profiles: BTreeMap<UserId, Profile> = built.profiles.into_iter().collect();
    let mut met: BTreeMap<u32, Vec<&Rating>> = BTreeMap::new();
    before
        .iter()
        .for_each(|rating| met.entry(rating.user).or_default().push(rating));
    let mut wanted: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    after.iter().for_each(|rating| {
        wanted.entry(rating.user).or_default().insert(rating.film);
    });
    let week = last_week(before, now_ms);
    let mut gains: [Vec<f64>; 3] = Default::default();
    for (user, films) in &wanted {
        let own = met.get(user).map_or(&[][..], Vec::as_slice);
        let seen: HashSet<VideoId> = own.iter().map(|rating| film_id(rating.film)).collect();
        let wanted: Vec<VideoId> = films
            .iter()
            .map(|film| film_id(*film))
            .filter(|film| !seen.contains(film))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let popular: Vec<VideoId> = week
            .iter()
            .filter(|film| !seen.contains(*film))
            .take(K)
            .cloned()
            .collect();
        let state = Some(state(own, profiles.get(&user_id(*user)).cloned()));
        let now = slate(&index, Recipe::Trending, state.clone(), now_ms).await;
        let whole = slate(&index, Recipe::Personal, state, now_ms).await;
        for (gains, list) in gains.iter_mut().zip([popular, now, whole]) {
            let mut figures = Figures::default();
            figures.add(&list, &wanted, K);
            gains.push(figures.ndcg);
        }
    }
    let mean = |gains: &[f64]| gains.iter().sum::<f64>() / gains.len() as f64;
    let [week, now, whole] = &gains;
    let better: Vec<f64> = whole.iter().zip(week).map(|(a, b)| a - b).collect();
    let spread = better
        .iter()
        .map(|x| (x - mean(&better)).powi(2))
        .sum::<f64>();
    let half = 1.96 * spread.sqrt() / better.len() as f64;
    println!(
        "shown: films, first {share} %: NDCG@10 of 7-day popularity {:.4}, trending {:.4}, whole \
         pipeline {:.4} ({:+.4} ± {half:.4}, {} users); counts half or \
         ends after {:.1} d, common share {}",
        mean(week),
        mean(now),
        mean(whole),
        mean(&better),
        better.len(),
        findings.half_life_ms.get().min(findings.window_ms.get()) as f64 / DAY_MS as f64,
        findings.common_share.get(),
    );
    Judged {
        findings,
        mean: [mean(week), mean(now), mean(whole)],
        better: (mean(&better), half),
    }
}
