//! Baselines get the parameters that do best on the validation part, like everybody else.

use serde::Serialize;

use super::baseline::{
    CoOccurrence, ItemKnn, KnnKnobs, Pairs, Popularity, RecentPopularity, Scorer, slates,
};
use super::{Course, Log, Scores, Slates};

/// Windows of recent popularity that are tried, in days.
const WINDOWS_DAYS: [f64; 8] = [0.5, 1.0, 2.0, 4.0, 7.0, 14.0, 30.0, 90.0];
/// Neighbourhoods of item-kNN that are tried.
const NEIGHBOURS: [usize; 3] = [50, 200, 1_000];
const SHRINKS: [f32; 4] = [0.0, 5.0, 20.0, 100.0];
const NEWEST: [usize; 3] = [3, 20, usize::MAX];
/// Exams of the validation part that are enough to choose by.
const EXAMS_MAX: usize = 5_000;

/// A baseline, its slates, and what was chosen for it.
#[derive(Debug)]
pub struct Tuned {
    /// Its name.
    pub name: &'static str,
    /// What was chosen on the validation part; empty where there was nothing to choose.
    pub chosen: String,
    /// Its slates for the judged part.
    pub slates: Slates,
    /// Its scores for what viewers were shown, in their order.
    pub marks: Vec<f32>,
}

/// How a choice was made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Validation {
    /// Exams of the validation part.
    pub exams: usize,
}

/// Every baseline on the judged part.
///
/// Chosen by NDCG at `places` on the validation part; where that has no exams, the first of the
/// list that is tried.
#[must_use]
pub fn baselines(
    log: &Log,
    course: &Course,
    places: usize,
    tell: &mut dyn FnMut(&'static str),
) -> (Vec<Tuned>, Validation) {
    let videos = log.videos.len();
    let mut earlier = course.before(log);
    earlier.exams.truncate(EXAMS_MAX);
    let validation = Validation {
        exams: earlier.exams.len(),
    };
    let gain = |scorer: &dyn Scorer| {
        Scores::new(log, &earlier, &slates(log, &earlier, scorer, places)).mean_ndcg()
    };
    tell("recent popularity");
    let days = best(WINDOWS_DAYS, |days| {
        gain(&RecentPopularity::new(&earlier, videos, *days))
    });
    tell("item-kNN");
    let knn = {
        let pairs = Pairs::new(&earlier, videos);
        let judge = |knobs: &KnnKnobs| gain(&ItemKnn::new(&pairs, *knobs));
        // One at a time: a full grid would cost four times as much and wins nothing measurable.
        let first = KnnKnobs {
            neighbours: 200,
            shrink: 5.0,
            newest: usize::MAX,
        };
        let shrinks = SHRINKS.map(|shrink| KnnKnobs { shrink, ..first });
        let first = best(shrinks, judge).unwrap_or(first);
        let sizes = NEIGHBOURS.map(|neighbours| KnnKnobs {
            neighbours,
            ..first
        });
        let first = best(sizes, judge).unwrap_or(first);
        let newest = NEWEST.map(|newest| KnnKnobs { newest, ..first });
        best(newest, judge).unwrap_or(first)
    };
    tell("baselines");
    let days = days.unwrap_or(7.0);
    let pairs = Pairs::new(course, videos);
    let tuned = |name, chosen: String, scorer: &dyn Scorer| Tuned {
        name,
        chosen,
        slates: slates(log, course, scorer, places),
        marks: marks(log, course, scorer),
    };
    let newest = match knn.newest {
        usize::MAX => "all".to_owned(),
        newest => format!("the newest {newest}"),
    };
    let found = format!(
        "{} neighbours, shrinkage {}, {newest} likings",
        knn.neighbours, knn.shrink
    );
    let all = vec![
        tuned(
            "popularity",
            String::new(),
            &Popularity::new(course, videos),
        ),
        tuned(
            "recent popularity",
            format!("window of {days} days"),
            &RecentPopularity::new(course, videos, days),
        ),
        tuned("item-kNN", found, &ItemKnn::new(&pairs, knn)),
        tuned("co-occurrence", String::new(), &CoOccurrence(&pairs)),
    ];
    (all, validation)
}

fn best<T: Clone, const N: usize>(all: [T; N], gain: impl Fn(&T) -> f64) -> Option<T> {
    let mut best: Option<(f64, T)> = None;
    for one in all {
        let gained = gain(&one);
        if best.as_ref().is_none_or(|(most, _)| gained > *most) {
            best = Some((gained, one));
        }
    }
    best.map(|(_, one)| one)
}

/// What a scorer says of what each viewer was shown, in the order of the viewers and their videos.
fn marks(log: &Log, course: &Course, scorer: &dyn Scorer) -> Vec<f32> {
    let mut scores = vec![0.0; log.videos.len()];
    let mut marks = Vec::new();
    for viewer in &course.viewers {
        scores.fill(0.0);
        scorer.score(&viewer.exam, &mut scores);
        let of = |(video, _): &(u32, bool)| scores.get(*video as usize).copied().unwrap_or(0.0);
        marks.extend(viewer.shown.iter().map(of));
    }
    marks
}
