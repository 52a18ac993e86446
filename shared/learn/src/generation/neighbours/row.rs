//! One video's neighbours, wherever it stands who liked what.

use engine::index::format::Scored;

use super::super::ahead::{AHEAD, ahead, fetch_row};
use super::super::sums::{Best, Sums};

/// A pair seen together in this much evidence counts half of what it would with all of it.
const SHRINK: f32 = 2.0;
/// Pairs are few where there are fewer than this part of the videos.
const FEW: usize = 4;
/// What rounding may take from a score.
const ROUNDED: f32 = 0.999_99;

/// A user and what a liking of theirs weighs over √n.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::generation) struct Fan {
    pub(in crate::generation) user: u32,
    pub(in crate::generation) weight: f32,
}

/// Who liked what, both ways.
pub(in crate::generation) trait Likings {
    /// Who liked a video, in the order of the users' ids; `room` is for whoever has to write it down.
    fn fans<'a>(&'a self, item: u32, room: &'a mut Vec<Fan>) -> &'a [Fan];
    /// The videos that a user liked, newest first.
    fn liked(&self, user: u32) -> &[u32];
    /// What each of those likings weighs; nothing where all weigh 1.
    fn weights(&self, user: u32) -> &[f32];
    /// Whether all likings weigh 1.
    fn alike(&self) -> bool;
    /// Per video: the root of what it gives with itself. One that shares no fan with the video that
    /// is asked about may have any that is finite and not below 0.
    fn norms(&self) -> &[f32];
}

/// Room for one row, all of it empty between two.
pub(in crate::generation) struct Scratch {
    sums: Sums,
    best: Best,
    fans: Vec<Fan>,
}

impl Scratch {
    pub(in crate::generation) fn new(videos: usize, most: usize) -> Self {
        Self {
            sums: Sums::new(videos),
            best: Best::new(most),
            fans: Vec::new(),
        }
    }
}

/// What one of `liked` videos that all weigh 1 weighs over √n.
pub(in crate::generation) fn share(liked: usize) -> f32 {
    1.0 / (liked.max(1) as f32).sqrt()
}

/// The neighbours of a video, best first.
pub(in crate::generation) fn row<L: Likings>(
    likings: &L,
    scratch: &mut Scratch,
    item: u32,
) -> Vec<Scored> {
    let Scratch { sums, best, fans } = scratch;
    let fans = likings.fans(item, fans);
    let pairs: usize = fans.iter().map(|fan| likings.liked(fan.user).len()).sum();
    // Where there are many pairs, looking at every video costs less than noting which.
    if pairs >= likings.norms().len() / FEW {
        add(likings, fans, |other, more| {
            if let Some(sum) = sums.all().get_mut(other as usize) {
                *sum += more;
            }
        });
        offer_all(likings.norms(), sums, best, item);
    } else {
        add(likings, fans, |other, more| sums.add(other, more));
        offer_noted(likings.norms(), sums, best, item);
    }
    best.take()
}

/// Adds what fans liked. Their rows lie anywhere in memory, so each is asked for long before.
fn add<L: Likings>(likings: &L, fans: &[Fan], mut add: impl FnMut(u32, f32)) {
    let ask = |fan: &Fan| fetch_row(Some(likings.liked(fan.user)));
    fans.iter().take(AHEAD).for_each(ask);
    for (fan, later) in ahead(fans) {
        later.into_iter().for_each(ask);
        let liked = likings.liked(fan.user);
        if likings.alike() {
            liked.iter().for_each(|other| add(*other, fan.weight));
        } else {
            let both = liked.iter().zip(likings.weights(fan.user));
            both.for_each(|(other, weight)| add(*other, fan.weight * weight));
        }
    }
}

/// Offers what was noted in the sums.
fn offer_noted(norms: &[f32], sums: &mut Sums, best: &mut Best, item: u32) {
    let norm = |item: u32| norms.get(item as usize).copied().unwrap_or(0.0);
    let own = norm(item);
    sums.drain(|other, sum| {
        let least = best.least() * ROUNDED;
        // Most are told by this alone, and a norm lies anywhere in memory.
        if sum > least * SHRINK {
            let most = own * norm(other) + SHRINK;
            if sum > least * most && other != item {
                offer(best, other, sum / most);
            }
        }
    });
}

/// Offers what stands in the sums and clears them, a few at a time.
fn offer_all(norms: &[f32], sums: &mut Sums, best: &mut Best, item: u32) {
    const LANES: usize = 16;
    let own = norms.get(item as usize).copied().unwrap_or(0.0);
    let lanes = sums.all().chunks_mut(LANES).zip(norms.chunks(LANES));
    for (first, (sums, norms)) in (0u32..).step_by(LANES).zip(lanes) {
        // Most have nothing to offer, and a product tells it without a division.
        let least = best.least() * ROUNDED;
        let pairs = || sums.iter().zip(norms);
        let offers = pairs().fold(false, |any, (sum, theirs)| {
            any | (*sum > least * (own * theirs + SHRINK))
        });
        if offers {
            for (other, (sum, theirs)) in (first..).zip(pairs()) {
                let most = own * theirs + SHRINK;
                if *sum > least * most && other != item {
                    offer(best, other, sum / most);
                }
            }
        }
        sums.fill(0.0);
    }
}

fn offer(best: &mut Best, other: u32, score: f32) {
    if score.is_finite() {
        best.offer(other, score);
    }
}
