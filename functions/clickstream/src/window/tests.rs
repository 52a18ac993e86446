use super::*;
use proptest::prelude::*;

fn mark(key: u64, at_s: u32) -> Mark {
    Mark { at_s, key }
}

fn place(sequence: &str, index: u32) -> Place {
    Place {
        sequence: sequence.into(),
        index,
    }
}

#[test]
fn a_repetition_is_dropped_for_a_day() {
    let mut window = Window::default();
    let steps = [
        (mark(1, 100), true),
        (mark(1, 101), false),
        (mark(2, 101), true),
        (mark(1, 100 + AGE_MAX_S), false),
        (mark(1, 101 + AGE_MAX_S), true),
        (mark(1, 101 + AGE_MAX_S), false),
    ];
    for (step, admitted) in steps {
        assert_eq!(window.admit(List::Ids, step), admitted, "{step:?}");
    }
}

#[test]
fn a_retry_is_known_as_long_as_its_time_is_accepted() {
    let mut window = Window::default();
    // A client whose clock is five minutes ahead may send its event for a day and five minutes.
    assert!(window.admit(List::Ids, mark(1, 100)));
    assert!(!window.admit(List::Ids, mark(1, 100 + 24 * 3_600 + 300)));
}

#[test]
fn the_window_is_bounded_and_forgets_the_oldest() {
    let mut window = Window::default();
    for key in 0..=MARKS_MAX as u64 {
        assert!(window.admit(List::Ids, mark(key, 7 + key as u32)));
    }
    assert_eq!(window.ids.len(), MARKS_MAX);
    assert!(
        !window.admit(List::Ids, mark(1, 8)),
        "the second is still known"
    );
    let before = window.clone();
    assert!(
        window.admit(List::Ids, mark(0, 7)),
        "the first is forgotten"
    );
    assert_eq!(window, before, "what is older pushes nothing newer out");
    assert!(window.encode().len() < 8 * 1_024 + 512);
}

#[test]
fn what_is_applied_is_known_per_shard_and_never_goes_back() {
    let mut window = Window::default();
    assert!(!window.has_applied("a", &place("1", 0)));
    window.apply_to("a", &place("10", 3));
    window.apply_to("a", &place("9", 7));
    for (at, applied) in [
        (place("9", 9), true),
        (place("10", 3), true),
        (place("10", 4), false),
        (place("100", 0), false),
    ] {
        assert_eq!(window.has_applied("a", &at), applied, "{at:?}");
        assert!(!window.has_applied("b", &at));
    }
    for shard in ["b", "c", "d"] {
        window.apply_to(shard, &place("1", 0));
    }
    assert!(window.has_applied("a", &place("10", 0)));
    window.apply_to("e", &place("1", 0));
    assert!(
        !window.has_applied("a", &place("10", 0)),
        "a is too long ago"
    );
    assert_eq!(Window::decode(&window.encode()).unwrap(), window);
}

#[test]
fn rows_of_the_first_schema_are_read() {
    let old = |key: u64, at_s: u32| [&key.to_le_bytes()[..], &[9; 4], &at_s.to_le_bytes()].concat();
    let body = [vec![1, 0, 1, 0], old(u64::MAX, 50), old(1 << 63, 60)].concat();
    let mut window = Window::decode(&sealed::seal(1, &body)).unwrap();
    assert!(!window.admit(List::Ids, Mark::new(u64::MAX, 51_000)));
    assert!(!window.admit(List::Firsts, Mark::new(1 << 63, 61_000)));
    assert!(window.admit(List::Ids, Mark::new(1 << 63, 61_000)));
    let cut = &body[..body.len() - 1];
    assert!(Window::decode(&sealed::seal(1, cut)).is_err());
}

#[test]
fn lists_that_do_not_fit_each_other_are_refused() {
    let message = |keys: &'static [u8], seconds: &[u32]| WindowMessage {
        ids: Bytes::from_static(keys),
        ids_s: seconds.to_vec(),
        ..WindowMessage::default()
    };
    for bad in [
        message(b"12345", &[1]),
        message(b"123456", &[]),
        message(b"123456123456", &[5, u32::MAX]),
    ] {
        let bytes = sealed::seal(WINDOW_SCHEMA, &bad.encode_to_vec());
        assert_eq!(Window::decode(&bytes).unwrap_err().kind, ErrorKind::Corrupt);
    }
}

proptest! {
    #[test]
    fn rows_round_trip(keys in prop::collection::vec((any::<u64>(), 0..9_000_i64), 0..50)) {
        let mut window = Window::default();
        for (key, at_s) in keys {
            window.admit(List::Ids, Mark::new(key, at_s * 1_000));
            window.admit(List::Firsts, Mark::new(!key, at_s * 1_000));
        }
        prop_assert_eq!(Window::decode(&window.encode()).unwrap(), window);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(mut keys in prop::collection::vec((0..40_u64, 0..9_u32), 0..60)) {
        keys.dedup_by_key(|(key, _)| *key);
        keys.sort_unstable();
        keys.dedup_by_key(|(key, _)| *key);
        let build = |keys: &[(u64, u32)]| {
            let mut window = Window::default();
            for (key, at_s) in keys {
                window.admit(List::Ids, mark(*key, *at_s));
            }
            window
        };
        let forwards = build(&keys);
        keys.reverse();
        prop_assert_eq!(build(&keys), forwards);
    }
}
