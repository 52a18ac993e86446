//! What the ranker may know: in training what it will know in serving, and nothing of the future.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::feature::{FEATURES, Scratch, Vector, number};
use engine::index::Index;
use engine::pipeline::{Candidate, Prepared};
use engine::ranker::{Ranker, vectors};
use engine::{
    CategoriesMatch, Event, EventKind, Interaction, Pipeline, Profile, Query, Recipe, UserId,
    UserState, VideoId,
};
use guard::{Deadline, ManualClock};
use learn::train::Rows;
use smol_str::SmolStr;

use super::{DAYS, USERS, builder, days, night_ms, train};
use crate::town::open;

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
pub async fn served(
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

pub fn bits(vector: &Vector) -> Vec<u32> {
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
