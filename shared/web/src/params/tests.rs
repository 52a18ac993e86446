//! One set of rules for queries and bodies.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const KNOWN: &[&str] = &["user_id", "limit", "exclude", "category", "explain"];

fn query(text: &str) -> Params {
    Params::of_query(text.as_bytes(), KNOWN).unwrap()
}

fn body(value: Value) -> Params {
    Params::of_json(value.as_object().unwrap().clone(), KNOWN)
}

#[test]
fn query_and_body_say_the_same() {
    let asked =
        query("user_id=u1&limit=7&exclude=a,b&category=x%20y&category=z&explain=true&other=%ff");
    let posted = body(json!({"user_id": "u1", "limit": 7, "exclude": ["a", "b"],
        "category": ["x y", "z"], "explain": true, "other": {"deep": [1]}}));
    for params in [asked, posted] {
        assert_eq!(params.text("user_id", 64), Ok(Some("u1")));
        assert_eq!(params.integer("limit", 1..=50), Ok(Some(7)));
        let exclude: Vec<VideoId> = params.ids("exclude", 200).unwrap();
        assert_eq!(
            exclude.iter().map(VideoId::as_str).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(params.words("category", 5).unwrap(), ["x y", "z"]);
        assert_eq!(params.flag("explain"), Ok(Some(true)));
    }
}

#[test]
fn what_is_absent_is_not_wrong() {
    for params in [query(""), query("&&=&x=1"), body(json!({"limit": null}))] {
        assert_eq!(params.integer("limit", 1..=50), Ok(None));
        assert_eq!(params.ids::<VideoId>("exclude", 1), Ok(Vec::new()));
    }
    assert_eq!(
        query("exclude=").ids::<VideoId>("exclude", 0),
        Ok(Vec::new())
    );
}

#[test]
fn a_wrong_type_or_range_names_its_field() {
    let limits = [
        query("limit=0"),
        query("limit=51"),
        query("limit="),
        query("limit"),
        query("limit=+5"),
        query("limit=5.0"),
        query("limit=99999999999999999999"),
        query("limit=1&limit=1"),
        query("limit=%ff"),
        body(json!({"limit": "5"})),
        body(json!({"limit": -1})),
        body(json!({"limit": 1.5})),
        body(json!({"limit": [5]})),
    ];
    for params in limits {
        let problem = params.integer("limit", 1..=50).unwrap_err();
        assert_eq!(problem.field_name(), Some("limit"), "{params:?}");
    }
    let lists = [
        query("exclude=a,b,c"),
        query("exclude=a&exclude=b,c"),
        query("exclude=a,"),
        query("exclude=a/b"),
        body(json!({"exclude": ["a", 1]})),
        body(json!({"exclude": {"a": 1}})),
        body(json!({"exclude": "a"})),
        body(json!({"exclude": ["a", "b", "c"]})),
    ];
    for params in lists {
        let problem = params.ids::<VideoId>("exclude", 2).unwrap_err();
        assert_eq!(problem.field_name(), Some("exclude"), "{params:?}");
    }
    assert!(query("explain=yes").flag("explain").is_err());
    assert!(query("category=a%0ab").words("category", 5).is_err());
    assert!(query("user_id=").id::<VideoId>("user_id").is_err());
}

#[test]
fn times_are_rfc_3339_or_milliseconds() {
    let time = |value: Value| {
        let object = json!({ "limit": value }).as_object().unwrap().clone();
        Params::of_json(object, KNOWN)
            .time_ms("limit")
            .ok()
            .flatten()
    };
    let cases = [
        (json!(1_760_000_000_000_i64), Some(1_760_000_000_000)),
        (json!("2025-10-09T08:53:20Z"), Some(1_760_000_000_000)),
        (
            json!("2025-10-09T10:53:20.5+02:00"),
            Some(1_760_000_000_500),
        ),
        (json!("2025-10-09"), None),
        (json!("1760000000000"), None),
        (json!(1.5), None),
        (json!(-1), None),
        (json!(i64::MAX), None),
        (json!("+999999-01-01T00:00:00Z"), None),
        (json!([]), None),
    ];
    for (value, expected) in cases {
        assert_eq!(time(value.clone()), expected, "{value}");
    }
}

#[test]
fn an_endless_query_is_refused_unread() {
    let endless = vec![b'&'; QUERY_BYTES_MAX + 1];
    assert_eq!(Params::of_query(&endless, KNOWN).unwrap_err().status(), 414);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(params) = Params::of_query(&bytes, KNOWN) {
            let _ = params.text("user_id", 64);
            let _ = params.integer("limit", 1..=50);
            let _ = params.ids::<VideoId>("exclude", 3);
            let _ = params.words("category", 3);
            let _ = params.flag("explain");
        }
    }

    #[test]
    fn encoding_a_word_and_reading_it_gives_the_word(word in "[^\\p{Cc}]{1,16}") {
        let encoded: String = word.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let params = query(&format!("category={encoded}"));
        prop_assert_eq!(params.words("category", 1).unwrap(), [word]);
    }
}
