//! What comes out of a pipeline.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use smol_str::SmolStr;

use super::candidate::Candidate;
use super::prepared::Prepared;
use crate::index::format::NONE;
use crate::source::{SOURCES_MAX, Source};
use crate::{Item, Reason, ReasonKind};

/// A ranked answer and what is to be known about its making.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranked {
    /// Best first, none twice.
    pub items: Vec<Item>,
    /// What had to be given up, machine-readable, sorted, without repeats.
    pub degraded: Vec<SmolStr>,
    /// The stages in their order; parallel ones may overlap.
    pub stages: Vec<StageReport>,
    /// How each item came to its score, in the order of `items`.
    pub explained: Vec<Explained>,
}

/// What one stage did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageReport {
    /// `prepare`, `source.cf`, `merge`, `filter.seen`, `rank`, `rerank.diversity`, `fill`.
    pub name: &'static str,
    /// How long it took.
    pub micros: u64,
    /// Candidates it was handed.
    pub input: usize,
    /// Candidates it handed on.
    pub output: usize,
}

/// How one item came to its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// Each source that proposed it and the weighted chance it gave.
    pub sources: Parts,
    /// The merged score, 0 to 1.
    pub merged: f32,
    /// The video's smoothed chance of a long view.
    pub quality: f32,
    /// The ranker's score.
    pub score: f32,
}

/// Sources and their parts in a score; a slate holds hundreds, so none of them allocates.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Parts {
    parts: [(&'static str, f32); SOURCES_MAX],
    count: usize,
}

impl FromIterator<(&'static str, f32)> for Parts {
    /// What is beyond [`SOURCES_MAX`] is left out.
    fn from_iter<I: IntoIterator<Item = (&'static str, f32)>>(parts: I) -> Self {
        let mut all = Self::default();
        for (own, part) in all.parts.iter_mut().zip(parts) {
            *own = part;
            all.count += 1;
        }
        all
    }
}

impl Deref for Parts {
    type Target = [(&'static str, f32)];

    fn deref(&self) -> &Self::Target {
        self.parts.get(..self.count).unwrap_or_default()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Collects observations while a pipeline runs.
#[derive(Debug, Default)]
pub(super) struct Trail {
    stages: Vec<StageReport>,
    degraded: BTreeSet<SmolStr>,
}

impl Trail {
    pub(super) fn stage(
        &mut self,
        name: &'static str,
        took: Duration,
        input: usize,
        output: usize,
    ) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.stages.push(StageReport {
            name,
            micros,
            input,
            output,
        });
    }

    pub(super) fn degrade(&mut self, cause: SmolStr) {
        self.degraded.insert(cause);
    }

    /// Turns what is left into the answer.
    pub(super) fn finish(
        self,
        asked: &Prepared<'_>,
        sources: &[Box<dyn Source>],
        slate: &[Candidate],
    ) -> Ranked {
        let mut ranked = Ranked {
            items: Vec::with_capacity(slate.len()),
            degraded: self.degraded.into_iter().collect(),
            stages: self.stages,
            explained: Vec::with_capacity(slate.len()),
        };
        for candidate in slate {
            let Some(video_id) = asked.index.typed_video_id(candidate.item) else {
                continue;
            };
            let proposers = || {
                let all = sources.iter().zip(candidate.parts).enumerate();
                let all = all.filter(|(number, _)| candidate.from_source(*number));
                all.map(|(_, (source, part))| (source.name(), part))
            };
            let mut names = Vec::with_capacity(candidate.sources.count_ones() as usize);
            names.extend(proposers().map(|(name, _)| SmolStr::new_static(name)));
            ranked.items.push(Item {
                video_id,
                score: if candidate.score.is_finite() {
                    candidate.score
                } else {
                    0.0
                },
                sources: names,
                reason: reason(asked, sources, candidate),
                propensity: candidate.propensity,
            });
            let row = asked.index.item(candidate.item);
            ranked.explained.push(Explained {
                sources: proposers().collect(),
                merged: candidate.merged,
                quality: row.map_or(0.0, |row| row.quality.get()),
                score: candidate.score,
            });
        }
        ranked
    }
}

fn reason(asked: &Prepared<'_>, sources: &[Box<dyn Source>], candidate: &Candidate) -> Reason {
    let strongest = sources.get(usize::from(candidate.strongest));
    let because = (candidate.because != NONE).then_some(candidate.because);
    Reason {
        kind: strongest.map_or(ReasonKind::Builtin, |source| source.reason()),
        because: because
            .and_then(|item| asked.index.typed_video_id(item))
            .into_iter()
            .collect(),
    }
}
