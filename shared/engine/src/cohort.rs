//! Which users share a slate.
//!
//! A cohort is named by what its people like most: `a+b` for the two strongest categories of a
//! profile, `a` where the pair is too rare to learn from, the empty key for everybody else. The
//! keys are texts and the same for every generation, so a profile keeps its meaning when cohorts
//! are renumbered.

use smol_str::{SmolStr, format_smolstr};

/// The key everybody falls back to.
pub const EVERYBODY: &str = "";

/// The keys of a profile's cohorts, most specific first. `categories` are strongest first.
#[must_use]
pub fn keys_of(categories: &[(SmolStr, f32)]) -> Vec<SmolStr> {
    let mut names = categories.iter().map(|(name, _)| name);
    let mut keys = Vec::with_capacity(3);
    if let Some(first) = names.next() {
        if let Some(second) = names.next() {
            keys.push(format_smolstr!("{first}+{second}"));
        }
        keys.push(first.clone());
    }
    keys.push(SmolStr::new_static(EVERYBODY));
    keys
}
