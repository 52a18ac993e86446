//! What `served` rows name is learned from as it was then.

use std::sync::Arc;

use engine::event::Made;
use engine::feature::number;
use engine::index::Index;
use engine::{Event, EventKind, Interaction, Profile, UserId, Video, VideoId};
use learn::train::{Rows, TrainOptions};
use learn::{Built, GenerationBuilder, Past};
use smol_str::format_smolstr;

use super::knowledge::{bits, served};
use super::{DAY_MS, DAYS, USERS, builder, films, night_ms, train};
use crate::town::{by, open, video};

/// The day that is looked back at.
const TODAY: i64 = DAYS - 1;

/// Where a video is shown.
fn scene(video: &VideoId) -> &'static str {
    let of_four = video.as_str().ends_with(['0', '4', '8']);
    if of_four { "up_next" } else { "home" }
}

/// The days' events in two scenes.
fn days(days: std::ops::Range<i64>) -> Vec<Event> {
    let placed = |event: Event| Event {
        scene: scene(&event.video_id).into(),
        ..event
    };
    super::days(days).into_iter().map(placed).collect()
}

/// What is known tonight, with everything of today told by slates of one generation: what happened,
/// of which clients say no scene, and `served` rows a minute before each impression.
fn told(generation: &str) -> (Vec<Event>, Vec<Event>) {
    let mut happened = days(0..DAYS);
    let mut rows = Vec::new();
    for (number, event) in happened.iter_mut().enumerate() {
        if event.kind == EventKind::Impression && event.ts_ms > night_ms(TODAY) {
            event.recommendation_id = format_smolstr!("slate{number}");
            rows.push(Event {
                kind: EventKind::Served,
                ts_ms: event.ts_ms - 60_000,
                made: Made::new(generation, Made::CERTAIN_PPB),
                ..event.clone()
            });
            event.scene = "".into();
        }
    }
    (happened, rows)
}

/// What arrived late: the night that served knew nothing of it.
fn late() -> impl Iterator<Item = Event> {
    let yesterday = |event: &Event| event.ts_ms > night_ms(TODAY - 1);
    let before = days(0..TODAY).into_iter().filter(yesterday);
    before.filter(|event| event.user_id.as_str() < "u2")
}

/// The generation that served today.
fn serves() -> (Built, Arc<Index>) {
    let arrived = days(0..TODAY);
    let late: Vec<Event> = late().collect();
    let known: Vec<Event> = arrived
        .into_iter()
        .filter(|event| !late.contains(event))
        .collect();
    let mut built = builder(night_ms(TODAY), &known, Some(train()))
        .finish()
        .unwrap();
    let index = Arc::new(open(&mut built));
    (built, index)
}

/// Tonight's builder: since last night the catalogue has changed, and late events have come.
fn tonight(happened: &[Event], rows: &[Event]) -> GenerationBuilder {
    tonight_with(happened, rows, train())
}

fn tonight_with(happened: &[Event], rows: &[Event], train: TrainOptions) -> GenerationBuilder {
    let mut builder = builder(night_ms(DAYS), happened, Some(train));
    rows.iter().for_each(|row| builder.add_event(row).unwrap());
    let changed = |film: Video| Video {
        duration_ms: film.duration_ms / 2,
        ..by("somebody-else", film)
    };
    // A video with an id before all others moves every dense id.
    let new = [video("a-new-one", &["chess"])];
    let films = films().into_iter().map(changed).chain(new);
    films.for_each(|film| builder.add_video(&film).unwrap());
    builder
}

fn newest(builder: GenerationBuilder) -> Rows {
    builder.rehearse().unwrap().remove(0)
}

fn vectors(rows: &Rows) -> Vec<Vec<u32>> {
    rows.vectors.iter().map(bits).collect()
}

#[tokio::test]
async fn features_are_those_that_were_served_whatever_is_known_by_now() {
    let (built, index) = serves();
    let past = Past::new(Arc::clone(&index), built.profiles.clone());
    let (_, outlook) = index.ranking().unwrap();
    let of_scene = number("scene_long_view_rate").unwrap();
    let (happened, rows) = told("night");
    let looked_back = |past: Option<Past>| {
        let mut builder = tonight(&happened, &rows);
        assert_eq!(builder.served_by(), ["night"]);
        assert!(builder.learns_from(&user("u1")) && !builder.learns_from(&user("nobody")));
        past.into_iter().for_each(|past| builder.add_past(past));
        newest(builder)
    };
    let (with, without) = (looked_back(Some(past.clone())), looked_back(None));
    assert_eq!(with.len(), without.len());
    assert!(
        vectors(&with) != vectors(&without),
        "the night again is another"
    );
    let mut users: Vec<UserId> = (0..USERS).map(|n| user(&format!("u{n}"))).collect();
    users.sort();
    let (mut compared, mut place) = (0, 0);
    for own in with.users.chunk_by(|a, b| a == b) {
        let user = &users[own[0] as usize];
        let own_rows = rows.iter().filter(|row| row.user_id == *user);
        for (place, row) in (place..).zip(own_rows) {
            let rate = outlook.scene(scene(&row.video_id));
            assert_eq!(with.vectors[place][of_scene].to_bits(), rate.to_bits());
            if place % 37 == 0 && rate.to_bits() == outlook.scene("home").to_bits() {
                let profile = profile_of(&built, user);
                let liked = vec![Interaction {
                    video_id: VideoId::parse("v1").unwrap(),
                    kind: EventKind::Like,
                    ts_ms: row.ts_ms - 1,
                    watch_ratio: 1.0,
                }];
                let known = served(&index, profile, liked, row.ts_ms).await;
                let item = with.items[place];
                assert_eq!(index.video_id(item), row.video_id.as_str());
                if let Some((_, vector)) = known.iter().find(|(found, _)| *found == item) {
                    assert_eq!(bits(vector), bits(&with.vectors[place]));
                    compared += 1;
                }
            }
        }
        place += own.len();
    }
    assert!(compared >= 5, "only {compared} were candidates");
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn profile_of(built: &Built, user: &UserId) -> Option<Profile> {
    let own = built.profiles.iter().find(|(id, _)| id == user);
    own.map(|(_, profile)| profile.clone())
}

#[test]
fn rows_that_were_lost_leave_impressions_out_and_when_most_are_the_night_is_made_again() {
    let (built, index) = serves();
    let past = Past::new(index, built.profiles);
    let (happened, rows) = told("night");
    let learned = |rows: &[Event], past: Option<&Past>| {
        let mut builder = tonight(&happened, rows);
        past.into_iter()
            .for_each(|past| builder.add_past(past.clone()));
        let trained = builder.finish().unwrap().report.ranker.unwrap();
        let mut builder = tonight(&happened, rows);
        past.into_iter()
            .for_each(|past| builder.add_past(past.clone()));
        (trained.as_served, trained.left_out, newest(builder).len())
    };
    let (all, quarter) = (rows.len(), rows.len() / 4);
    assert_eq!(learned(&rows, Some(&past)), (all, 0, all));
    let most = learned(&rows[quarter..], Some(&past));
    assert_eq!(most, (all - quarter, quarter, all - quarter));
    let few = learned(&rows[..quarter], Some(&past));
    assert_eq!(few, (quarter, 0, all));
    // Nothing is at hand, or nothing was said.
    assert_eq!(learned(&rows, None), (0, 0, all));
    assert_eq!(learned(&[], Some(&past)), (0, 0, all));
    // Most, and still too few to learn from.
    let wanted = TrainOptions {
        rows_min: all,
        ..train()
    };
    let mut builder = tonight_with(&happened, &rows[quarter..], wanted);
    builder.add_past(past);
    let trained = builder.finish().unwrap().report.ranker.unwrap();
    assert_eq!((trained.as_served, trained.left_out), (all - quarter, 0));
}

#[test]
fn what_is_said_to_be_served_before_it_was_known_is_not_read() {
    let (happened, rows) = told("night");
    // A generation that knows how the day ended, under the name that the rows give.
    let mut built = builder(night_ms(DAYS), &happened, None).finish().unwrap();
    let future = Past::new(Arc::new(open(&mut built)), built.profiles.clone());
    let mut planted = tonight(&happened, &rows);
    planted.add_past(future);
    let honest = newest(tonight(&happened, &rows));
    assert!(
        vectors(&newest(planted)) == vectors(&honest),
        "the future was read"
    );
}

#[test]
fn what_was_shown_before_its_generation_knew_what_it_knows_is_not_read_from_it() {
    let (built, index) = serves();
    let (mut happened, mut rows) = told("night");
    // Clients whose clocks are a day behind answer slates of today.
    let yesterday = |event: &Event| {
        (night_ms(TODAY - 1)..night_ms(TODAY)).contains(&event.ts_ms)
            && event.kind == EventKind::Impression
    };
    for (n, event) in happened.iter_mut().enumerate() {
        if yesterday(event) {
            event.recommendation_id = format_smolstr!("late{n}");
            rows.push(Event {
                kind: EventKind::Served,
                ts_ms: event.ts_ms + DAY_MS,
                made: Made::new("night", Made::CERTAIN_PPB),
                ..event.clone()
            });
        }
    }
    let mut builder = tonight(&happened, &rows);
    builder.add_past(Past::new(index, built.profiles));
    let trained = builder.finish().unwrap().report.ranker.unwrap();
    assert_eq!(trained.as_served, newest(tonight(&happened, &rows)).len());
}

#[test]
fn looking_back_gives_the_same_whatever_the_order_of_events() {
    let (built, index) = serves();
    let past = Past::new(index, built.profiles);
    let (mut happened, mut rows) = told("night");
    // Told twice, the second time later and by another: the first counts.
    let again: Vec<Event> = rows
        .iter()
        .map(|row| Event {
            ts_ms: row.ts_ms + 30_000,
            made: Made::new("another", 1),
            ..row.clone()
        })
        .collect();
    rows.extend(again);
    let looked_back = |happened: &[Event], rows: &[Event]| {
        let mut builder = tonight(happened, rows);
        builder.add_past(past.clone());
        newest(builder)
    };
    let one = looked_back(&happened, &rows);
    happened.reverse();
    rows.reverse();
    let other = looked_back(&happened, &rows);
    assert_eq!(vectors(&one), vectors(&other));
    assert_eq!((one.users, one.items), (other.users, other.items));
}
