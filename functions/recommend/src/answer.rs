//! The answer on the wire.

use std::collections::BTreeMap;

use engine::pipeline::Explained;
use engine::{Item, Reason, Rung, Slate, StageReport};
use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;

/// A page of a slate. Depends on the slate and the page alone, so that its hash is an ETag.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SlateAnswer<'a> {
    /// Names the slate; the same on all its pages.
    pub recommendation_id: &'a str,
    /// The place in the product.
    pub scene: &'a str,
    /// Best first.
    pub items: Vec<AnswerItem<'a>>,
    /// Experiment to arm.
    pub experiments: BTreeMap<&'a str, &'a str>,
    /// The generation of the index the slate was made from; empty for the built-in list.
    pub generation: &'a str,
    /// Which step of the ladder it stands on: personal, stale, cohort, trending, builtin.
    #[schema(value_type = String)]
    pub rung: Rung,
    /// Opaque; asks for the shared slate of this user's cohort next time.
    pub cohort: Option<&'a str>,
    /// What had to be given up, machine-readable, sorted.
    #[schema(value_type = Vec<String>)]
    pub degraded: Vec<SmolStr>,
    /// Asks for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// How the slate came about; with `explain=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<AnswerExplain>,
}

/// One video.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnswerItem<'a> {
    /// Which.
    pub video_id: &'a str,
    /// Of the ranker, for this slate only; higher is better.
    pub score: f32,
    /// Every source that proposed it.
    #[schema(value_type = Vec<String>)]
    pub sources: &'a [SmolStr],
    /// Why the strongest of them did.
    pub reason: AnswerReason<'a>,
    /// Return it with events about this item.
    pub token: String,
    /// How it came to its score; with `explain=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<ItemExplain>,
}

/// Why a video is here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnswerReason<'a> {
    /// `watched_together`, `similar_content`, `trending`, `latest`, `cohort`, `popular`, `builtin`.
    #[schema(value_type = String)]
    pub kind: engine::ReasonKind,
    /// The user's own videos behind it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<&'a str>,
}

/// How one item came to its score.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ItemExplain {
    /// What each source added to the merged score.
    pub scores: BTreeMap<String, f32>,
    /// What the ranker saw.
    pub features: BTreeMap<String, f32>,
}

/// How a slate came about.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct AnswerExplain {
    /// How many candidates each filter removed.
    pub filters: BTreeMap<String, usize>,
    /// Every stage in its order.
    pub stages: Vec<StageExplain>,
}

/// What one stage did.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct StageExplain {
    /// Its name.
    pub name: String,
    /// Candidates it was handed.
    pub input: usize,
    /// Candidates it handed on.
    pub output: usize,
}

impl<'a> SlateAnswer<'a> {
    /// What the slate itself says, without items.
    pub fn of(slate: &'a Slate, scene: &'a str) -> Self {
        Self {
            recommendation_id: &slate.slate_id,
            scene,
            items: Vec::new(),
            experiments: BTreeMap::new(),
            generation: &slate.generation,
            rung: slate.rung,
            cohort: slate.cohort.as_deref(),
            degraded: slate.degraded.clone(),
            next_cursor: None,
            explain: None,
        }
    }

    /// Names one more thing that had to be given up.
    pub fn degrade(&mut self, cause: &'static str) {
        if let Err(at) = self
            .degraded
            .binary_search_by(|held| held.as_str().cmp(cause))
        {
            self.degraded.insert(at, SmolStr::new_static(cause));
        }
    }
}

impl ItemExplain {
    /// What the pipeline said.
    pub fn of(explained: &Explained) -> Self {
        let scores = explained
            .sources
            .iter()
            .map(|(name, part)| ((*name).to_owned(), *part));
        let features = [("merged", explained.merged), ("quality", explained.quality)];
        let features = features
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Self {
            scores: scores.collect(),
            features: features.collect(),
        }
    }
}

impl AnswerExplain {
    /// What the stages did.
    pub fn of(stages: &[StageReport]) -> Self {
        let filters = stages.iter().filter_map(|stage| {
            let name = stage.name.strip_prefix("filter.")?;
            Some((name.to_owned(), stage.input.saturating_sub(stage.output)))
        });
        let all = stages.iter().map(|stage| StageExplain {
            name: stage.name.to_owned(),
            input: stage.input,
            output: stage.output,
        });
        Self {
            filters: filters.collect(),
            stages: all.collect(),
        }
    }
}

impl<'a> AnswerItem<'a> {
    /// An item with its token.
    pub fn of(item: &'a Item, token: String) -> Self {
        let Reason { kind, because } = &item.reason;
        let because = because.iter().map(engine::VideoId::as_str).collect();
        Self {
            video_id: item.video_id.as_str(),
            score: item.score,
            sources: &item.sources,
            reason: AnswerReason {
                kind: *kind,
                because,
            },
            token,
            explain: None,
        }
    }
}
