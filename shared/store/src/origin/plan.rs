//! Which recipe a question deserves, by what is known.

use engine::{Index, Recipe, Rung, UserState};

use super::Known;
use crate::Cohort;
use crate::ask::{Ask, Who};

/// What is run for a question, and which rung the answer stands on.
pub(super) fn plan(ask: &Ask, known: &Known, index: &Index) -> (Recipe, Rung) {
    let somebody = !ask.session.is_empty() || known.state().is_some();
    if let Some(recipe) = ask.kind.recipe() {
        return (
            recipe,
            if somebody {
                Rung::Personal
            } else {
                Rung::Trending
            },
        );
    }
    if !ask.session.is_empty() || known.has_tastes() {
        return (Recipe::Personal, Rung::Personal);
    }
    let cohort = match (&ask.who, known.state()) {
        (Who::Cohort(cohort), _) => (cohort.number < index.cohorts()).then_some(*cohort),
        (_, Some(state)) if state.profile.is_some() => cohort_of(state, index),
        _ => None,
    };
    match cohort {
        Some(cohort) => (Recipe::Cohort(cohort.number), Rung::Cohort),
        None => (Recipe::Trending, Rung::Trending),
    }
}

/// The user's cohort in this generation; people without a profile are in the one of everybody.
pub(super) fn cohort_of(state: &UserState, index: &Index) -> Option<Cohort> {
    let number = state
        .profile
        .as_ref()
        .map_or(0, |profile| index.cohort_of_profile(profile));
    (number < index.cohorts()).then(|| Cohort::new(number))
}
