//! The ranker that the night trained.

use std::cell::RefCell;

use async_trait::async_trait;

use super::forest::chance;
use super::{PriorRanker, Ranker};
use crate::Recipe;
use crate::feature::{Scratch, Taste, Vector};
use crate::pipeline::{Candidate, Prepared};

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// What one ranking needs, reused by the next one.
#[derive(Debug, Default)]
struct Buffers {
    scratch: Scratch,
    vectors: Vec<Vector>,
    odds: Vec<f32>,
}

/// Scores the first ranker's score × chance ^ blend, the chance being the model's that this user
/// watches the video long.
///
/// The model learned from impressions, which others chose: among what a user's sources found it
/// knows good from bad, and nothing about what was never shown. So it leans the order and does not
/// replace it; how far, the night finds out on a day that was held back. A generation without a
/// model, and a slate that is nobody's, get the first ranker's order.
#[derive(Debug, Clone, Copy, Default)]
pub struct LearnedRanker;

#[async_trait]
impl Ranker for LearnedRanker {
    fn name(&self) -> &'static str {
        "rank"
    }

    async fn rank(
        &self,
        asked: &Prepared<'_>,
        candidates: &mut [Candidate],
    ) -> Result<(), &'static str> {
        PriorRanker::score(asked, candidates);
        lean(asked, candidates);
        Ok(())
    }
}

/// What the ranker knows of videos for whoever asks, in a generation with a model; the same
/// function that training calls, on the profile of the night.
pub fn vectors(
    asked: &Prepared<'_>,
    items: impl Iterator<Item = u32>,
    scratch: &mut Scratch,
    vectors: &mut Vec<Vector>,
) {
    vectors.clear();
    let Some((_, outlook)) = asked.index.ranking() else {
        return;
    };
    let user = asked.query.user.as_deref();
    let profile = user.and_then(|user| user.profile.as_ref());
    let scene = outlook.scene(&asked.query.scene);
    let taste = Taste::new(asked.index, outlook, profile, scratch);
    vectors.extend(items.map(|item| taste.vector(item, scene, asked.query.now_ms)));
}

fn lean(asked: &Prepared<'_>, candidates: &mut [Candidate]) {
    let Some((model, _)) = asked.index.ranking() else {
        return;
    };
    if asked.query.recipe != Recipe::Personal || model.blend <= 0.0 {
        return;
    }
    BUFFERS.with_borrow_mut(|buffers| {
        let items = candidates.iter().map(|candidate| candidate.item);
        vectors(asked, items, &mut buffers.scratch, &mut buffers.vectors);
        model.forest.odds(&buffers.vectors, &mut buffers.odds);
        for (candidate, odds) in candidates.iter_mut().zip(&buffers.odds) {
            candidate.score *= chance(*odds).max(f32::MIN_POSITIVE).powf(model.blend);
        }
    });
}
