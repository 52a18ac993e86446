//! The ranker: what it learns, what it may not know, and what is refused.
//!
//! Longer than 400 lines because every claim looks at the same small town and its nights.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::feature::{FEATURES, Scratch, Vector, number};
use engine::index::Index;
use engine::pipeline::{Candidate, Prepared};
use engine::ranker::{Ranker, chance, vectors};
use engine::{
    CategoriesMatch, Event, EventKind, Interaction, Pipeline, Profile, Query, Recipe, UserId,
    UserState, Video, VideoId,
};
use guard::{Deadline, ManualClock};
use learn::train::{Outcome, POSITION_UNKNOWN, Rows, TrainOptions, duel, grow, judge};
use learn::{BuildOptions, Built, GenerationBuilder};
use proptest::prelude::*;
use smol_str::SmolStr;

use crate::town::{START_MS, by, event, open, video};

const DAY_MS: i64 = 86_400_000;
const USERS: u32 = 120;
const VIDEOS: u32 = 60;
const DAYS: i64 = 6;

/// A number from a number, the same every time.
fn mixed(n: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes())
}

fn films() -> Vec<Video> {
    let film = |n: u32| {
        let topic = ["chess", "dance", "bread"][n as usize % 3];
        let mut film = by(&format!("c{}", n % 9), video(&format!("v{n}"), &[topic]));
        film.duration_ms = 10_000 + n * 1_000;
        film.published_at = START_MS - i64::from(n) * DAY_MS;
        film
    };
    (0..VIDEOS).map(film).collect()
}

/// Everybody meets eight videos a day; a long view is likelier for some videos and for the topic
/// the user likes.
fn days(days: std::ops::Range<i64>) -> Vec<Event> {
    let mut events = Vec::new();
    for day in days {
        for user in 0..USERS {
            for n in 0..8u64 {
                let key = mixed(day as u64 * 1_000_003 + u64::from(user) * 1_009 + n);
                let film = (key % u64::from(VIDEOS)) as u32;
                let fits = film % 3 == user % 3;
                let chance = 10 + 40 * u64::from(fits) + u64::from(film % 5) * 8;
                let right = mixed(key) % 100 < chance;
                let at = day * DAY_MS + 3_600_000 * (1 + n as i64 * 2) + i64::from(user);
                let told = |kind| Event {
                    ts_ms: START_MS + at,
                    scene: SmolStr::new_static("home"),
                    slate_position: Some(n as u16),
                    ..event(kind, &format!("u{user}"), &format!("v{film}"), 0)
                };
                events.push(told(EventKind::Impression));
                events.push(Event {
                    watch_ms: Some(if right { 60_000 } else { 1_000 }),
                    duration_ms: Some(10_000 + film * 1_000),
                    ..told(EventKind::Watch)
                });
            }
        }
    }
    events
}

fn night_ms(day: i64) -> i64 {
    START_MS + day * DAY_MS
}

fn train() -> TrainOptions {
    TrainOptions {
        days: 3,
        rows_min: 200,
        trees_max: 40,
        patience: 10,
        depth: 3,
        learning_rate: 0.1,
        ..TrainOptions::default()
    }
}

fn builder(as_of_ms: i64, events: &[Event], train: Option<TrainOptions>) -> GenerationBuilder {
    let mut builder = GenerationBuilder::new(BuildOptions {
        cohort_users_min: 10,
        ranker: train,
        ..BuildOptions::new("night", as_of_ms)
    });
    let add = |video: &Video| builder.add_video(video).unwrap();
    films().iter().for_each(add);
    events
        .iter()
        .for_each(|event| builder.add_event(event).unwrap());
    builder
}

fn built(events: &[Event], train: TrainOptions) -> Built {
    builder(night_ms(DAYS), events, Some(train))
        .finish()
        .unwrap()
}

#[test]
fn a_night_trains_judges_and_publishes_a_model_that_does_not_lose() {
    let mut built = built(&days(0..DAYS), train());
    let trained = built.report.ranker.clone().unwrap();
    assert_eq!(trained.outcome, Outcome::Published, "{trained:?}");
    let judged = trained.judgement.unwrap();
    assert_eq!(judged.impressions, 8 * USERS as usize);
    assert!(judged.auc > 0.65 && judged.gauc > 0.6, "{judged:?}");
    let close = |row: &learn::train::Reliability| (row.said - row.happened).abs() < 0.15;
    assert!(judged.reliability.iter().all(close), "{judged:?}");
    assert!(!trained.duel.unwrap().is_lost());
    let index = open(&mut built);
    let (model, _) = index.ranking().unwrap();
    assert_eq!(model.forest.trees(), trained.trees);
}

#[test]
fn training_again_gives_the_same_bytes_whatever_the_order_of_events() {
    let mut events = days(0..DAYS);
    let mut first = built(&events, train());
    events.reverse();
    events.rotate_left(1_234);
    let mut second = built(&events, train());
    let other = TrainOptions { seed: 2, ..train() };
    let mut third = built(&events, other);
    assert!(first.to_bytes() == second.to_bytes(), "the bytes differ");
    assert!(open(&mut first).model() != open(&mut third).model());
}

#[test]
fn a_model_that_loses_leaves_the_one_of_before_and_nothing_leaves_none() {
    let events = days(0..DAYS);
    let mut strong = built(&events, train());
    let strong: Arc<[u8]> = open(&mut strong).model().into();
    // One split is less than thirty trees knew.
    let weak = TrainOptions {
        trees_max: 1,
        depth: 1,
        learning_rate: 0.001,
        feature_share: 0.05,
        ..train()
    };
    let against = |current: Option<Arc<[u8]>>, options: TrainOptions| {
        let mut built = built(&events, TrainOptions { current, ..options });
        let outcome = built.report.ranker.clone().unwrap().outcome;
        (outcome, open(&mut built).model().to_vec())
    };
    let kept = against(Some(strong.clone()), weak.clone());
    assert_eq!(kept, (Outcome::Kept, strong.to_vec()));
    let few = TrainOptions {
        rows_min: 100_000,
        ..train()
    };
    let kept = against(Some(strong.clone()), few.clone());
    assert_eq!(kept, (Outcome::Kept, strong.to_vec()));
    assert_eq!(against(None, few.clone()), (Outcome::Absent, Vec::new()));
    let broken: Arc<[u8]> = strong[..strong.len() - 1].into();
    assert_eq!(against(Some(broken), few), (Outcome::Absent, Vec::new()));
    assert_eq!(against(Some(strong), train()).0, Outcome::Published);
}

#[test]
fn a_generation_whose_model_fails_its_check_is_refused() {
    let mut built = built(&days(0..DAYS), train());
    let whole = built.to_bytes();
    let model = open(&mut built).model().to_vec();
    let at = whole
        .windows(model.len())
        .position(|own| own == model)
        .unwrap();
    for place in [0, 20, 70, model.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at + place] ^= 1;
        assert!(Index::open(Arc::new(bytes)).is_err(), "byte {place}");
    }
    // What a broken writer would leave: section checksums fit, the model's own does not.
    let mut broken = model;
    broken[64] ^= 1;
    let mut bytes = whole;
    bytes[at..at + broken.len()].copy_from_slice(&broken);
    reseal(&mut bytes, at);
    let error = Index::open(Arc::new(bytes)).unwrap_err();
    assert_eq!(error, engine::IndexError::Inconsistent(50));
}

/// Makes the checksums of the section at `at`, and of the table, fit again.
fn reseal(bytes: &mut [u8], at: usize) {
    use engine::index::format::{Entry, Header};
    use zerocopy::{FromBytes, IntoBytes};
    let (head, entry) = (size_of::<Header>(), size_of::<Entry>());
    let sections = Header::ref_from_prefix(bytes).unwrap().0.sections.get() as usize;
    for n in 0..sections {
        let place = head + n * entry;
        let mut row = Entry::read_from_prefix(&bytes[place..]).unwrap().0;
        if row.offset.get() as usize == at {
            let end = at + row.bytes.get() as usize;
            row.checksum = xxhash_rust::xxh3::xxh3_64(&bytes[at..end]).into();
            bytes[place..place + entry].copy_from_slice(row.as_bytes());
        }
    }
    let mut sum = xxhash_rust::xxh3::Xxh3::new();
    sum.update(&bytes[16..head]);
    sum.update(&bytes[head..head + sections * entry]);
    bytes[8..16].copy_from_slice(&sum.digest().to_le_bytes());
}

/// Notes what the ranker would know of every candidate.
struct Notes(Arc<Mutex<Vec<(u32, Vector)>>>);

#[async_trait]
impl Ranker for Notes {
    fn name(&self) -> &'static str {
        "rank"
    }

    async fn rank(
        &self,
        asked: &Prepared<'_>,
        candidates: &mut [Candidate],
    ) -> Result<(), &'static str> {
        let items: Vec<u32> = candidates.iter().map(|one| one.item).collect();
        let mut known = Vec::new();
        vectors(
            asked,
            items.iter().copied(),
            &mut Scratch::default(),
            &mut known,
        );
        self.0.lock().unwrap().extend(items.into_iter().zip(known));
        Ok(())
    }
}

/// What serving knows of a user's candidates at a moment: the night's profile, and everything the
/// user did since.
async fn served(
    index: &Arc<Index>,
    profile: Option<Profile>,
    since: Vec<Interaction>,
    now_ms: i64,
) -> Vec<(u32, Vector)> {
    let notes = Arc::default();
    let mut pipeline = Pipeline::standard();
    pipeline.set_ranker(Box::new(Notes(Arc::clone(&notes))));
    let state = UserState {
        recent: since,
        profile,
        ..UserState::default()
    };
    let query = query(index, state, now_ms);
    pipeline.run(&query).await;
    let found = notes.lock().unwrap().clone();
    assert!(!found.is_empty());
    found
}

/// What is asked for a user at a moment.
pub fn query(index: &Arc<Index>, state: UserState, now_ms: i64) -> Query {
    Query {
        index: Arc::clone(index),
        recipe: Recipe::Personal,
        user: Some(Arc::new(state)),
        session: Vec::new(),
        scene: SmolStr::new_static("home"),
        market: SmolStr::default(),
        categories: Vec::new(),
        categories_match: CategoriesMatch::Any,
        exclude: Vec::new(),
        hidden: Arc::default(),
        wanted: 20,
        tuning: Arc::default(),
        deadline: Deadline::after(
            Arc::new(ManualClock::starting_at(now_ms)),
            Duration::from_secs(1),
        ),
        now_ms,
        seed: 1,
    }
}

fn bits(vector: &Vector) -> Vec<u32> {
    vector.iter().map(|value| value.to_bits()).collect()
}

#[tokio::test]
async fn training_knows_of_a_user_a_video_and_a_moment_what_serving_knew() {
    // Last night's generation serves today; tonight's training looks back at today.
    let (today, events) = (DAYS - 1, days(0..DAYS));
    let mut last_night = builder(night_ms(today), &events, Some(train()))
        .finish()
        .unwrap();
    let index = Arc::new(open(&mut last_night));
    assert!(index.ranking().is_some());
    let rows = builder(night_ms(DAYS), &events, Some(train()))
        .rehearse()
        .unwrap();
    let judged = &rows[0];
    let mut users: Vec<UserId> = (0..USERS)
        .map(|n| UserId::parse(&format!("u{n}")).unwrap())
        .collect();
    users.sort();
    let (mut compared, mut starts) = (0, 0);
    for own in judged.users.chunk_by(|a, b| a == b) {
        let span = starts..starts + own.len();
        starts = span.end;
        let user = &users[own[0] as usize];
        let profile = last_night.profiles.iter().find(|(id, _)| id == user);
        let profile = profile.map(|(_, profile)| profile.clone());
        let today: Vec<&Event> = events
            .iter()
            .filter(|event| event.user_id == *user && event.ts_ms > night_ms(today))
            .filter(|event| event.kind == EventKind::Impression)
            .collect();
        for (place, moment) in span.zip(today) {
            if place % 37 != 0 {
                continue;
            }
            // Something happened since the night: it is the sources' business.
            let since = vec![Interaction {
                video_id: VideoId::parse("v1").unwrap(),
                kind: EventKind::Like,
                ts_ms: moment.ts_ms - 1,
                watch_ratio: 1.0,
            }];
            let known = served(&index, profile.clone(), since, moment.ts_ms).await;
            let item = judged.items[place];
            assert_eq!(index.video_id(item), moment.video_id.as_str());
            if let Some((_, vector)) = known.iter().find(|(found, _)| *found == item) {
                assert_eq!(bits(vector), bits(&judged.vectors[place]));
                compared += 1;
            }
        }
    }
    assert!(compared >= 5, "only {compared} were candidates");
}

/// The first feature that tells something of the day itself: it changes when only that day does.
fn from_the_future(one: &Rows, other: &Rows) -> Option<&'static str> {
    let pairs = one.vectors.iter().zip(&other.vectors);
    let mut features = pairs.flat_map(|(a, b)| a.iter().zip(b).zip(FEATURES));
    let told = features.find(|((a, b), _)| a.to_bits() != b.to_bits());
    told.map(|(_, feature)| feature.name)
}

#[test]
fn a_feature_from_the_future_is_caught() {
    let events = days(0..DAYS);
    // The same impressions on the last day, with every answer turned round.
    let turned = |event: &Event| Event {
        watch_ms: event
            .watch_ms
            .map(|ms| if ms > 5_000 { 1_000 } else { 60_000 }),
        ..event.clone()
    };
    let last = |event: &Event| event.ts_ms > night_ms(DAYS - 1);
    let otherwise: Vec<Event> = events
        .iter()
        .map(|event| {
            if last(event) {
                turned(event)
            } else {
                event.clone()
            }
        })
        .collect();
    let rows = |events: &[Event]| {
        let days = builder(night_ms(DAYS), events, Some(train())).rehearse();
        days.unwrap().remove(0)
    };
    let (one, other) = (rows(&events), rows(&otherwise));
    assert!(one.right != other.right && one.len() == other.len());
    assert_eq!(from_the_future(&one, &other), None);
    // Planted: the video's rate as it is at the end of the day.
    let plant = |rows: &Rows, events: &[Event]| {
        let mut later = builder(night_ms(DAYS), events, None).finish().unwrap();
        let index = open(&mut later);
        let mut rows = rows.clone();
        let feature = number("video_long_view_rate").unwrap();
        for (vector, item) in rows.vectors.iter_mut().zip(&rows.items) {
            vector[feature] = index.item(*item).unwrap().quality.get();
        }
        rows
    };
    let planted = (plant(&one, &events), plant(&other, &otherwise));
    let caught = from_the_future(&planted.0, &planted.1);
    assert_eq!(caught, Some("video_long_view_rate"));
}

/// Rows whose answer depends on the first feature and on the first place, which the better ones
/// have more often. In odds, the feature is worth 1.4 and the place 1.2.
fn rows(count: usize, told: bool) -> Rows {
    let mut rows = Rows::default();
    for n in 0..count as u64 {
        let value = mixed(n) % 100;
        let first = mixed(n + 7_000_000) % 100 < if value > 50 { 60 } else { 10 };
        let mut vector = [f32::NAN; engine::feature::COUNT];
        vector[0] = value as f32;
        let odds = -1.4 + 1.4 * f32::from(u8::from(value > 50)) + 1.2 * f32::from(u8::from(first));
        let draw = (mixed(n + 9_000_000) % 10_000) as f32 / 10_000.0;
        let right = draw < chance(odds);
        rows.vectors.push(vector);
        rows.right.push(right);
        rows.clicked.push(right);
        rows.positions.push(if told {
            u16::from(!first)
        } else {
            POSITION_UNKNOWN
        });
        rows.users.push((n / 20) as u32);
        rows.items.push(0);
    }
    rows
}

#[test]
fn what_a_position_adds_is_not_learned_as_the_videos_own() {
    let worth = |rows: &Rows| {
        let forest = grow(rows, None, 150, &TrainOptions::default()).unwrap();
        let mut low = [f32::NAN; engine::feature::COUNT];
        let mut high = low;
        (low[0], high[0]) = (10.0, 90.0);
        let mut odds = Vec::new();
        forest.odds(&[low, high], &mut odds);
        odds[1] - odds[0]
    };
    let (told, untold) = (worth(&rows(20_000, true)), worth(&rows(20_000, false)));
    assert!((1.1..1.65).contains(&told), "{told}");
    assert!(untold > told + 0.3, "{untold} against {told}");
}

#[test]
fn a_duel_knows_who_is_better_and_when_it_cannot_tell() {
    let rows = rows(4_000, false);
    let good: Vec<f32> = rows.vectors.iter().map(|v| v[0].max(0.0)).collect();
    let noise: Vec<f32> = (0..rows.len() as u64).map(|n| mixed(n) as f32).collect();
    let won = duel(&rows, &good, &noise, 1);
    assert!(
        won.auc.low > 0.0 && won.gauc.low > 0.0 && !won.is_lost(),
        "{won:?}"
    );
    assert!(duel(&rows, &noise, &good, 1).is_lost());
    let same = duel(&rows, &good, &good, 1);
    assert_eq!((same.auc.low, same.auc.high), (0.0, 0.0));
    let auc = |marks: &[f32]| judge(&rows, marks).unwrap().auc;
    assert!((won.auc.mean - (auc(&good) - auc(&noise))).abs() < 1e-9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_forest_is_sound_whatever_it_is_grown_on(
        values in proptest::collection::vec((any::<f32>(), any::<bool>(), 0u16..40), 2..200),
        depth in 1usize..5,
    ) {
        let mut rows = Rows::default();
        for (n, (value, right, position)) in values.iter().enumerate() {
            let mut vector = [*value; engine::feature::COUNT];
            vector[1] = n as f32;
            rows.vectors.push(vector);
            rows.right.push(*right);
            rows.clicked.push(*right);
            rows.positions.push(*position);
            rows.users.push(n as u32);
            rows.items.push(0);
        }
        let options = TrainOptions { depth, child_weight_min: 0.1, ..TrainOptions::default() };
        let one = grow(&rows, None, 5, &options);
        let mixed = rows.right.contains(&true) && rows.right.contains(&false);
        prop_assert_eq!(one.is_some(), mixed);
        if let Some(forest) = one {
            let mut odds = Vec::new();
            forest.odds(&rows.vectors, &mut odds);
            prop_assert!(odds.iter().all(|odds| odds.is_finite()));
        }
    }
}
