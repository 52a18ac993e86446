//! Who is asked what they liked next, and what is known of them.

use engine::pipeline::prepared::Seed;
use rustc_hash::FxHashSet;
use xxhash_rust::xxh3::xxh3_64;

use crate::generation::diary::{History, Liked, Reader};
use crate::generation::trial::{PLACES, SEEDS_MAX};

/// Users who are judged, at most.
const JUDGED_MAX: usize = 2_000;

/// One user: what is known of them, and what was new to them after it.
pub(super) struct Exam<'a> {
    pub(super) user: &'a Reader,
    /// Liked before the stretch.
    pub(super) before: &'a [Liked],
    /// What is known to be liked, newest first.
    pub(super) seeds: Vec<Seed>,
    pub(super) known: FxHashSet<u32>,
    pub(super) wanted: FxHashSet<u32>,
}

/// Users of whom something is wanted in the stretch, chosen by a hash of their ids.
pub(super) fn exams_of<'a>(
    history: &'a History,
    cut_ms: i64,
    exam: impl Fn(&'a Reader, [&'a [Liked]; 2]) -> Exam<'a>,
) -> Vec<Exam<'a>> {
    let mut users: Vec<(u64, &Reader)> = history
        .users
        .iter()
        .filter(|user| history.liked(user).last().is_some_and(|l| l.ts_ms > cut_ms))
        .map(|user| (xxh3_64(user.id.as_str().as_bytes()), user))
        .collect();
    users.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
    let exams = users.into_iter().map(|(_, user)| {
        let liked = history.liked(user);
        let cut = liked.partition_point(|liked| liked.ts_ms <= cut_ms);
        let (before, within) = liked.split_at_checked(cut).unwrap_or_default();
        exam(user, [before, within])
    });
    exams
        .filter(|exam| !exam.wanted.is_empty())
        .take(JUDGED_MAX)
        .collect()
}

impl<'a> Exam<'a> {
    /// What was new in the stretch is wanted of who is known by what they liked before it.
    pub(super) fn of_stretch(user: &'a Reader, [before, within]: [&'a [Liked]; 2]) -> Self {
        Self::new(user, before, before.iter(), within)
    }

    /// The last they liked is wanted of who is known by all before that; of who is not, nothing.
    pub(super) fn of_session(user: &'a Reader, [before, within]: [&'a [Liked]; 2]) -> Self {
        let (rest, last) = within.split_at(within.len().saturating_sub(1));
        let known = !before.is_empty() || !rest.is_empty();
        let wanted = if known { last } else { &[] };
        Self::new(user, before, before.iter().chain(rest), wanted)
    }

    fn new(
        user: &'a Reader,
        before: &'a [Liked],
        told: impl DoubleEndedIterator<Item = &'a Liked>,
        after: &[Liked],
    ) -> Self {
        let mut known = FxHashSet::default();
        let newest_first = told.rev();
        let distinct = newest_first.filter(|liked| known.insert(liked.item));
        let seeds: Vec<Seed> = distinct
            .map(|liked| Seed {
                item: liked.item,
                weight: 1.0,
            })
            .collect();
        let new = after.iter().map(|liked| liked.item);
        let wanted = new.filter(|item| !known.contains(item)).collect();
        Self {
            user,
            before,
            seeds,
            known,
            wanted,
        }
    }

    /// What a prediction starts from.
    pub(super) fn asked(&self) -> &[Seed] {
        self.seeds.get(..SEEDS_MAX).unwrap_or(&self.seeds)
    }

    /// NDCG of the first [`PLACES`] that are new to the user.
    pub(super) fn gain(&self, list: impl Iterator<Item = u32>) -> f64 {
        let discount = |rank: u32| 1.0 / f64::from(rank + 1).log2();
        let new = list.filter(|item| !self.known.contains(item)).take(PLACES);
        let hits = new
            .zip(1u32..)
            .filter(|(item, _)| self.wanted.contains(item));
        let gain: f64 = hits.map(|(_, rank)| discount(rank)).sum();
        let ideal: f64 = (1u32..)
            .take(self.wanted.len().min(PLACES))
            .map(discount)
            .sum();
        gain / ideal.max(f64::MIN_POSITIVE)
    }
}
