use std::collections::HashSet;

use engine::{CreatorId, VideoId};
use proptest::prelude::*;

use super::*;
use crate::testing::event;

const DAY_MS: i64 = 24 * 3_600 * 1_000;
const KINDS: [EventKind; 11] = EventKind::ALL;

fn joined<'a>(events: impl IntoIterator<Item = &'a Event>) -> UserState {
    let mut state = UserState::default();
    for event in events {
        apply_event(&mut state, event);
    }
    state
}

fn undo(event: Event) -> Event {
    Event {
        undo: true,
        ..event
    }
}

fn watched(video: &str, ts_ms: i64, watch_ms: u32) -> Event {
    let (watch_ms, duration_ms) = (Some(watch_ms), Some(10_000));
    Event {
        watch_ms,
        duration_ms,
        ..event(EventKind::Watch, "u", video, ts_ms)
    }
}

fn kinds(state: &UserState) -> Vec<(&str, EventKind, i64)> {
    let recent = state.recent.iter();
    recent
        .map(|met| (met.video_id.as_str(), met.kind, met.ts_ms))
        .collect()
}

#[test]
fn each_kind_leaves_its_own_trace() {
    // Kind, whether the video is then met, remembered as recent, hidden.
    let cases = [
        (EventKind::Impression, true, false, false),
        (EventKind::Click, true, true, false),
        (EventKind::Watch, true, true, false),
        (EventKind::Like, true, true, false),
        (EventKind::Share, true, true, false),
        (EventKind::Follow, true, true, false),
        (EventKind::Comment, true, true, false),
        (EventKind::Skip, true, true, false),
        (EventKind::Hide, true, false, true),
        (EventKind::Served, false, false, false),
        (EventKind::Exposure, false, false, false),
    ];
    for (kind, met, recent, hidden) in cases {
        let mut state = UserState::default();
        let changed = apply_event(&mut state, &event(kind, "u", "v", DAY_MS));
        assert_eq!(changed, met, "{kind:?}");
        assert_eq!(state.seen == [UserState::seen_hash("v")], met, "{kind:?}");
        assert_eq!(state.recent.len() == 1, recent, "{kind:?}");
        assert_eq!(state.hidden_videos.len() == 1, hidden, "{kind:?}");
        assert_eq!(state.updated_ms, if met { DAY_MS } else { 0 }, "{kind:?}");
    }
}

#[test]
fn the_strongest_kind_stays_and_the_newest_time() {
    let events = [
        event(EventKind::Like, "u", "a", 1_000),
        event(EventKind::Click, "u", "a", 3_000),
        watched("b", 2_000, 5_000),
        event(EventKind::Skip, "u", "b", 4_000),
    ];
    let state = joined(&events);
    assert_eq!(
        kinds(&state),
        [
            ("a", EventKind::Like, 3_000),
            ("b", EventKind::Watch, 4_000)
        ]
    );
    assert_eq!(state.recent[1].watch_ratio, 0.5);
}

#[test]
fn a_watch_is_measured_against_the_length_or_a_long_view() {
    let mut long = watched("v", 1, 9_000);
    long.duration_ms = None;
    let mut unmeasured = watched("v", 1, 0);
    unmeasured.watch_ms = None;
    let cases = [
        (watched("v", 1, 2_500), 0.25),
        (watched("v", 1, 99_000), 1.0),
        (long, 0.5),
        (unmeasured, 1.0),
    ];
    for (event, ratio) in cases {
        assert_eq!(joined(&[event]).recent[0].watch_ratio, ratio);
    }
}

#[test]
fn hiding_is_permanent_until_a_later_undo() {
    let creator_id = Some(CreatorId::parse("v").unwrap());
    let hide = Event {
        creator_id,
        ..event(EventKind::Hide, "u", "v", 5_000)
    };
    let earlier = undo(Event {
        ts_ms: 4_000,
        ..hide.clone()
    });
    let later = undo(Event {
        ts_ms: 6_000,
        ..hide.clone()
    });
    let only_video = undo(Event {
        creator_id: None,
        ts_ms: 6_000,
        ..hide.clone()
    });
    let cases: [(&str, Vec<&Event>, (usize, usize)); 6] = [
        ("hidden", vec![&hide], (1, 1)),
        ("an earlier undo", vec![&hide, &earlier], (1, 1)),
        ("a later undo", vec![&hide, &later], (0, 0)),
        ("a later undo that came first", vec![&later, &hide], (0, 0)),
        (
            "an earlier undo that came first",
            vec![&earlier, &hide],
            (1, 1),
        ),
        (
            "an undo for the video of the creator of the same name",
            vec![&hide, &only_video],
            (0, 1),
        ),
    ];
    for (name, events, hidden) in cases {
        let state = joined(events);
        assert_eq!(
            (state.hidden_videos.len(), state.hidden_creators.len()),
            hidden,
            "{name}"
        );
    }
}

#[test]
fn what_was_taken_back_does_not_return_late() {
    let like = event(EventKind::Like, "u", "v", 1_000);
    let back = undo(Event {
        ts_ms: 2_000,
        ..like.clone()
    });
    let again = Event {
        ts_ms: 3_000,
        ..like.clone()
    };
    assert_eq!(
        kinds(&joined([&like, &back])),
        [("v", EventKind::Click, 1_000)]
    );
    assert_eq!(joined([&like, &back]), joined([&back, &like]));
    assert_eq!(joined([&like, &back, &like]), joined([&like, &back]));
    assert_eq!(
        kinds(&joined([&like, &back, &again])),
        [("v", EventKind::Like, 3_000)]
    );
}

#[test]
fn nothing_passes_a_tombstone_but_what_is_newer() {
    let mut state = UserState {
        tombstone_ms: Some(5_000),
        ..UserState::default()
    };
    for kind in KINDS {
        assert!(
            !apply_event(&mut state, &event(kind, "u", "v", 5_000)),
            "{kind:?}"
        );
    }
    assert_eq!(
        state,
        UserState {
            tombstone_ms: Some(5_000),
            ..UserState::default()
        }
    );
    assert!(!apply_profile(&mut state, &Profile::default(), 5_000));
    assert!(apply_event(
        &mut state,
        &event(EventKind::Click, "u", "v", 5_001)
    ));
    assert!(apply_profile(&mut state, &Profile::default(), 5_001));
    assert!(
        !apply_profile(&mut state, &Profile::default(), 5_001),
        "nothing new"
    );
}

#[test]
fn every_list_is_bounded_and_keeps_the_newest() {
    let mut state = UserState::default();
    for i in 0..2_000 {
        let ts_ms = DAY_MS + i * MINUTE_MS;
        let mut hide = event(EventKind::Hide, "u", &format!("h{i}"), ts_ms);
        hide.creator_id = Some(CreatorId::parse(&format!("c{i}")).unwrap());
        let back = undo(event(EventKind::Like, "u", &format!("v{i}"), ts_ms));
        for event in [
            event(EventKind::Click, "u", &format!("v{i}"), ts_ms),
            hide,
            back,
        ] {
            apply_event(&mut state, &event);
        }
    }
    assert_eq!(state.recent.len(), RECENT_MAX);
    assert_eq!(
        state.recent.last().map(|met| met.video_id.as_str()),
        Some("v1999")
    );
    assert_eq!(
        (state.seen.len(), state.times.seen_min.len()),
        (SEEN_MAX, SEEN_MAX)
    );
    assert!(state.seen.contains(&UserState::seen_hash("v1999")));
    assert_eq!(
        (state.hidden_videos.len(), state.hidden_creators.len()),
        (HIDDEN_MAX, HIDDEN_MAX)
    );
    assert_eq!(state.times.undone.len(), UNDONE_MAX);
}

#[test]
fn a_state_that_somebody_else_made_without_times_is_joined_as_old() {
    let mut state = UserState {
        seen: vec![1, 2, 3],
        hidden_videos: vec![VideoId::parse("v").unwrap()],
        ..UserState::default()
    };
    assert!(apply_event(
        &mut state,
        &event(EventKind::Click, "u", "a", DAY_MS)
    ));
    assert_eq!(state.seen.len(), 4);
    assert_eq!(state.seen[3], UserState::seen_hash("a"));
    assert!(apply_event(
        &mut state,
        &undo(event(EventKind::Hide, "u", "v", DAY_MS))
    ));
    assert!(state.hidden_videos.is_empty());
}

/// Few videos and times, so that events meet; hides, their undos and everything else.
fn any_of(videos: u32) -> impl Strategy<Value = Event> {
    let kind = prop::sample::select(&KINDS[..]);
    (
        kind,
        0..videos,
        0..200_i64,
        any::<Option<u16>>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(kind, video, minute, watch_ms, undo, creator)| Event {
            watch_ms: watch_ms.map(u32::from),
            // Taking back a like is rough on purpose; see the module.
            undo: undo && kind == EventKind::Hide,
            creator_id: creator.then(|| CreatorId::parse("c").unwrap()),
            ..event(kind, "u", &format!("v{video}"), minute * 17_000)
        })
}

/// Events and the same in another order, some of them several times.
fn twice(videos: u32, events: usize) -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    prop::collection::vec(any_of(videos), 1..events).prop_flat_map(|events| {
        let again = prop::sample::subsequence(events.clone(), 0..=events.len());
        let other = again.prop_map({
            let events = events.clone();
            move |again| events.iter().cloned().chain(again).collect::<Vec<_>>()
        });
        (Just(events), other.prop_shuffle())
    })
}

proptest! {
    #[test]
    fn order_and_repetition_do_not_matter((events, other) in twice(30, 120)) {
        prop_assert_eq!(joined(&events), joined(&other));
    }

    #[test]
    fn an_event_that_is_in_the_state_changes_nothing(events in prop::collection::vec(any_of(20), 1..80)) {
        let mut state = joined(&events);
        let before = state.clone();
        for event in &events {
            prop_assert!(!apply_event(&mut state, event), "{:?}", event);
        }
        prop_assert_eq!(state, before);
    }

    #[test]
    fn lists_stay_ordered_distinct_and_parallel(events in prop::collection::vec(any_of(80), 1..300)) {
        let state = joined(&events);
        prop_assert!(state.recent.is_sorted_by_key(|met| (met.ts_ms, met.video_id.clone())));
        prop_assert!(state.times.seen_min.is_sorted());
        prop_assert_eq!(state.seen.len(), state.times.seen_min.len());
        prop_assert_eq!(state.hidden_videos.len(), state.times.hidden_videos_ms.len());
        prop_assert_eq!(state.seen.iter().collect::<HashSet<_>>().len(), state.seen.len());
    }
}

proptest! {
    // Long histories: fewer of them.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn order_and_repetition_do_not_matter_to_what_is_kept_when_lists_overflow(
        (events, other) in twice(5_000, 900),
    ) {
        let (a, b) = (joined(&events), joined(&other));
        prop_assert_eq!(&a.seen, &b.seen);
        prop_assert_eq!(&a.times.seen_min, &b.times.seen_min);
        let order = |state: &UserState| {
            kinds(state).iter().map(|(v, _, ts)| ((*v).to_owned(), *ts)).collect::<Vec<_>>()
        };
        prop_assert_eq!(order(&a), order(&b));
        prop_assert_eq!(a.updated_ms, b.updated_ms);
    }
}
