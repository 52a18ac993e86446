//! What goes in, what comes out.

use engine::index::Index;
use engine::{Event, EventKind, Video};
use learn::{BuildError, BuildOptions, GenerationBuilder};
use proptest::collection::vec;
use proptest::prelude::*;
use smol_str::{SmolStr, format_smolstr};

use crate::town::{END_MS, build, by, event, open, options, video, watch};

fn names(index: &Index, items: impl Iterator<Item = u32>) -> Vec<String> {
    items.map(|item| index.video_id(item).to_owned()).collect()
}

fn neighbours(index: &Index, of: &str) -> Vec<String> {
    let rows = index.neighbours().row(index.find(of).unwrap());
    names(index, rows.iter().map(|row| row.item.get()))
}

fn any_event() -> impl Strategy<Value = Event> {
    let kinds = prop::sample::select(EventKind::ALL.to_vec());
    let watched = prop::option::of(0u32..70_000);
    let market = prop::sample::select(vec!["", "DE", "US"]);
    (
        kinds,
        0u32..8,
        0u32..12,
        0i64..110,
        watched,
        market,
        prop::bool::weighted(0.05),
    )
        .prop_map(|(kind, user, film, hour, watch_ms, market, undo)| Event {
            watch_ms: watch_ms.filter(|_| kind == EventKind::Watch),
            market: SmolStr::new(market),
            undo,
            ..event(kind, &format!("u{user}"), &format!("v{film}"), hour)
        })
}

/// Ten videos; events know of twelve.
fn catalogue() -> Vec<Video> {
    let film = |n: u32| {
        let categories = [["sport", "news"], ["music", "news"], ["film", "sport"]];
        let mut film = by(
            &format!("c{}", n % 3),
            video(&format!("v{n}"), &categories[n as usize % 3]),
        );
        film.hidden = n == 7;
        film.markets = if n == 4 {
            vec![SmolStr::new("DE")]
        } else {
            vec![]
        };
        film
    };
    (0..10).map(film).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_same_events_in_any_order_give_the_same_bytes(
        events in vec(any_event(), 0..120),
        threads in 1usize..4,
        seed in any::<prop::sample::Index>(),
    ) {
        let mut videos = catalogue();
        let mut first = build(options(), &videos, &events);
        let mut turned = events.clone();
        turned.reverse();
        let middle = seed.index(turned.len() + 1).min(turned.len());
        turned.rotate_left(middle);
        videos.reverse();
        let mut second = build(BuildOptions { threads, ..options() }, &videos, &turned);
        prop_assert_eq!(&first.report, &second.report);
        prop_assert_eq!(&first.profiles, &second.profiles);
        prop_assert!(first.to_bytes() == second.to_bytes(), "the bytes differ");
        let index = open(&mut first);
        for (_, profile) in &first.profiles {
            prop_assert_eq!(profile.cohort, index.cohort_of_profile(profile));
            prop_assert!(profile.cohort < index.cohorts());
            prop_assert!(profile.categories.iter().map(|(_, w)| w).sum::<f32>() < 1.0001);
        }
    }
}

#[test]
fn only_what_was_liked_counts_as_watched_together() {
    let videos: Vec<Video> = ["a", "b", "c", "d", "e", "f"].map(|n| video(n, &[])).into();
    let mut events = Vec::new();
    for user in ["u1", "u2", "u3"] {
        events.push(watch(user, "a", 1, 30_000));
        events.push(watch(user, "b", 2, 18_000)); // exactly a long view
        events.push(watch(user, "c", 3, 17_999)); // not quite
        events.push(event(EventKind::Click, user, "c", 3)); // measured: the click says nothing
        events.push(event(EventKind::Click, user, "d", 4)); // not measured: it counts
        events.push(event(EventKind::Skip, user, "e", 5));
        events.push(event(EventKind::Like, user, "f", 6));
        events.push(Event {
            undo: true,
            ..event(EventKind::Like, user, "f", 7)
        });
    }
    let index = open(&mut build(options(), &videos, &events));
    assert_eq!(neighbours(&index, "a"), ["b", "d"]);
    for alone in ["c", "e", "f"] {
        assert!(neighbours(&index, alone).is_empty(), "{alone}");
    }
}

#[test]
fn what_the_generation_cannot_know_is_left_out_and_counted() {
    let late = Event {
        ts_ms: END_MS + 1,
        ..event(EventKind::Like, "u", "a", 0)
    };
    let events = [
        late,
        event(EventKind::Like, "u", "gone", 1),
        event(EventKind::Like, "u", "a", 1),
    ];
    let built = build(options(), &[video("a", &[])], &events);
    let report = built.report;
    assert_eq!(
        (report.too_late, report.unknown_videos, report.events),
        (1, 1, 1)
    );
    assert_eq!(
        (report.videos, report.users, report.interactions),
        (1, 1, 1)
    );
}

#[test]
fn hidden_videos_are_known_and_never_listed() {
    let mut videos: Vec<Video> = ["a", "b", "c"].map(|n| video(n, &["x"])).into();
    videos[1].hidden = true;
    let users = ["u1", "u2", "u3"];
    let events: Vec<Event> = users
        .iter()
        .flat_map(|user| ["a", "b", "c"].map(|film| event(EventKind::Like, user, film, 1)))
        .collect();
    let index = open(&mut build(options(), &videos, &events));
    let hidden = index.find("b").unwrap();
    assert!(!index.visible(hidden, "", END_MS));
    assert!(index.fragment(hidden).starts_with(b"{\"id\":\"b\""));
    assert_eq!(neighbours(&index, "a"), ["c"]);
    let lists = index
        .trending(None)
        .iter()
        .chain(index.cohort_slates().row(0));
    let listed: Vec<u32> = lists.map(|row| row.item.get()).collect();
    assert!(
        !listed.is_empty() && !listed.contains(&hidden),
        "{listed:?}"
    );
    assert!(
        index
            .content()
            .row(0)
            .iter()
            .all(|row| row.item.get() != hidden)
    );
}

#[test]
fn trending_is_recent_corrected_for_impressions_and_per_market() {
    let videos: Vec<Video> = ["old", "new", "pushed"]
        .map(|n| video(n, &[]))
        .into_iter()
        .chain([{
            let mut german = video("german", &[]);
            german.markets = vec![SmolStr::new("DE")];
            german
        }])
        .collect();
    let mut events = Vec::new();
    for user in 0..6 {
        let user = format!("u{user}");
        for film in ["old", "new", "pushed"] {
            let hour = if film == "old" { 1 } else { 90 };
            events.push(event(EventKind::Impression, &user, film, hour));
            events.push(event(EventKind::Like, &user, film, hour));
        }
        // Shown often, liked as often as the other: less is behind it.
        let shown = event(EventKind::Impression, &user, "pushed", 90);
        events.extend((0..20).map(|_| shown.clone()));
        events.push(Event {
            market: SmolStr::new("DE"),
            ..event(EventKind::Like, &user, "german", 95)
        });
    }
    let index = open(&mut build(options(), &videos, &events));
    let list = |market| {
        names(
            &index,
            index.trending(market).iter().map(|row| row.item.get()),
        )
    };
    assert_eq!(list(None), ["german", "new", "pushed", "old"]);
    assert_eq!(list(index.markets().find("DE")), ["german"]);
    assert_eq!(list(index.markets().find("FR")), list(None));
}

#[test]
fn one_user_counts_once_per_video_and_hour() {
    let videos: Vec<Video> = ["a", "b"].map(|n| video(n, &[])).into();
    let mut events: Vec<Event> = (0..50)
        .map(|_| event(EventKind::Like, "fan", "a", 90))
        .collect();
    events.extend(["u1", "u2"].map(|user| event(EventKind::Like, user, "b", 90)));
    let index = open(&mut build(options(), &videos, &events));
    let first = index.trending(None)[0].item.get();
    assert_eq!(index.video_id(first), "b");
    assert_eq!(index.video_id(index.popular()[0].item.get()), "b");
}

#[test]
fn cohorts_are_tastes_and_their_slates_differ() {
    let videos: Vec<Video> = (0..8)
        .map(|n| {
            video(
                &format!("v{n}"),
                if n < 4 { &["chess"] } else { &["dance"] },
            )
        })
        .collect();
    let mut events = Vec::new();
    for user in 0..10 {
        for n in 0..3 {
            let film = if user % 2 == 0 { n } else { 4 + n };
            events.push(event(
                EventKind::Like,
                &format!("u{user}"),
                &format!("v{film}"),
                n,
            ));
        }
    }
    let mut built = build(options(), &videos, &events);
    let index = open(&mut built);
    let keys: Vec<&str> = (0..index.cohorts())
        .map(|c| index.cohort_keys().text(c))
        .collect();
    assert_eq!(keys, ["", "chess", "dance"]);
    for (user, profile) in &built.profiles {
        let own = if user.as_str()[1..].parse::<u32>().unwrap() % 2 == 0 {
            1
        } else {
            2
        };
        assert_eq!(profile.cohort, own);
        assert_eq!(profile.long_term.len(), 3);
        assert_eq!(index.cohort_of_profile(profile), own);
    }
    let slate = |cohort| {
        let rows = index.cohort_slates().row(cohort);
        let mut slate = names(&index, rows.iter().map(|row| row.item.get()));
        slate.sort();
        slate
    };
    assert_eq!(slate(1), ["v0", "v1", "v2"]);
    assert_eq!(slate(2), ["v4", "v5", "v6"]);
}

#[test]
fn what_nobody_has_watched_has_content_neighbours() {
    let videos = [
        by("ann", video("seen", &["chess"])),
        by("ann", video("fresh", &["chess"])),
        by("bob", video("other", &["dance"])),
    ];
    let events = [event(EventKind::Like, "u", "seen", 1)];
    let index = open(&mut build(options(), &videos, &events));
    let row = index.content().row(index.find("seen").unwrap());
    assert_eq!(index.video_id(row[0].item.get()), "fresh");
}

#[test]
fn nothing_at_all_is_a_generation_too() {
    let mut built = build(options(), &[], &[]);
    let index = open(&mut built);
    assert_eq!((index.videos(), index.cohorts()), (0, 1));
    assert_eq!(index.find("x"), None);
    assert!(built.profiles.is_empty());
}

#[test]
fn a_written_file_holds_the_same_bytes() {
    let mut built = build(
        options(),
        &[video("a", &["x"])],
        &[event(EventKind::Like, "u", "a", 1)],
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    built.write_to(&path).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), built.to_bytes());
}

#[test]
fn more_markets_than_can_be_numbered_are_an_error() {
    let mut builder = GenerationBuilder::new(options());
    let mut liked = event(EventKind::Like, "u", "a", 1);
    let most = 1 << u16::BITS;
    for market in 0..most {
        liked.market = format_smolstr!("{market}");
        builder.add_event(&liked).unwrap();
    }
    liked.market = format_smolstr!("{most}");
    let refused = builder.add_event(&liked);
    assert!(matches!(refused, Err(BuildError::TooMany("markets"))));
}
