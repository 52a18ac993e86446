//! What is watched now has a list per market and per category.

use engine::{Event, EventKind, Video};
use smol_str::SmolStr;

use crate::town::{build, event, open, options, video};

/// Six viewers in each of two markets, each of which likes films of its own.
fn likes() -> Vec<Event> {
    let mut all = Vec::new();
    for (market, films) in [("DE", ["a", "b"]), ("US", ["c", "d"])] {
        for user in 0..6 {
            let user = format!("{market}{user}");
            all.extend(films.map(|film| Event {
                market: SmolStr::new(market),
                ..event(EventKind::Like, &user, film, 90)
            }));
        }
    }
    all
}

fn catalogue() -> Vec<Video> {
    let topics = [
        ("a", "news"),
        ("b", "sport"),
        ("c", "sport"),
        ("d", "music"),
    ];
    topics.map(|(film, topic)| video(film, &[topic])).into()
}

#[test]
fn every_market_that_viewers_come_from_has_a_list_of_its_own() {
    let index = open(&mut build(options(), &catalogue(), &likes()));
    for (market, films) in [("DE", ["a", "b"]), ("US", ["c", "d"])] {
        let number = index.markets().find(market);
        assert!(number.is_some(), "no video names {market}, viewers do");
        let listed = index.trending(number).iter();
        let mut names: Vec<&str> = listed.map(|row| index.video_id(row.item.get())).collect();
        names.sort_unstable();
        assert_eq!(names, films, "{market}");
    }
    // Who comes from anywhere else sees what everybody watches, and everything may be shown there.
    assert_eq!(index.trending(index.markets().find("FR")).len(), 4);
    assert!(index.visible(0, "FR", 0) && index.visible(0, "US", 0));
}

#[test]
fn every_category_has_a_list_of_its_own() {
    let index = open(&mut build(options(), &catalogue(), &likes()));
    for (topic, films) in [
        ("news", &["a"][..]),
        ("sport", &["b", "c"]),
        ("music", &["d"]),
    ] {
        let number = index.categories().find(topic).unwrap();
        let listed = index.category_trending().row(number).iter();
        let names: Vec<&str> = listed.map(|row| index.video_id(row.item.get())).collect();
        assert_eq!(names, films, "{topic}");
    }
}
