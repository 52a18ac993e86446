//! Film ratings: MovieTweetings and MovieLens.
//!
//! A rating says that a film was watched and whether it was liked, not for how long. On a scale of
//! ten: from 6 on it is a `watch` without a measured time, which counts as interest; from 8 on a
//! `like` as well; below 6 it is a `skip`. MovieLens' scale of five is doubled.

use std::path::Path;

use engine::{EventKind, Video};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::convert::{Converter, Out, Reason};
use super::event::{bare, identified};
use super::plan::{Part, first_of, required};
use super::records::{Cells, Layout, Separator};
use super::value;

const WATCHED_FROM: f64 = 6.0;
const LIKED_FROM: f64 = 8.0;
const BEST: f64 = 10.0;

const COLONS: Layout = Layout::Text {
    separator: Separator::Colons,
    header: false,
};
const COMMAS: Layout = Layout::Text {
    separator: Separator::Comma,
    header: true,
};

const RATING: [&str; 4] = ["userId", "movieId", "rating", "timestamp"];
const FILM: [&str; 3] = ["movieId", "title", "genres"];

/// The parts of a MovieTweetings folder: `movies.dat`, `ratings.dat`.
pub(super) fn movietweetings(folder: &Path) -> anyhow::Result<Vec<Part>> {
    parts(folder, &["movies.dat"], &["ratings.dat"], 1.0)
}

/// The parts of a MovieLens folder: `movies` and `ratings`, as `.csv` or `.dat`.
pub(super) fn movielens(folder: &Path) -> anyhow::Result<Vec<Part>> {
    parts(
        folder,
        &["movies.csv", "movies.dat"],
        &["ratings.csv", "ratings.dat"],
        2.0,
    )
}

fn parts(folder: &Path, films: &[&str], ratings: &[&str], scale: f64) -> anyhow::Result<Vec<Part>> {
    let (films, ratings) = (first_of(folder, films)?, first_of(folder, ratings)?);
    let layout = |file: &Path| match file.extension() {
        Some(extension) if extension == "csv" => COMMAS,
        _ => COLONS,
    };
    let (film_layout, rating_layout) = (layout(&films), layout(&ratings));
    let reading = format!("ratings 1, times {scale}");
    Ok(vec![
        Part::new(films, "films 1", film_layout, required(&FILM), Films)?,
        Part::new(
            ratings,
            reading,
            rating_layout,
            required(&RATING),
            Ratings { scale },
        )?,
    ])
}

struct Ratings {
    scale: f64,
}

impl Converter for Ratings {
    fn record(&mut self, cells: &Cells, out: &mut Out) -> Result<(), Reason> {
        let [user, film, rating, time] = cells.array();
        let (user, film) = (value::user("user", user)?, value::video("movie", film)?);
        let ts_ms = value::time("timestamp", time)?;
        let rating = value::decimal("rating", rating)? * self.scale;
        if !(0.0..=BEST).contains(&rating) {
            return Err("rating: outside its scale".to_owned());
        }
        let kinds: &[EventKind] = if rating >= LIKED_FROM {
            &[EventKind::Watch, EventKind::Like]
        } else if rating >= WATCHED_FROM {
            &[EventKind::Watch]
        } else {
            &[EventKind::Skip]
        };
        for kind in kinds {
            out.events
                .push(identified(bare(*kind, &user, &film, ts_ms)));
        }
        Ok(())
    }
}

struct Films;

impl Converter for Films {
    fn record(&mut self, cells: &Cells, out: &mut Out) -> Result<(), Reason> {
        let [id, title, genres] = cells.array();
        let mut video = Video::new(value::video("movie", id)?);
        video.title = title.to_owned();
        video.categories = value::list(genres, &['|']);
        video
            .categories
            .retain(|genre| genre != "(no genres listed)");
        video.published_at = released_ms(title).unwrap_or(0);
        out.videos.push(video);
        Ok(())
    }
}

/// The first of January of the year that ends a title: `The Bank (1915)`.
fn released_ms(title: &str) -> Option<i64> {
    let (_, year) = title.strip_suffix(')')?.rsplit_once('(')?;
    let day = Date::new(year.parse().ok()?, 1, 1).ok()?;
    Some(
        day.to_zoned(TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_millisecond(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_says_when_a_film_came_out() {
        assert_eq!(released_ms("The Bank (1970)"), Some(0));
        assert_eq!(released_ms("Heat (2) (1971)"), Some(365 * 86_400_000));
        for title in ["Fantômas", "Fantômas (n/a)", ")", ""] {
            assert_eq!(released_ms(title), None, "{title}");
        }
    }
}
