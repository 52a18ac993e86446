//! What a ranker knows of a video, a user and a moment: every feature, defined once.
//!
//! ```text
//! Index ─► Outlook (once per generation) ─┐
//! Profile ─► Taste (once per user) ───────┴─► vector(item) ─► [f32; COUNT]
//! ```
//!
//! A vector is a function of a generation, a profile of the same night, the scene and the moment,
//! and of nothing else: serving and training call the same one, so a name, a profile and a
//! generation say exactly what the ranker knew. What happened since the night is the sources'
//! business. Features that follow a user through the day would also let training look at its own
//! answers: with a day's likings spread over its impressions, who was just pleased is less likely
//! to be pleased again.
//!
//! What is not known is not a number (NaN), and a model learns what that means.

mod outlook;
mod taste;

pub use outlook::{Outlook, Scenes};
pub use taste::{Scratch, Taste};

use xxhash_rust::xxh3::xxh3_64;

/// One feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Its name, in models and tables.
    pub name: &'static str,
    /// What it is counted in.
    pub unit: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// More of it never lowers the chance, other things being equal; training keeps to that. It
    /// costs no accuracy that can be told from noise (docs/evaluation.md), and a model that marks a
    /// video down for being liked cannot be explained.
    pub rises: bool,
}

/// Everything a ranker knows of one candidate, in the order of [`FEATURES`].
pub type Vector = [f32; COUNT];

/// How many features there are.
pub const COUNT: usize = FEATURES.len();

macro_rules! features {
    (@rising) => { true };
    (@free) => { false };
    ($($name:ident: $unit:literal, $way:ident, $meaning:literal;)*) => {
        /// Every feature, in the order of a [`Vector`].
        pub const FEATURES: &[Feature] = &[$(Feature {
            name: stringify!($name),
            unit: $unit,
            meaning: $meaning,
            rises: features!(@$way),
        }),*];

        /// The features by name, before they are put in order.
        #[derive(Debug, Clone, Copy, PartialEq)]
        struct Named { $($name: f32),* }

        impl Named {
            fn vector(self) -> Vector {
                [$(self.$name),*]
            }
        }
    };
}

features! {
    video_long_view_rate: "share", rising, "smoothed chance that who meets the video watches it long";
    video_click_rate: "share", rising, "smoothed chance that who meets the video opens it";
    video_reaction_rate: "share", free, "smoothed likes, shares, follows and comments per impression";
    video_impressions: "ln(1 + n)", free, "how often the video was met";
    video_popularity: "ln(1 + n)", free, "people who liked it, by age";
    video_momentum: "ln(1 + n)", free, "likings lately";
    video_rise: "share", free, "likings lately among all";
    video_age: "days", free, "since it was published";
    video_duration: "ln(s)", free, "how long it is";
    creator_long_view_rate: "share", rising, "the same chance over all of the creator's videos";
    creator_impressions: "ln(1 + n)", free, "how often the creator's videos were met";
    category_long_view_rate: "share", rising, "the same chance over the best of the video's categories";
    user_long_view_rate: "share", rising, "smoothed chance that the user watches long what they meet";
    user_long_views: "ln(1 + n)", free, "long views the profile remembers";
    user_video_chance: "share", rising, "user's rate × video's rate / everybody's rate";
    user_category_share: "share", rising, "weight of the video's categories in the user's taste";
    user_creator_views: "n", free, "remembered long views of the same creator";
    user_duration_gap: "ln(s)", free, "longer than what the user watches long, on average";
    watched_together: "score", rising, "sum over remembered long views of how alike their audiences are";
    watched_together_best: "score", rising, "the highest of them";
    about_the_same: "score", rising, "sum over remembered long views of how alike they are in content";
    scene_long_view_rate: "share", rising, "smoothed chance of a long view in this place of the product";
}

/// Names this set of features: a model of another set cannot be used.
#[must_use]
pub fn fingerprint() -> u64 {
    let mut names = String::new();
    for feature in FEATURES {
        names.push_str(feature.name);
        names.push('\n');
        names.push_str(feature.meaning);
        names.push('\n');
    }
    xxh3_64(names.as_bytes())
}

/// The number of a feature by its name.
#[must_use]
pub fn number(name: &str) -> Option<usize> {
    FEATURES.iter().position(|feature| feature.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_a_name_of_its_own_a_unit_and_a_meaning() {
        for (place, feature) in FEATURES.iter().enumerate() {
            assert_eq!(number(feature.name), Some(place));
            assert!(!feature.unit.is_empty() && !feature.meaning.is_empty());
        }
    }
}
