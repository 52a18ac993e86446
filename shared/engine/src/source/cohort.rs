//! What people with the same tastes like.

use async_trait::async_trait;

use super::{Proposals, Source, pairs};
use crate::pipeline::Prepared;
use crate::{ReasonKind, Recipe};

/// Proposes the slate of the cohort that was asked for, or of the user's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct CohortSource;

#[async_trait]
impl Source for CohortSource {
    fn name(&self) -> &'static str {
        "cohort"
    }

    fn reason(&self) -> ReasonKind {
        ReasonKind::Cohort
    }

    async fn propose(&self, asked: &Prepared<'_>) -> Proposals {
        let profile = asked
            .query
            .user
            .as_deref()
            .and_then(|user| user.profile.as_ref());
        let cohort = match asked.query.recipe {
            // A number from another generation is nobody's here: everybody's slate answers.
            Recipe::Cohort(cohort) if cohort < asked.index.cohorts() => cohort,
            Recipe::Cohort(_) => 0,
            _ => profile.map_or(0, |profile| asked.index.cohort_of_profile(profile)),
        };
        Proposals::from_list(asked, pairs(asked.index.cohort_slates().row(cohort)))
    }
}
