//! What the night counts, counted again the slow way.

use std::collections::{BTreeMap, BTreeSet};

use engine::index::Index;
use engine::{Event, EventKind, Video};
use learn::{BuildOptions, LikingWeight};
use proptest::collection::vec;
use proptest::prelude::*;
use smol_str::format_smolstr;

use crate::town::{HOUR_MS, START_MS, build, by, event, open, options, video, watch};

/// Who liked or watched what, when: user, film, hour, milliseconds watched of 60 s.
type Liking = (usize, usize, i64, u32);

fn likings() -> impl Strategy<Value = Vec<Liking>> {
    vec((0usize..7, 0usize..9, 0i64..90, 18_000u32..60_000), 0..60)
}

fn name(film: usize) -> String {
    format!("v{film}")
}

fn catalogue() -> Vec<Video> {
    (0..9).map(|film| video(&name(film), &[])).collect()
}

/// Every pair by the definition: the users' weights over √n, cosine, shrunk.
fn pairs(likings: &[Liking], weigh: impl Fn(&Liking) -> f64) -> BTreeMap<(usize, usize), f64> {
    let mut newest: BTreeMap<(usize, usize), &Liking> = BTreeMap::new();
    let mut in_order: Vec<&Liking> = likings.iter().collect();
    in_order.sort_by_key(|(user, film, hour, watched)| (*user, *hour, *film, *watched));
    for liking in in_order {
        newest.insert((liking.0, liking.1), liking);
    }
    let mut sums: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for user in 0..7 {
        let own: Vec<&&Liking> = newest
            .iter()
            .filter(|((u, _), _)| *u == user)
            .map(|(_, l)| l)
            .collect();
        for a in &own {
            for b in &own {
                let share = weigh(a) * weigh(b) / (own.len() as f64).sqrt();
                *sums.entry((a.1, b.1)).or_default() += share;
            }
        }
    }
    let off_diagonal = sums.iter().filter(|((a, b), _)| a != b);
    off_diagonal
        .map(|((a, b), sum)| {
            let norm = (sums[&(*a, *a)] * sums[&(*b, *b)]).sqrt();
            ((*a, *b), sum / (norm + 2.0))
        })
        .collect()
}

fn check(
    likings: &[Liking],
    options: BuildOptions,
    weigh: impl Fn(&Liking) -> f64,
) -> Result<(), TestCaseError> {
    let likes: Vec<Event> = likings
        .iter()
        .map(|(user, film, hour, watched)| {
            watch(&format!("u{user}"), &name(*film), *hour, *watched)
        })
        .collect();
    let index = open(&mut build(options, &catalogue(), &likes));
    let expected = pairs(likings, weigh);
    let mut found = BTreeMap::new();
    for film in 0..9 {
        let row = index.neighbours().row(film as u32);
        prop_assert!(row.is_sorted_by(|a, b| a.score.get() >= b.score.get()));
        for other in row {
            found.insert(
                (film, other.item.get() as usize),
                f64::from(other.score.get()),
            );
        }
    }
    let places = |all: &BTreeMap<(usize, usize), f64>| all.keys().copied().collect::<BTreeSet<_>>();
    prop_assert_eq!(places(&found), places(&expected));
    for (pair, score) in &expected {
        prop_assert!(
            (found[pair] - score).abs() < 1e-5,
            "{pair:?} {} {score}",
            found[pair]
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn neighbours_are_what_the_definition_says(likings in likings()) {
        check(&likings, options(), |_| 1.0)?;
    }

    #[test]
    fn weights_of_likings_are_what_the_definition_says(mut likings in likings()) {
        // One liking per user and film, so that which one counts is plain.
        let mut met = BTreeSet::new();
        likings.retain(|(user, film, _, _)| met.insert((*user, *film)));
        let newest = likings.iter().map(|(_, _, hour, _)| *hour).max().unwrap_or(0);
        let weighed = BuildOptions {
            neighbour_weight: LikingWeight::WatchRatio,
            neighbour_half_life_ms: 24 * HOUR_MS,
            ..options()
        };
        check(&likings, weighed, |(_, _, hour, watched)| {
            let faded = (-((newest - hour) as f64) / 24.0).exp2();
            f64::from(*watched) / 60_000.0 * faded
        })?;
    }

    /// A session ends where a user pauses for longer than the gap; only its newest films stay, and
    /// sessions are numbered by when they ended.
    #[test]
    fn sessions_are_what_the_definition_says(likings in likings(), gap in 1i64..30, most in 2usize..5) {
        let likes: Vec<Event> = likings
            .iter()
            .map(|(user, film, hour, _)| event(EventKind::Like, &format!("u{user}"), &name(*film), *hour))
            .collect();
        let short = BuildOptions {
            session_gap_ms: gap * HOUR_MS,
            session_videos_max: most,
            ..options()
        };
        let index = open(&mut build(short, &catalogue(), &likes));
        let mut expected: Vec<(i64, Vec<u32>)> = Vec::new();
        for user in 0..7 {
            let mut own: Vec<(i64, usize)> =
                likings.iter().filter(|l| l.0 == user).map(|l| (l.2, l.1)).collect();
            own.sort_unstable();
            // Liked again with nothing in between is liked once.
            own.dedup_by_key(|(_, film)| *film);
            for run in own.chunk_by(|a, b| b.0 - a.0 <= gap) {
                let mut films: Vec<u32> = Vec::new();
                for (_, film) in run.iter().rev() {
                    if films.len() < most && !films.contains(&(*film as u32)) {
                        films.insert(0, *film as u32);
                    }
                }
                if films.len() > 1 {
                    expected.push((START_MS + run[run.len() - 1].0 * HOUR_MS, films));
                }
            }
        }
        expected.sort();
        let found: Vec<Vec<u32>> = (0..index.sessions().len() as u32)
            .map(|session| index.sessions().row(session).iter().map(|item| item.get()).collect())
            .collect();
        let films: Vec<Vec<u32>> = expected.into_iter().map(|(_, films)| films).collect();
        prop_assert_eq!(&found, &films);
        for film in 0..9u32 {
            let with = (0..films.len() as u32).rev().filter(|s| films[*s as usize].contains(&film));
            let postings: Vec<u32> = index.postings().row(film).iter().map(|s| s.get()).collect();
            prop_assert_eq!(postings, with.collect::<Vec<_>>());
        }
    }

    /// Looking no further than where the best can lie changes nothing.
    #[test]
    fn a_short_row_of_content_is_the_beginning_of_the_long_one(
        films in vec((0usize..3, 0usize..5, vec(0usize..12, 0..4)), 1..60),
        liked in vec((0usize..5, 0usize..60), 0..40),
        most in 1usize..5,
    ) {
        let films: Vec<Video> = (0..)
            .zip(&films)
            .map(|(film, (topic, creator, tags))| {
                let topic = format!("topic{topic}");
                let mut film = by(&format!("creator{creator}"), video(&name(film), &[&topic]));
                film.tags = tags.iter().map(|tag| format_smolstr!("tag{tag}")).collect();
                film
            })
            .collect();
        let likes: Vec<Event> = liked
            .iter()
            .filter(|(_, film)| *film < films.len())
            .map(|(user, film)| event(EventKind::Like, &format!("u{user}"), &name(*film), 1))
            .collect();
        let of_length = |content_max| {
            let options = BuildOptions { content_max, ..options() };
            open(&mut build(options, &films, &likes))
        };
        let (short, long) = (of_length(most), of_length(1_000));
        let row = |index: &Index, film: u32| -> Vec<(u32, u32)> {
            let row = index.content().row(film).iter().take(most);
            row.map(|other| (other.item.get(), other.score.get().to_bits())).collect()
        };
        for film in 0..films.len() as u32 {
            prop_assert_eq!(row(&short, film), row(&long, film));
        }
    }
}

/// Of a topic that thousands of films have only some are looked at, however a film is found.
#[test]
fn a_short_row_is_the_beginning_of_the_long_one_where_a_topic_has_too_many_films() {
    // Those that come first have nothing for them but their creator.
    const FILMS: usize = 2_600;
    const DULL: usize = 600;
    const MOST: usize = 8;
    let films: Vec<Video> = (0..FILMS)
        .map(|film| {
            by(
                &format!("creator{}", film / 40),
                video(&name(film), &["topic"]),
            )
        })
        .collect();
    let likes: Vec<Event> = (DULL..FILMS)
        .map(|film| event(EventKind::Like, &format!("u{film}"), &name(film), 1))
        .collect();
    let of_length = |content_max| {
        let options = BuildOptions {
            content_max,
            ..options()
        };
        open(&mut build(options, &films, &likes))
    };
    let (short, long) = (of_length(MOST), of_length(1_000));
    let row = |index: &Index, film: u32| -> Vec<(u32, u32)> {
        let row = index.content().row(film).iter().take(MOST);
        row.map(|other| (other.item.get(), other.score.get().to_bits()))
            .collect()
    };
    for film in (0..FILMS as u32).step_by(13) {
        assert_eq!(row(&short, film), row(&long, film));
    }
}
