//! How a generation is built.

use engine::event::LONG_VIEW_MS;
use engine::index::format::CfKnobs;

use crate::train::TrainOptions;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How a generation is built. Lengths are per row of the index and bound its size.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildOptions {
    /// Name of the generation, at most 64 bytes.
    pub generation: String,
    /// Up to when events count, Unix time in milliseconds; later ones are left out.
    pub as_of_ms: i64,
    /// Watched at least this long, or to the end, is a long view. Milliseconds.
    pub long_view_ms: u32,
    /// Two interactions of one user further apart belong to different sessions.
    pub session_gap_ms: i64,
    /// Longest session, in videos; older ones are cut off.
    pub session_videos_max: usize,
    /// Sessions of more distinct videos than this share of all sessions are left out, above 0; at 1
    /// none is. The authors of VMIS-kNN cut at 0.995.
    pub session_quantile: f64,
    /// Newest sessions kept per video.
    pub postings_max: usize,
    /// Videos watched by the same people, kept per video.
    pub neighbours_max: usize,
    /// Videos about the same, kept per video.
    pub content_max: usize,
    /// Newest interactions of one user that are counted as watched together.
    pub history_max: usize,
    /// What a liking counts for among videos watched by the same people.
    pub neighbour_weight: LikingWeight,
    /// A liking this old counts half there; `i64::MAX` is off.
    pub neighbour_half_life_ms: i64,
    /// What counts as happening now, where there is too little to find out.
    pub trending: Window,
    /// An interaction this old counts half for what is popular.
    pub popular_half_life_ms: i64,
    /// Rows of a trending list or a cohort's slate.
    pub list_max: usize,
    /// Users who share a taste before they get a slate of their own.
    pub cohort_users_min: usize,
    /// Most cohorts, the largest first.
    pub cohorts_max: usize,
    /// Videos of long views remembered in a profile.
    pub long_term_max: usize,
    /// Categories remembered in a profile.
    pub profile_categories_max: usize,
    /// How sessions and neighbours are used; shares and decay only where there are too few users
    /// to find out.
    pub cf: CfKnobs,
    /// How the ranker is trained; `None` leaves the generation without a model.
    pub ranker: Option<TrainOptions>,
    /// Threads that work side by side.
    pub threads: usize,
}

/// What counts as happening now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// An interaction this old counts half, in milliseconds; `i64::MAX` is off.
    pub half_life_ms: i64,
    /// An older one does not count, in milliseconds; `i64::MAX` is off.
    pub longest_ms: i64,
}

impl Window {
    /// Counts by age and never forgets.
    #[must_use]
    pub const fn decayed(half_life_ms: i64) -> Self {
        Self {
            half_life_ms,
            longest_ms: i64::MAX,
        }
    }

    /// Counts alike whatever is no older.
    #[must_use]
    pub const fn last(longest_ms: i64) -> Self {
        Self {
            half_life_ms: i64::MAX,
            longest_ms,
        }
    }
}

/// What one liking counts for when pairs of videos are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LikingWeight {
    /// All alike.
    #[default]
    Flat,
    /// The share of the video that was watched; 1 where that was not measured.
    WatchRatio,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            generation: String::new(),
            as_of_ms: i64::MAX,
            long_view_ms: LONG_VIEW_MS,
            session_gap_ms: DAY_MS,
            session_videos_max: 100,
            session_quantile: 1.0,
            postings_max: 1_000,
            neighbours_max: 200,
            content_max: 100,
            history_max: 300,
            neighbour_weight: LikingWeight::Flat,
            neighbour_half_life_ms: i64::MAX,
            trending: Window::decayed(DAY_MS),
            popular_half_life_ms: 90 * DAY_MS,
            list_max: 1_000,
            cohort_users_min: 50,
            cohorts_max: 512,
            long_term_max: 50,
            profile_categories_max: 8,
            cf: CfKnobs::default(),
            ranker: None,
            threads: 2,
        }
    }
}

impl BuildOptions {
    /// The defaults under a name and a time.
    #[must_use]
    pub fn new(generation: impl Into<String>, as_of_ms: i64) -> Self {
        Self {
            generation: generation.into(),
            as_of_ms,
            ..Self::default()
        }
    }
}
