//! The judge: asks what was new, learns from what was before, and counts as a hand would.

use engine::{Event, EventKind};
use learn::evaluate::tuning::baselines;
use learn::evaluate::{Course, Log, LogBuilder, Protocol, Scores, Target, tsv};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::town::{START_MS, event, video, watch};

const HOUR_MS: i64 = 3_600_000;

fn log(events: &[Event]) -> Log {
    let mut log = LogBuilder::new(18_000);
    for name in ["a", "b", "c", "d", "e", "f"] {
        let mut video = video(name, &[]);
        video.hidden = name == "f";
        log.add_video(&video).unwrap();
    }
    events
        .iter()
        .for_each(|event| log.add_event(event).unwrap());
    log.finish()
}

fn time(from: i64, until: i64) -> Protocol {
    Protocol::Time {
        from_ms: START_MS + from * HOUR_MS,
        until_ms: START_MS + until * HOUR_MS,
    }
}

fn names(log: &Log, videos: &[u32]) -> Vec<String> {
    videos
        .iter()
        .map(|video| log.videos[*video as usize].to_string())
        .collect()
}

#[test]
fn right_is_what_was_liked_later_and_new_and_may_be_proposed() {
    let events = [
        watch("u1", "a", 1, 30_000),
        watch("u1", "b", 2, 1_000),
        watch("u1", "a", 11, 30_000), // not new
        watch("u1", "b", 12, 30_000), // met before, if not liked
        watch("u1", "c", 13, 30_000),
        watch("u1", "d", 13, 1_000),  // not liked
        watch("u1", "f", 14, 30_000), // hidden: nobody could have proposed it
        watch("u1", "e", 20, 30_000), // too late
        watch("u2", "a", 15, 30_000),
        event(EventKind::Like, "u3", "a", 12), // nothing measured says nothing here
    ];
    let log = log(&events);
    assert_eq!(log.target, Target::LongView);
    let course = Course::new(&log, time(10, 20));
    let asked: Vec<_> = course
        .exams
        .iter()
        .map(|exam| {
            let user = log.users[exam.user as usize].as_str();
            (
                user,
                names(&log, &exam.met),
                names(&log, &exam.liked),
                names(&log, &exam.wanted),
            )
        })
        .collect();
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        asked,
        [
            ("u1", list(&["a", "b"]), list(&["a"]), list(&["c"])),
            ("u2", list(&[]), list(&[]), list(&["a"])),
        ]
    );
}

#[test]
fn the_last_new_one_is_left_out_with_all_that_follows_it() {
    let kinds = |user, films: &[&str]| -> Vec<Event> {
        let each = films.iter().zip(1i64..);
        each.map(|(film, hour)| event(EventKind::Click, user, film, hour))
            .collect()
    };
    let mut events = kinds("u1", &["a", "b", "c", "b"]);
    events.extend(kinds("u2", &["a"]));
    let log = log(&events);
    assert_eq!(log.target, Target::Interest);
    let course = Course::new(&log, Protocol::LastOut);
    let [exam] = &course.exams[..] else {
        panic!(
            "one user has something new after something: {:?}",
            course.exams
        );
    };
    assert_eq!(names(&log, &exam.wanted), ["c"]);
    assert_eq!(names(&log, &exam.liked), ["a", "b"]);
    assert!(
        !course.teaches(exam.user, START_MS + 4 * HOUR_MS),
        "the repetition follows"
    );
    let earlier = course.before(&log);
    assert_eq!(names(&log, &earlier.exams[0].wanted), ["b"]);
}

#[test]
fn sessions_are_asked_for_each_next_new_video() {
    let films = ["a", "b", "a", "c"];
    let clicks = films.iter().zip(10i64..);
    let mut events: Vec<Event> = clicks
        .map(|(film, hour)| event(EventKind::Click, "s", film, hour))
        .collect();
    events.push(event(EventKind::Click, "both", "a", 9));
    events.push(event(EventKind::Click, "both", "b", 11));
    let log = log(&events);
    let Protocol::Time { from_ms, until_ms } = time(10, 20) else {
        unreachable!()
    };
    let course = Course::new(&log, Protocol::Sessions { from_ms, until_ms });
    let asked: Vec<_> = course
        .exams
        .iter()
        .map(|exam| {
            (
                exam.step,
                names(&log, &exam.liked),
                names(&log, &exam.wanted),
            )
        })
        .collect();
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        asked,
        [
            (0, list(&["a"]), list(&["b"])),
            (1, list(&["b", "a"]), list(&["c"]))
        ]
    );
    assert_eq!(tsv::exam_name(&log, &course, 1), "s.1");
}

#[test]
fn slates_are_worth_what_a_hand_computes() {
    let events = [
        watch("u1", "a", 1, 30_000),
        watch("u2", "a", 1, 30_000),
        watch("u1", "b", 11, 30_000),
        watch("u1", "c", 11, 30_000),
        watch("u2", "d", 11, 30_000),
    ];
    let log = log(&events);
    let course = Course::new(&log, time(10, 20));
    let number = |name: &str| log.video(name).unwrap();
    let slates = vec![vec![number("e"), number("c"), number("b")]];
    let scores = Scores::new(&log, &course, &slates);
    let mean = |name: &str| scores.mean(learn::evaluate::scores::column(name).unwrap());
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    // u2 has no slate and counts 0.
    close(mean("HR@10"), 0.5);
    close(mean("Recall@20"), 0.5);
    close(mean("MRR@20"), 0.25);
    let (second, third) = (1.0 / 3f64.log2(), 0.5);
    close(mean("NDCG@10"), (second + third) / (1.0 + second) / 2.0);
    // Known are a, b, c and d; shown are b, c and e, which nobody knows.
    close(scores.together["Cov@20"], 0.75);
    assert_eq!((scores.breaches.short, scores.breaches.any()), (2, false));
    let slates = vec![vec![number("a"), number("b"), number("b"), number("f"), 99]];
    let broken = Scores::new(&log, &course, &slates).breaches;
    assert_eq!((broken.met, broken.repeated, broken.foreign), (1, 1, 2));
}

#[test]
fn slates_come_back_as_they_were_written() {
    let events = [watch("u1", "a", 1, 30_000), watch("u1", "b", 11, 30_000)];
    let log = log(&events);
    let course = Course::new(&log, time(10, 20));
    let slates = vec![vec![3, 1, 2]];
    let mut text = Vec::new();
    tsv::write_slates(&log, &course, &slates, &mut text).unwrap();
    assert_eq!(
        tsv::read_slates(&log, &course, &mut text.as_slice()).unwrap(),
        slates
    );
    let strange = "u1\t2\tzzz\nnobody\t1\ta\nu1\t1\tb\n";
    let read = tsv::read_slates(&log, &course, &mut strange.as_bytes()).unwrap();
    assert_eq!(
        read,
        [vec![1, 6]],
        "what nobody knows has a number of its own"
    );
    assert!(tsv::read_slates(&log, &course, &mut "u1\tx\n".as_bytes()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// What happens from the split on changes neither what baselines propose nor what is chosen.
    #[test]
    fn nothing_from_after_the_split_leaks(
        before in vec((0u32..6, 0usize..5, 0i64..100), 1..60),
        after in vec((0u32..6, 0usize..5, 100i64..110), 1..20),
        other in vec((0u32..6, 0usize..5, 100i64..110), 1..20),
    ) {
        let films = ["a", "b", "c", "d", "e"];
        let events = |rows: &[(u32, usize, i64)]| -> Vec<Event> {
            let each = rows.iter();
            each.map(|(user, film, hour)| watch(&format!("u{user}"), films[*film], *hour, 30_000))
                .collect()
        };
        let world = |later: &[(u32, usize, i64)]| {
            let log = log(&[events(&before), events(later)].concat());
            let course = Course::new(&log, time(100, 110));
            let (tuned, _) = baselines(&log, &course, 3, &mut |_| {});
            let mut said = Vec::new();
            for one in tuned {
                for (exam, slate) in course.exams.iter().zip(&one.slates) {
                    let user = log.users[exam.user as usize].to_string();
                    let key = (user, one.name, one.chosen.clone());
                    said.push((key, names(&log, slate)));
                }
            }
            said
        };
        let (one, two) = (world(&after), world(&other));
        for (key, slate) in &one {
            if let Some((_, same)) = two.iter().find(|(other, _)| other == key) {
                prop_assert_eq!(slate, same, "{:?}", key);
            }
        }
    }
}
