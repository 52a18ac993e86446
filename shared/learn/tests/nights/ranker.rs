//! The ranker: what it learns, what it may not know, and what is refused.

mod as_served;
pub mod knowledge;
mod trees;

use std::sync::Arc;

use engine::index::Index;
use engine::{Event, EventKind, Video};
use learn::train::{Outcome, TrainOptions};
use learn::{BuildOptions, Built, GenerationBuilder};
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
