//! What the night finds out on its own about tastes as a whole.

use engine::index::format::{COMMON_SHARE, Findings};
use engine::{Event, EventKind, Video};
use learn::BuildOptions;

use crate::town::{HOUR_MS, START_MS, build, event, video};

const DAYS: i64 = 20;
/// Films of a series, in the order they are watched.
const FILMS: i64 = 6;
const SERIES: i64 = 60;
const SESSIONS: i64 = 400;

fn film(series: i64, number: i64) -> String {
    format!("s{series}-{number}")
}

fn found(events: &[Event]) -> Findings {
    let films: Vec<Video> = (0..SERIES)
        .flat_map(|series| (0..FILMS).map(move |number| video(&film(series, number), &[])))
        .collect();
    let options = BuildOptions::new("night", START_MS + DAYS * 24 * HOUR_MS);
    build(options, &films, events).report.findings
}

/// Nobody ever comes back; a session likes so many films of its series, one after the other.
fn sessions(length: i64, series_of: impl Fn(i64, i64) -> i64) -> Vec<Event> {
    sessions_a_day(SESSIONS, length, series_of)
}

fn sessions_a_day(count: i64, length: i64, series_of: impl Fn(i64, i64) -> i64) -> Vec<Event> {
    let mut all = Vec::new();
    for (day, session) in (0..DAYS).flat_map(|day| (0..count).map(move |n| (day, n))) {
        let (series, hour) = (series_of(day, session), day * 24 + 12);
        let first = (session / SERIES) % (FILMS - length + 1);
        all.extend((first..first + length).map(|number| {
            let user = format!("{length}-{day}-{session}");
            let liked = event(EventKind::Like, &user, &film(series, number), hour);
            Event {
                ts_ms: liked.ts_ms + number * 60_000,
                ..liked
            }
        }));
    }
    all
}

fn evenly(_day: i64, session: i64) -> i64 {
    session % SERIES
}

#[test]
fn where_nobody_comes_back_sessions_say_what_a_seed_is_worth() {
    let found = found(&sessions(4, evenly));
    let [cf, _, common] = found.worth.map(|worth| worth.get());
    assert!(cf > 2.0 * common && common > 0.0, "{found:?}");
    assert!(found.common_share.get() < COMMON_SHARE, "{found:?}");
}

#[test]
fn what_was_never_right_is_worth_little_and_says_nothing_of_the_others() {
    // The first series are the hot ones, until the last day, when nobody watches them.
    let cold = |session: i64| 20 + session % (SERIES - 20);
    let found = found(&sessions(4, |day, session| match session % 3 {
        0 => cold(session),
        _ if day == DAYS - 1 => cold(session),
        _ => session % 20,
    }));
    let [cf, _, common] = found.worth.map(|worth| worth.get());
    assert!(common > 0.0 && common < 1e-4, "{found:?}");
    assert!(cf > 0.01, "{found:?}");
}

#[test]
fn where_hardly_anything_follows_anything_nothing_is_concluded_of_seeds() {
    let mut events = sessions(1, evenly);
    events.extend(sessions_a_day(40, 4, evenly));
    let found = found(&events);
    // A stretch was judged: where all days are alike the last window is as good as any, and it ends.
    assert_ne!(found.window_ms, Findings::default().window_ms, "{found:?}");
    assert_eq!(found.worth, Findings::default().worth);
    assert_eq!(found.common_share, Findings::default().common_share);
}

#[test]
fn the_many_who_like_one_film_do_not_take_the_places_of_those_who_tell_something() {
    let mut events = sessions_a_day(3_000, 1, evenly);
    events.extend(sessions_a_day(120, 4, evenly));
    let found = found(&events);
    let [cf, _, common] = found.worth.map(|worth| worth.get());
    assert!(cf > 2.0 * common && common > 0.0, "{found:?}");
}
