//! The way from a query to a slate.

pub mod candidate;
pub mod fill;
pub mod merge;
pub mod prepared;
pub mod ranked;

use std::time::Duration;

use futures_util::future::join_all;
use guard::Deadline;
use smol_str::{SmolStr, format_smolstr};
use tracing::{Instrument, debug_span};

use crate::filter::{
    AvailableFilter, CategoryFilter, ExcludeFilter, Filter, HiddenFilter, OverlayFilter, SeenFilter,
};
use crate::index::format::NONE;
use crate::ranker::{LearnedRanker, Ranker};
use crate::reranker::{DiversityReranker, ExploreReranker, FreshReranker, MmrReranker, Reranker};
use crate::slate::SLATE_ITEMS_MAX;
use crate::source::cf::CfSource;
use crate::source::cohort::CohortSource;
use crate::source::content::ContentSource;
use crate::source::latest::LatestSource;
use crate::source::popular::PopularSource;
use crate::source::trending::TrendingSource;
use crate::source::{Proposals, SOURCES_MAX, Source};
use crate::{Query, Recipe, VideoId};

pub use candidate::Candidate;
use merge::{Share, merge};
pub use prepared::Prepared;
use ranked::Trail;
pub use ranked::{Explained, Parts, Ranked, StageReport};

/// Sources, filters, a ranker and rerankers, in the order they are asked.
pub struct Pipeline {
    sources: Vec<Box<dyn Source>>,
    filters: Vec<Box<dyn Filter>>,
    ranker: Box<dyn Ranker>,
    rerankers: Vec<Box<dyn Reranker>>,
}

impl Pipeline {
    /// Everything that is built in.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            sources: vec![
                Box::new(CfSource),
                Box::new(ContentSource),
                Box::new(TrendingSource),
                Box::new(LatestSource),
                Box::new(CohortSource),
                Box::new(PopularSource),
            ],
            filters: vec![
                Box::new(SeenFilter),
                Box::new(ExcludeFilter),
                Box::new(HiddenFilter),
                Box::new(AvailableFilter),
                Box::new(CategoryFilter),
                Box::new(OverlayFilter),
            ],
            ranker: Box::new(LearnedRanker),
            rerankers: vec![
                Box::new(MmrReranker),
                Box::new(FreshReranker),
                Box::new(DiversityReranker),
                Box::new(ExploreReranker),
            ],
        }
    }

    /// The names of the sources, in their order.
    pub fn sources(&self) -> impl Iterator<Item = &'static str> {
        self.sources.iter().map(|source| source.name())
    }

    /// Adds a source of the team's own, or replaces the one of the same name. Beyond
    /// [`SOURCES_MAX`] it changes nothing and answers `false`.
    pub fn set_source(&mut self, source: Box<dyn Source>) -> bool {
        if let Some(own) = self
            .sources
            .iter_mut()
            .find(|own| own.name() == source.name())
        {
            *own = source;
            return true;
        }
        let room = self.sources.len() < SOURCES_MAX;
        if room {
            self.sources.push(source);
        }
        room
    }

    /// Replaces the ranker.
    pub fn set_ranker(&mut self, ranker: Box<dyn Ranker>) {
        self.ranker = ranker;
    }

    /// Answers a query. Cannot fail: what goes wrong on the way is named in `degraded`.
    pub async fn run(&self, query: &Query) -> Ranked {
        let mut trail = Trail::default();
        let start = now(query);
        let asked = Prepared::new(query);
        trail.stage(
            "prepare",
            now(query).saturating_sub(start),
            0,
            asked.seeds.len(),
        );
        let shares = self.recall(&asked, &mut trail).await;
        let candidates = merged(&asked, &shares, &mut trail);
        let candidates = self.filter(&asked, candidates, &mut trail);
        let budget = Duration::from_millis(u64::from(query.tuning.budgets.rerank_ms));
        let deadline = query.deadline.child(budget);
        let candidates = self.rank(&asked, candidates, &deadline, &mut trail).await;
        let mut slate = self.rerank(&asked, candidates, &deadline, &mut trail);
        slate.truncate(wanted(query));
        self.fill(&asked, &mut slate, &mut trail);
        trail.finish(&asked, &self.sources, &slate)
    }

    /// What the ranker says of these videos by itself, as if the sources thought the same of all;
    /// `None` where it does not answer. For judging it by what people were shown.
    pub async fn appraise(&self, query: &Query, videos: &[VideoId]) -> Option<Vec<f32>> {
        let asked = Prepared::new(query);
        let candidate = |video: &VideoId| Candidate {
            merged: 1.0,
            score: 1.0,
            ..Candidate::new(asked.index.find(video.as_str()).unwrap_or(NONE))
        };
        let mut candidates: Vec<Candidate> = videos.iter().map(candidate).collect();
        let ranking = self.ranker.rank(&asked, &mut candidates);
        let ranked = query.deadline.limit_unless_ready(ranking).await;
        ranked.ok()?.ok()?;
        Some(candidates.iter().map(|candidate| candidate.score).collect())
    }

    async fn recall(&self, asked: &Prepared<'_>, trail: &mut Trail) -> Vec<Share> {
        if !asked.recall_deadline.allows_stage() {
            trail.degrade(SmolStr::new_static("recall_skipped"));
            return Vec::new();
        }
        let running = self
            .sources
            .iter()
            .enumerate()
            .filter_map(|(number, source)| {
                let weight = weight(asked, source.as_ref());
                (weight > 0.0).then_some(async move {
                    let start = now(asked.query);
                    let span = debug_span!("source", name = source.name());
                    let proposals = ask(source.as_ref(), asked).instrument(span).await;
                    (
                        number,
                        weight,
                        proposals,
                        now(asked.query).saturating_sub(start),
                    )
                })
            });
        let mut shares = Vec::with_capacity(SOURCES_MAX);
        for (source, weight, found, took) in join_all(running).await {
            let Some(asked_source) = self.sources.get(source) else {
                continue;
            };
            let (name, personal) = (asked_source.name(), asked_source.reason().is_personal());
            trail.stage(stage_of(name), took, 0, found.items.len());
            if found.overran {
                trail.degrade(format_smolstr!("{name}_timeout"));
            } else {
                shares.push(Share {
                    source,
                    weight,
                    worth: asked.index.findings().worth(name),
                    personal,
                    proposals: found.items,
                });
            }
        }
        shares
    }

    fn filter(
        &self,
        asked: &Prepared<'_>,
        mut candidates: Vec<Candidate>,
        trail: &mut Trail,
    ) -> Vec<Candidate> {
        let _span = debug_span!("filter").entered();
        for filter in &self.filters {
            let (start, input) = (now(asked.query), candidates.len());
            if !filter.keeps_all(asked) {
                candidates.retain(|candidate| filter.keeps(asked, candidate.item));
            }
            let took = now(asked.query).saturating_sub(start);
            trail.stage(filter.name(), took, input, candidates.len());
        }
        candidates
    }

    async fn rank(
        &self,
        asked: &Prepared<'_>,
        mut candidates: Vec<Candidate>,
        deadline: &Deadline,
        trail: &mut Trail,
    ) -> Vec<Candidate> {
        let (start, input) = (now(asked.query), candidates.len());
        if personal(&asked.query.recipe) {
            let failed = if deadline.allows_stage() {
                let ranking = self.ranker.rank(asked, &mut candidates);
                let ranking = ranking.instrument(debug_span!("rank", name = self.ranker.name()));
                deadline
                    .limit_unless_ready(ranking)
                    .await
                    .unwrap_or(Err("rank_timeout"))
                    .err()
            } else {
                Some("rank_skipped")
            };
            if let Some(cause) = failed {
                candidates
                    .iter_mut()
                    .for_each(|candidate| candidate.score = candidate.merged);
                trail.degrade(SmolStr::new_static(cause));
            }
        }
        let candidates = candidate::sorted(&candidates);
        let took = now(asked.query).saturating_sub(start);
        trail.stage(self.ranker.name(), took, input, candidates.len());
        candidates
    }

    fn rerank(
        &self,
        asked: &Prepared<'_>,
        mut candidates: Vec<Candidate>,
        deadline: &Deadline,
        trail: &mut Trail,
    ) -> Vec<Candidate> {
        if !arranged(&asked.query.recipe) {
            return candidates;
        }
        let _span = debug_span!("rerank").entered();
        for reranker in &self.rerankers {
            if !deadline.allows_stage() {
                trail.degrade(SmolStr::new_static("rerank_skipped"));
                return candidates;
            }
            let (start, input) = (now(asked.query), candidates.len());
            candidates = reranker.rerank(asked, candidates);
            let took = now(asked.query).saturating_sub(start);
            trail.stage(reranker.name(), took, input, candidates.len());
        }
        candidates
    }

    fn fill(&self, asked: &Prepared<'_>, slate: &mut Vec<Candidate>, trail: &mut Trail) {
        let (start, input) = (now(asked.query), slate.len());
        if input < wanted(asked.query) {
            let keeps = |item| self.filters.iter().all(|filter| filter.keeps(asked, item));
            let number_of = |name: &str| {
                let place = self.sources.iter().position(|source| source.name() == name);
                place.unwrap_or(SOURCES_MAX)
            };
            fill::fill(asked, slate, keeps, number_of);
            trail.stage(
                "fill",
                now(asked.query).saturating_sub(start),
                input,
                slate.len(),
            );
        }
        if slate.len() < wanted(asked.query) {
            trail.degrade(SmolStr::new_static("size_not_enough"));
        }
    }
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.sources.iter().map(|source| source.name()).collect();
        f.debug_struct("Pipeline")
            .field("sources", &names)
            .finish_non_exhaustive()
    }
}

/// Asks a source for no longer than recall lasts.
async fn ask(source: &dyn Source, asked: &Prepared<'_>) -> Proposals {
    let proposing = source.propose(asked);
    asked
        .recall_deadline
        .limit_unless_ready(proposing)
        .await
        .unwrap_or_else(|_| Proposals::overrun())
}

fn merged(asked: &Prepared<'_>, shares: &[Share], trail: &mut Trail) -> Vec<Candidate> {
    let _span = debug_span!("merge").entered();
    let start = now(asked.query);
    let candidates = merge(shares);
    let input = shares.iter().map(|share| share.proposals.len()).sum();
    trail.stage(
        "merge",
        now(asked.query).saturating_sub(start),
        input,
        candidates.len(),
    );
    candidates
}

/// What a source counts for in a recipe; 0 is off.
///
/// Weights that nobody has touched are moved by what the night found: how much of what people like
/// is what everybody watches now differs from data to data.
fn weight(asked: &Prepared<'_>, source: &dyn Source) -> f32 {
    match (&asked.query.recipe, source.name()) {
        (Recipe::Personal, name) => {
            let own = asked.scene.weights.get(name).copied().unwrap_or(0.0);
            if asked.scene.has_default_weights() {
                own * asked.index.findings().lift(source.reason().is_personal())
            } else {
                own
            }
        }
        (Recipe::Cohort(_), "cohort") => 0.8,
        (Recipe::Cohort(_), "trending") => 0.2,
        (Recipe::Similar(_), "cf") => 0.6,
        (Recipe::Similar(_), "content") => 0.4,
        (Recipe::Trending, "trending")
        | (Recipe::Latest, "latest")
        | (Recipe::Popular, "popular") => 1.0,
        _ => 0.0,
    }
}

/// Whether a ranker decides the order; plain lists keep theirs.
fn personal(recipe: &Recipe) -> bool {
    matches!(
        recipe,
        Recipe::Personal | Recipe::Cohort(_) | Recipe::Similar(_)
    )
}

/// Whether neighbours are arranged; lists that promise an order keep it.
fn arranged(recipe: &Recipe) -> bool {
    !matches!(recipe, Recipe::Latest | Recipe::Popular)
}

fn wanted(query: &Query) -> usize {
    query.wanted.min(SLATE_ITEMS_MAX)
}

fn stage_of(source: &str) -> &'static str {
    match source {
        "cf" => "source.cf",
        "content" => "source.content",
        "trending" => "source.trending",
        "latest" => "source.latest",
        "cohort" => "source.cohort",
        "popular" => "source.popular",
        _ => "source.other",
    }
}

fn now(query: &Query) -> Duration {
    query.deadline.clock().now().mono
}
