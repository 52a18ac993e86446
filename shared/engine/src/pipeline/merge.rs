//! Brings the sources' proposals into one scale and one list.

use std::cell::RefCell;

use rustc_hash::FxHashMap;

use super::candidate::Candidate;
use crate::index::format::WORTH_PLACES;
use crate::source::{Proposal, SOURCES_MAX};

/// What one source brings to the merge.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Share {
    /// Number of the source.
    pub source: usize,
    /// Its weight in the scene, above 0.
    pub weight: f32,
    /// The chance that one of its first proposals is right, above 0, at most 1.
    pub worth: f32,
    /// Whether it speaks of this user, not of what everybody watches.
    pub personal: bool,
    /// What it found.
    pub proposals: Vec<Proposal>,
}

thread_local! {
    /// Where each video stands, reused from merge to merge.
    static PLACES: RefCell<FxHashMap<u32, usize>> = RefCell::default();
}

/// Merges proposals: every video once, with every source that proposed it.
///
/// A source's scores are calibrated to chances of being right: scaled so that the mean of its first
/// [`WORTH_PLACES`] is what the night found such proposals to be worth, at most 1. So a weight says
/// how much a source is trusted, not how its scores happen to fall. Weights are re-normalised over
/// the sources that brought something. Scores that are not finite or below 0 count as 0. The result
/// is in the order of first mention.
#[must_use]
pub fn merge(shares: &[Share]) -> Vec<Candidate> {
    PLACES.with_borrow_mut(|places| {
        places.clear();
        join(shares, places)
    })
}

fn join(shares: &[Share], places: &mut FxHashMap<u32, usize>) -> Vec<Candidate> {
    let brought = shares.iter().filter(|share| !share.proposals.is_empty());
    let total: f32 = brought.clone().map(|share| share.weight).sum();
    let room = brought.clone().map(|share| share.proposals.len()).sum();
    places.reserve(room);
    let mut candidates: Vec<Candidate> = Vec::with_capacity(room);
    for share in brought {
        let (weight, unit) = (share.weight / total, share.worth / first(&share.proposals));
        for proposal in &share.proposals {
            let place = *places.entry(proposal.item).or_insert_with(|| {
                candidates.push(Candidate::new(proposal.item));
                candidates.len() - 1
            });
            if let Some(candidate) = candidates.get_mut(place) {
                let part = (sound(proposal.score) * unit).min(1.0) * weight;
                add(candidate, share.source, part, proposal.because);
                if share.personal {
                    candidate.personal += part;
                }
            }
        }
    }
    candidates
}

fn add(candidate: &mut Candidate, source: usize, part: f32, because: u32) {
    let source = source.min(SOURCES_MAX - 1);
    let strongest = candidate
        .parts
        .get(usize::from(candidate.strongest))
        .copied()
        .unwrap_or(0.0);
    if candidate.sources == 0 || part > strongest {
        candidate.strongest = source as u8;
        candidate.because = because;
    }
    candidate.sources |= 1 << source;
    if let Some(own) = candidate.parts.get_mut(source) {
        *own += part;
    }
    candidate.merged += part;
    candidate.score = candidate.merged;
}

/// The mean score of the first [`WORTH_PLACES`], above 0; the same to the last bit whatever order
/// proposals come in.
fn first(proposals: &[Proposal]) -> f32 {
    let mut highest = [0.0f32; WORTH_PLACES];
    let mut lowest = 0;
    for proposal in proposals {
        let score = sound(proposal.score);
        match highest.get_mut(lowest) {
            Some(slot) if score > *slot => *slot = score,
            _ => continue,
        }
        let ascending = highest.iter().enumerate();
        let least = ascending.min_by(|a, b| a.1.total_cmp(b.1));
        lowest = least.map_or(0, |(place, _)| place);
    }
    highest.sort_unstable_by(|a, b| b.total_cmp(a));
    let count = proposals.len().clamp(1, WORTH_PLACES) as f32;
    (highest.iter().sum::<f32>() / count).max(f32::MIN_POSITIVE)
}

fn sound(score: f32) -> f32 {
    if score.is_finite() {
        // Above this the sum of a few is infinite.
        score.clamp(0.0, f32::MAX / 64.0)
    } else {
        0.0
    }
}
