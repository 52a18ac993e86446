//! What a competent engineer would try in an afternoon, implemented honestly.
//!
//! Each scores every video for an exam; [`slates`] takes the best candidates the user has not met,
//! ties and what scores nothing in the order of popularity.

use rustc_hash::FxHashMap;

use super::course::Exam;
use super::{Course, Log, Slates};

const DAY_MS: f64 = 86_400_000.0;
/// Newest likings of one user that count as liked together; bounds the work of rare heavy users.
const HISTORY_MAX: usize = 300;

/// Scores every video for one exam.
pub trait Scorer: Sync {
    /// Writes a score per video; higher is better, 0 says nothing.
    fn score(&self, exam: &Exam, scores: &mut [f32]);
}

/// The slates of a scorer: `places` best candidates per exam.
#[must_use]
pub fn slates(log: &Log, course: &Course, scorer: &dyn Scorer, places: usize) -> Slates {
    let popularity = Popularity::new(course, log.videos.len());
    let mut scores = vec![0.0; log.videos.len()];
    let ranked = |exam: &Exam| {
        scores.fill(0.0);
        scorer.score(exam, &mut scores);
        let mut rows: Vec<(f32, f32, u32)> = (0u32..)
            .zip(scores.iter().zip(&popularity.0))
            .filter(|(video, _)| log.is_candidate(*video) && exam.met.binary_search(video).is_err())
            .map(|(video, (score, popular))| (score.max(0.0), *popular, video))
            .collect();
        let order = |a: &(f32, f32, u32), b: &(f32, f32, u32)| {
            let by_score = b.0.total_cmp(&a.0);
            by_score
                .then_with(|| b.1.total_cmp(&a.1))
                .then_with(|| a.2.cmp(&b.2))
        };
        if rows.len() > places && places > 0 {
            rows.select_nth_unstable_by(places - 1, order);
            rows.truncate(places);
        }
        rows.sort_unstable_by(order);
        rows.into_iter().map(|(_, _, video)| video).collect()
    };
    course.exams.iter().map(ranked).collect()
}

/// People who ever liked it.
#[derive(Debug, Clone)]
pub struct Popularity(Vec<f32>);

impl Popularity {
    /// Counts each user once per video.
    #[must_use]
    pub fn new(course: &Course, videos: usize) -> Self {
        Self(count(course, videos, |_| 1.0))
    }
}

impl Scorer for Popularity {
    fn score(&self, _: &Exam, scores: &mut [f32]) {
        scores.copy_from_slice(&self.0);
    }
}

/// People who liked it within the last days before the split.
#[derive(Debug, Clone)]
pub struct RecentPopularity(Vec<f32>);

impl RecentPopularity {
    /// Counts each user once per video, at their newest liking, in a window of so many days.
    #[must_use]
    pub fn new(course: &Course, videos: usize, days: f64) -> Self {
        let newest = course.history.iter().flatten().map(|(_, ts_ms)| *ts_ms);
        let end = newest.max().unwrap_or(0).min(course.now_ms);
        let within = |ts_ms: i64| f32::from(u8::from((end - ts_ms) as f64 <= days * DAY_MS));
        Self(count(course, videos, within))
    }
}

impl Scorer for RecentPopularity {
    fn score(&self, _: &Exam, scores: &mut [f32]) {
        scores.copy_from_slice(&self.0);
    }
}

fn count(course: &Course, videos: usize, weight: impl Fn(i64) -> f32) -> Vec<f32> {
    let mut counts = vec![0.0; videos];
    for (video, ts_ms) in course.history.iter().flatten() {
        if let Some(count) = counts.get_mut(*video as usize) {
            *count += weight(*ts_ms);
        }
    }
    counts
}

/// How [`ItemKnn`] compares videos.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnnKnobs {
    /// Neighbours kept per video, the closest.
    pub neighbours: usize,
    /// Added to the denominator of the cosine: people that a pair has to have in common.
    pub shrink: f32,
    /// Only so many newest likings of the user are looked at.
    pub newest: usize,
}

/// Item-based nearest neighbours: cosine over people with shrinkage, summed over the user's
/// likings (Sarwar et al., WWW 2001).
#[derive(Debug)]
pub struct ItemKnn {
    rows: Vec<Vec<(u32, f32)>>,
    newest: usize,
}

impl ItemKnn {
    /// Compares every video with those liked by the same people.
    #[must_use]
    pub fn new(pairs: &Pairs, knobs: KnnKnobs) -> Self {
        let own = |video: usize| pairs.fans.get(video).map_or(0.0, |fans| fans.len() as f32);
        let cosine =
            |a: usize, b: u32, both: f32| both / ((own(a) * own(b as usize)).sqrt() + knobs.shrink);
        let rows = pairs.rows.iter().enumerate().map(|(video, row)| {
            let alike = row.iter().map(|(b, both)| (*b, cosine(video, *b, *both)));
            closest(alike.collect(), knobs.neighbours)
        });
        Self {
            rows: rows.collect(),
            newest: knobs.newest,
        }
    }
}

impl Scorer for ItemKnn {
    fn score(&self, exam: &Exam, scores: &mut [f32]) {
        add_rows(&self.rows, exam, self.newest, scores);
    }
}

/// People who liked both, summed over the user's likings and not normalised by anything.
#[derive(Debug)]
pub struct CoOccurrence<'p>(pub &'p Pairs);

impl Scorer for CoOccurrence<'_> {
    fn score(&self, exam: &Exam, scores: &mut [f32]) {
        add_rows(&self.0.rows, exam, usize::MAX, scores);
    }
}

fn add_rows(rows: &[Vec<(u32, f32)>], exam: &Exam, newest: usize, scores: &mut [f32]) {
    for seed in exam.liked.iter().rev().take(newest) {
        for (video, score) in rows.get(*seed as usize).map_or(&[][..], Vec::as_slice) {
            if let Some(slot) = scores.get_mut(*video as usize) {
                *slot += score;
            }
        }
    }
}

fn closest(mut row: Vec<(u32, f32)>, most: usize) -> Vec<(u32, f32)> {
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    if row.len() > most && most > 0 {
        row.select_nth_unstable_by(most - 1, order);
        row.truncate(most);
    }
    row
}

/// How many people liked both videos of each pair.
#[derive(Debug, Default)]
pub struct Pairs {
    rows: Vec<Vec<(u32, f32)>>,
    fans: Vec<Vec<u32>>,
}

impl Pairs {
    /// Counts over everybody's newest 300 likings.
    #[must_use]
    pub fn new(course: &Course, videos: usize) -> Self {
        let mut fans: Vec<Vec<u32>> = vec![Vec::new(); videos];
        let newest = |user: usize| {
            let liked = course.history.get(user).map_or(&[][..], Vec::as_slice);
            liked
                .get(liked.len().saturating_sub(HISTORY_MAX)..)
                .unwrap_or_default()
        };
        for user in 0..course.history.len() {
            for (video, _) in newest(user) {
                if let Some(fans) = fans.get_mut(*video as usize) {
                    fans.push(user as u32);
                }
            }
        }
        let mut both: FxHashMap<u32, f32> = FxHashMap::default();
        let mut rows = Vec::with_capacity(videos);
        for (video, own) in fans.iter().enumerate() {
            both.clear();
            for fan in own {
                for (other, _) in newest(*fan as usize) {
                    *both.entry(*other).or_default() += 1.0;
                }
            }
            both.remove(&(video as u32));
            let mut row: Vec<(u32, f32)> = both.iter().map(|(other, n)| (*other, *n)).collect();
            row.sort_unstable_by_key(|(other, _)| *other);
            rows.push(row);
        }
        Self { rows, fans }
    }
}
