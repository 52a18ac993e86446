//! What is kept current while the judged part goes by knows everything before and nothing after.

use std::collections::BTreeMap;

use engine::index::Index;
use engine::index::format::Scored;
use engine::pipeline::prepared::Seed;
use engine::source::cf::{Scratch, predict_best};
use engine::{Event, EventKind, UserId, Video, VideoId};
use learn::evaluate::{Course, Exam, Log, LogBuilder, Protocol, Replay};
use learn::{BuildOptions, CurrentCf};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::town::{HOUR_MS, START_MS, build, event, open, options, video};

const FROM_MS: i64 = START_MS + 40 * HOUR_MS;
const UNTIL_MS: i64 = START_MS + 90 * HOUR_MS;
const FILMS: u32 = 8;

fn catalogue() -> Vec<Video> {
    (0..FILMS).map(|n| video(&format!("v{n}"), &[])).collect()
}

fn log(events: &[Event]) -> Log {
    let mut log = LogBuilder::new(18_000);
    catalogue()
        .iter()
        .for_each(|film| log.add_video(film).unwrap());
    events
        .iter()
        .for_each(|event| log.add_event(event).unwrap());
    log.finish()
}

fn until(as_of_ms: i64) -> BuildOptions {
    BuildOptions {
        as_of_ms,
        ..options()
    }
}

/// Every exam of the sessions of the judged part, with the generation it is asked of.
fn replay(events: &[Event], every_ms: i64, mut ask: impl FnMut(&Log, &Exam, &Index)) {
    let log = log(events);
    let protocol = Protocol::Sessions {
        from_ms: FROM_MS,
        until_ms: UNTIL_MS,
    };
    let course = Course::new(&log, protocol);
    let (before, after): (Vec<Event>, Vec<Event>) = events
        .iter()
        .cloned()
        .partition(|event| event.ts_ms < FROM_MS);
    let mut cf = CurrentCf::new(until(UNTIL_MS - 1), &catalogue()).unwrap();
    before.iter().for_each(|event| cf.add_event(event).unwrap());
    let built = build(until(FROM_MS - 1), &catalogue(), &before);
    let mut asked = vec![0; course.exams.len()];
    let replay = Replay::new(built, cf, after, FROM_MS, every_ms);
    replay
        .ask(&course, |place, exam, index| {
            asked[place] += 1;
            assert_eq!(&course.exams[place], exam);
            ask(&log, exam, index);
        })
        .unwrap();
    assert!(asked.iter().all(|times| *times == 1), "{asked:?}");
}

fn answer(log: &Log, exam: &Exam, index: &Index) -> Vec<(u32, u32)> {
    let seeds = exam.liked.iter().rev().map(|video| {
        let id = log.videos[*video as usize].as_str();
        Seed {
            item: index.find(id).unwrap(),
            weight: 1.0,
        }
    });
    let seeds: Vec<Seed> = seeds.collect();
    let mut scratch = Scratch::default();
    let best = predict_best(index, index.cf_knobs(), &seeds, 20, |_| true, &mut scratch);
    best.iter()
        .map(|one| (one.item, one.score.to_bits()))
        .collect()
}

/// When each question, a user's step, is asked, and what is answered.
type Answers = BTreeMap<(UserId, u32), (i64, Vec<(u32, u32)>)>;

fn answers(events: &[Event], every_ms: i64) -> Answers {
    let mut answers = Answers::new();
    replay(events, every_ms, |log, exam, index| {
        let question = (log.users[exam.user as usize].clone(), exam.step);
        answers.insert(question, (exam.ts_ms, answer(log, exam, index)));
    });
    answers
}

fn any_event() -> impl Strategy<Value = Event> {
    let kinds = prop::sample::select(vec![EventKind::Click, EventKind::Like, EventKind::Hide]);
    let undo = prop::bool::weighted(0.05);
    (kinds, 0u32..12, 0..FILMS, 0i64..100, undo).prop_map(|(kind, user, film, hour, undo)| {
        // Users come later and later, so that some begin in the judged part.
        let hour = (hour / 2 + i64::from(user) * 5).min(99);
        Event {
            undo,
            ..event(kind, &format!("u{user}"), &format!("v{film}"), hour)
        }
    })
}

fn any_span() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![1, HOUR_MS, 7 * HOUR_MS])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn each_question_is_asked_of_what_is_built_of_everything_before_it_was_refreshed(
        events in vec(any_event(), 0..70),
        every_ms in any_span(),
    ) {
        replay(&events, every_ms, |_, exam, index| {
            let refreshed_ms = FROM_MS + (exam.ts_ms - FROM_MS) / every_ms * every_ms;
            assert_built_of_what_is_before(&events, refreshed_ms, index);
        });
    }

    #[test]
    fn what_comes_later_changes_no_answer(
        events in vec(any_event(), 0..70),
        planted in vec((0..FILMS, 0i64..50), 1..6),
        every_ms in any_span(),
    ) {
        let first = planted.iter().map(|(_, hour)| *hour).min().unwrap_or(0);
        let with: Vec<Event> = planted.iter().map(|(film, hour)| {
            let film = format!("v{film}");
            event(EventKind::Click, "outsider", &film, 40 + hour)
        }).chain(events.iter().cloned()).collect();
        let (without, with) = (answers(&events, every_ms), answers(&with, every_ms));
        for (question, (ts_ms, answer)) in &without {
            if *ts_ms <= FROM_MS + first * HOUR_MS {
                prop_assert_eq!(&with[question], &(*ts_ms, answer.clone()), "{:?}", question);
            }
        }
    }
}

fn assert_built_of_what_is_before(events: &[Event], before_ms: i64, index: &Index) {
    let past = events.iter().filter(|event| event.ts_ms < before_ms);
    let expected = open(&mut build(
        until(UNTIL_MS - 1),
        &catalogue(),
        &past.cloned().collect::<Vec<_>>(),
    ));
    let told = |rows: &[Scored]| -> Vec<(u32, u32)> {
        rows.iter()
            .map(|row| (row.item.get(), row.score.get().to_bits()))
            .collect()
    };
    for item in 0..FILMS {
        assert_eq!(
            told(index.neighbours().row(item)),
            told(expected.neighbours().row(item))
        );
        assert_eq!(index.postings().row(item), expected.postings().row(item));
    }
    assert_eq!(index.sessions().len(), expected.sessions().len());
    for session in 0..index.sessions().len() as u32 {
        assert_eq!(
            index.sessions().row(session),
            expected.sessions().row(session)
        );
    }
}

#[test]
fn what_others_did_an_hour_ago_is_answered_with_and_what_they_do_later_is_not() {
    let two = |user: &str, first: &str, second: &str, hour| {
        [
            event(EventKind::Click, user, first, hour),
            event(EventKind::Click, user, second, hour),
        ]
    };
    let mut events = Vec::new();
    events.extend(two("old", "v0", "v1", 1));
    events.extend(two("early", "v0", "v2", 50));
    events.extend(two("late", "v0", "v3", 60));
    events.push(event(EventKind::Click, "asked", "v0", 54));
    events.push(event(EventKind::Click, "asked", "v4", 55));
    let films = |every_ms| -> Vec<VideoId> {
        let mut found = Vec::new();
        replay(&events, every_ms, |log, exam, index| {
            if log.users[exam.user as usize].as_str() == "asked" {
                let best = answer(log, exam, index).into_iter();
                found.extend(best.filter_map(|(item, _)| index.typed_video_id(item)));
            }
        });
        found.sort();
        found.dedup();
        found
    };
    let names = |films: Vec<VideoId>| films.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        names(films(HOUR_MS)),
        ["v0", "v1", "v2"],
        "refreshed every hour"
    );
    assert_eq!(
        names(films(1_000 * HOUR_MS)),
        ["v0", "v1"],
        "never refreshed"
    );
}
