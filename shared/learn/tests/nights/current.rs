//! What is kept current is what a night would build of the same events, byte for byte.

use engine::index::format::{CfKnobs, Entry, Header, Kind, Scored};
use engine::index::{Index, IndexWriter};
use engine::{Event, EventKind, Video};
use learn::{BuildError, BuildOptions, Built, CurrentCf, LikingWeight};
use proptest::collection::vec;
use proptest::prelude::*;
use zerocopy::FromBytes;

use crate::town::{HOUR_MS, START_MS, build, event, open, options, video, watch};

/// What collaborative filtering reads of a generation.
const SECTIONS: [Kind; 8] = [
    Kind::SessionStarts,
    Kind::SessionItems,
    Kind::PostingStarts,
    Kind::Postings,
    Kind::Idf,
    Kind::CfKnobs,
    Kind::NeighbourStarts,
    Kind::Neighbours,
];
/// Late in the alphabet and early, one the beginning of another, two that differ after many letters.
const USERS: [&str; 7] = [
    "u2",
    "u10",
    "u1",
    "Zoe",
    "somebody-with-a-very-long-name-b",
    "somebody-with-a-very-long-name-a",
    "a",
];

fn sections(bytes: &[u8]) -> Vec<(Kind, Vec<u8>)> {
    let (header, rest) = Header::ref_from_prefix(bytes).unwrap();
    let count = header.sections.get() as usize;
    let (table, _) = <[Entry]>::ref_from_prefix_with_elems(rest, count).unwrap();
    let of = |kind: Kind| {
        let mut entries = table.iter();
        let entry = entries.find(|entry| entry.kind.get() == kind.number());
        let entry = entry.unwrap_or_else(|| panic!("{kind:?} is not there"));
        let start = entry.offset.get() as usize;
        (
            kind,
            bytes[start..start + entry.bytes.get() as usize].to_vec(),
        )
    };
    SECTIONS.into_iter().map(of).collect()
}

fn written(cf: &mut CurrentCf, knobs: CfKnobs) -> Vec<(Kind, Vec<u8>)> {
    let mut index = IndexWriter::new("current", 0);
    cf.put(&mut index, knobs);
    sections(&index.to_bytes())
}

/// Fails with the names of the sections that differ.
fn assert_sections(cf: &mut CurrentCf, built: &mut Built) {
    let (own, expected) = (written(cf, built.report.cf), sections(&built.to_bytes()));
    let differ = own
        .iter()
        .zip(&expected)
        .filter(|(own, expected)| own != expected);
    let differ: Vec<Kind> = differ.map(|((kind, _), _)| *kind).collect();
    assert!(differ.is_empty(), "{differ:?} differ");
}

/// Compares what is asked of one video with what stands in a generation.
fn assert_video(cf: &mut CurrentCf, index: &Index, item: u32) {
    let told = |rows: &[Scored]| -> Vec<(u32, u32)> {
        let told = rows.iter();
        told.map(|row| (row.item.get(), row.score.get().to_bits()))
            .collect()
    };
    assert_eq!(
        told(&cf.neighbours(item)),
        told(index.neighbours().row(item))
    );
    let ids = |row: &[zerocopy::little_endian::U32]| -> Vec<u32> {
        row.iter().map(|id| id.get()).collect()
    };
    let postings = ids(index.postings().row(item)).into_iter();
    let expected: Vec<Vec<u32>> = postings
        .map(|number| ids(index.sessions().row(number)))
        .collect();
    let own: Vec<Vec<u32>> = cf.sessions_with(item).map(<[u32]>::to_vec).collect();
    assert_eq!(own, expected, "sessions that hold {item}");
    let idf = index.idf()[item as usize].get();
    assert_eq!(cf.idf(item).to_bits(), idf.to_bits(), "idf of {item}");
}

/// Of nine videos the events know eleven; the others are liked by nobody, so that of many videos
/// few have a sum.
fn catalogue(hidden: u32, others: usize) -> Vec<Video> {
    let film = |n: usize| {
        let mut film = video(&format!("v{n}"), &["film"]);
        film.hidden = hidden >> n & 1 == 1;
        film
    };
    let other = |n: usize| video(&format!("w{n}"), &["film"]);
    (0..9).map(film).chain((0..others).map(other)).collect()
}

fn any_event() -> impl Strategy<Value = Event> {
    let kinds = prop_oneof![
        3 => Just(EventKind::Watch),
        3 => Just(EventKind::Click),
        2 => Just(EventKind::Like),
        2 => prop::sample::select(EventKind::ALL.to_vec()),
    ];
    let measured = prop::option::weighted(
        0.7,
        prop::sample::select(vec![500, 17_999, 20_000, 45_000, 70_000]),
    );
    let undo = prop::bool::weighted(0.08);
    let who = prop::sample::select(USERS.to_vec());
    (kinds, who, 0u32..11, 0i64..110, measured, undo).prop_map(
        |(kind, user, film, hour, watch_ms, undo)| Event {
            watch_ms: watch_ms.filter(|_| kind == EventKind::Watch),
            undo,
            ..event(kind, user, &format!("v{film}"), hour)
        },
    )
}

/// Few people do much with few videos at the same few moments, and what they do weighs by when and how.
fn crowded() -> impl Strategy<Value = (Vec<(Event, Look)>, BuildOptions)> {
    let event =
        (any_event(), 0usize..2, 0u32..4, 0i64..3).prop_map(|(event, who, film, moment)| {
            let named = watch(USERS[who], &format!("v{film}"), 1 + moment * 10, 0);
            Event {
                kind: event.kind,
                watch_ms: event.watch_ms,
                undo: event.undo,
                ..named
            }
        });
    let look = prop_oneof![
        1 => Just(Look::Nothing),
        2 => (0u32..4).prop_map(Look::Video),
    ];
    let weighed = prop_oneof![
        Just((LikingWeight::Flat, 10 * HOUR_MS)),
        Just((LikingWeight::WatchRatio, i64::MAX)),
    ];
    let options = (any_options(), weighed).prop_map(|(options, weighed)| BuildOptions {
        neighbour_weight: weighed.0,
        neighbour_half_life_ms: weighed.1,
        history_max: 300,
        ..options
    });
    (vec((event, look), 0..25), options)
}

fn any_options() -> impl Strategy<Value = BuildOptions> {
    let one_of = |all: &[usize]| prop::sample::select(all.to_vec());
    let weights = (
        prop::sample::select(vec![LikingWeight::Flat, LikingWeight::WatchRatio]),
        prop::sample::select(vec![i64::MAX, 10 * HOUR_MS]),
    );
    let lengths = (
        one_of(&[1, 2, 1_000]),
        one_of(&[1, 3, 300]),
        one_of(&[2, 3, 100]),
        one_of(&[2, 200]),
    );
    let times = (
        prop::sample::select(vec![1.0, 0.9, 0.5, 0.0]),
        prop::sample::select(vec![-1, 0, 5, 24]),
        prop::sample::select(vec![60, 100]),
    );
    (weights, lengths, times, 1usize..3).prop_map(|(weights, lengths, times, threads)| {
        BuildOptions {
            neighbour_weight: weights.0,
            neighbour_half_life_ms: weights.1,
            postings_max: lengths.0,
            history_max: lengths.1,
            session_videos_max: lengths.2,
            neighbours_max: lengths.3,
            session_quantile: times.0,
            session_gap_ms: times.1 * HOUR_MS,
            as_of_ms: START_MS + times.2 * HOUR_MS,
            threads,
            ..options()
        }
    })
}

/// What is looked at after an event.
#[derive(Debug, Clone, Copy)]
enum Look {
    Nothing,
    Video(u32),
    Everything,
}

fn any_look() -> impl Strategy<Value = Look> {
    prop_oneof![
        12 => Just(Look::Nothing),
        2 => (0u32..9).prop_map(Look::Video),
        1 => Just(Look::Everything),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn after_any_events_in_any_order_it_is_what_is_built_of_them(
        steps in vec((any_event(), any_look()), 0..60),
        hidden in prop_oneof![Just(0u32), 0u32..512],
        others in prop::sample::select(vec![0usize, 300]),
        options in any_options(),
    ) {
        assert_law(steps, &catalogue(hidden, others), options);
    }

    #[test]
    fn where_much_happens_at_one_moment_it_is_what_is_built_of_it(
        (steps, options) in crowded(),
    ) {
        assert_law(steps, &catalogue(0, 0), options);
    }
}

/// Takes events in one by one, looks, and compares with what is built of those before.
fn assert_law(steps: Vec<(Event, Look)>, videos: &[Video], options: BuildOptions) {
    let mut cf = CurrentCf::new(options.clone(), videos).unwrap();
    let mut before = Vec::new();
    for (event, look) in steps {
        cf.add_event(&event).unwrap();
        before.push(event);
        let rebuilt = || build(options.clone(), videos, &before);
        match look {
            Look::Nothing => {}
            Look::Video(item) => assert_video(&mut cf, &open(&mut rebuilt()), item),
            Look::Everything => assert_sections(&mut cf, &mut rebuilt()),
        }
    }
    let mut built = build(options, videos, &before);
    let index = open(&mut built);
    (0..9).for_each(|item| assert_video(&mut cf, &index, item));
    assert_sections(&mut cf, &mut built);
}

#[test]
fn likings_that_change_places_change_what_they_weigh() {
    let videos = catalogue(0, 0);
    let options = BuildOptions {
        neighbour_half_life_ms: 10 * HOUR_MS,
        ..options()
    };
    let mut cf = CurrentCf::new(options.clone(), &videos).unwrap();
    let click = |video: &str, hour| event(EventKind::Click, "a", video, hour);
    let like = |video: &str| event(EventKind::Like, "b", video, 11);
    let mut events = vec![
        click("v0", 1),
        click("v1", 1),
        click("v0", 11),
        like("v0"),
        like("v2"),
    ];
    events.iter().for_each(|event| cf.add_event(event).unwrap());
    cf.neighbours(0);
    // It replaces the click on v1: what was liked last is v1 now, and no share or time has changed.
    events.push(watch("a", "v1", 11, 70_000));
    cf.add_event(&events[5]).unwrap();
    let mut built = build(options, &videos, &events);
    assert_video(&mut cf, &open(&mut built), 0);
    assert_sections(&mut cf, &mut built);
}

#[test]
fn a_generation_of_another_catalogue_is_left_alone() {
    let mut cf = CurrentCf::new(options(), &catalogue(0, 1)).unwrap();
    let mut built = build(options(), &catalogue(0, 0), &[]);
    let refused = built.refresh(&mut cf).unwrap_err();
    assert!(matches!(refused, BuildError::OtherCatalogue), "{refused}");
}

/// A made town with enough people for the night to try its knobs, in an order without any sense.
fn town() -> (Vec<Video>, Vec<Event>) {
    let mut state = 7u64;
    let mut below = |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut events = Vec::new();
    for _ in 0..2_400 {
        let (user, taste, start) = (below(1_100), below(6), below(90));
        for step in 0..2 + below(4) {
            // The first of a taste are liked most.
            let film = taste + 6 * (below(20) * below(20) / 20);
            let kind = match below(12) {
                0 => EventKind::Skip,
                1 => EventKind::Impression,
                2..6 => EventKind::Like,
                _ => EventKind::Watch,
            };
            let mut event = event(
                kind,
                &format!("u{user}"),
                &format!("v{film}"),
                (start + step) as i64,
            );
            event.ts_ms += below(3_600_000) as i64;
            event.watch_ms = (kind == EventKind::Watch).then(|| below(60_000) as u32);
            event.undo = kind == EventKind::Like && below(20) == 0;
            let place = below(events.len() as u64 + 1) as usize;
            events.insert(place, event);
        }
    }
    let films = (0..130).map(|n| {
        let mut film = video(&format!("v{n}"), &["film"]);
        film.hidden = n % 17 == 3;
        film
    });
    (films.collect(), events)
}

#[test]
fn a_town_is_current_at_every_hour_with_the_knobs_a_night_would_choose() {
    let (videos, events) = town();
    let options = BuildOptions {
        neighbour_weight: LikingWeight::WatchRatio,
        neighbour_half_life_ms: 40 * HOUR_MS,
        session_quantile: 0.97,
        ..options()
    };
    let mut cf = CurrentCf::new(options.clone(), &videos).unwrap();
    let mut found = Vec::new();
    for (n, event) in events.iter().enumerate() {
        cf.add_event(event).unwrap();
        if n % 1_600 == 1_500 || n + 1 == events.len() {
            let mut built = build(options.clone(), &videos, &events[..=n]);
            let index = open(&mut built);
            (0..130)
                .step_by(3)
                .for_each(|item| assert_video(&mut cf, &index, item));
            assert_eq!(cf.choose_knobs(), built.report.cf);
            assert_sections(&mut cf, &mut built);
            found.push((n, built.report.sessions, built.report.cf));
        }
    }
    println!(
        "shown: kept current over {} events and compared: {found:?}",
        events.len()
    );
    assert!(found.len() >= 5 && events.len() > 5_000, "{found:?}");
    let tried = found
        .iter()
        .filter(|(_, _, knobs)| *knobs != CfKnobs::default());
    assert!(
        tried.count() > 0,
        "the town is too small for the night's trial"
    );
}

#[test]
fn a_generation_takes_over_what_is_current() {
    let (videos, events) = town();
    let half = events.len() / 2;
    let mut cf = CurrentCf::new(options(), &videos).unwrap();
    events.iter().for_each(|event| cf.add_event(event).unwrap());
    let mut old = build(options(), &videos, &events[..half]);
    let knobs = old.report.cf;
    let mut new = build(options(), &videos, &events);
    assert_ne!(sections(&old.to_bytes()), sections(&new.to_bytes()));
    old.refresh(&mut cf).unwrap();
    assert_eq!(old.report.sessions, new.report.sessions);
    let (index, expected) = (open(&mut old), open(&mut new));
    assert_eq!(*index.cf_knobs(), knobs, "how it is used stays");
    for item in 0..index.videos() as u32 {
        assert_video(&mut cf, &index, item);
        assert_video(&mut cf, &expected, item);
    }
}
