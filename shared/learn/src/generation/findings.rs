//! Finds out on the data itself what "now" is, and how much it counts.
//!
//! Films are watched when they come out, short videos for an afternoon, lectures for years: no
//! window is right for all, and neither is one share of what everybody watches. So the last
//! stretch of time is held back, everybody's lists are made as they would have been before it, and
//! what is taken is what predicts best what users liked in it. Where hardly anybody comes back, it is
//! what predicts best the last that a session liked in it.

use engine::Index;
use engine::index::format::{CfKnobs, Findings, NONE, Scored, WORTH_PLACES};
use engine::pipeline::merge::{Share, merge};
use engine::ranker::PriorRanker;
use engine::source::Proposal;
use engine::source::cf::{Scratch, predict_best};
use rustc_hash::FxHashMap;
use zerocopy::little_endian::{F32, I64};

use super::counts::newest_ms;
use super::diary::{History, Liked};
use super::neighbours::{best, key};
use super::rows::Rows;
use super::shelf::Catalogue;
use super::sums::Sums;
use super::trends::{Trends, by_window};
use super::trial::{PLACES, USERS_MAX, mean, small};
use crate::BuildOptions;
use crate::options::Window;

mod exam;

use exam::{Exam, exams_of};

const DAY_MS: i64 = 86_400_000;
/// Lengths of the stretch that is held back; the first that holds enough is taken.
const STRETCHES_MS: [i64; 5] = [DAY_MS, 2 * DAY_MS, 4 * DAY_MS, 7 * DAY_MS, 14 * DAY_MS];
/// Likings that are enough.
const HELD_MIN: usize = 1_000;
/// What comes before has to be this many times as much.
const BEFORE_MIN: usize = 3;
/// With fewer of them nothing is concluded.
const JUDGED_MIN: usize = 100;
/// Rows of a list that take part.
const ROWS: usize = 300;

const WINDOWS: [Window; 12] = [
    Window::decayed(DAY_MS / 4),
    Window::decayed(DAY_MS / 2),
    Window::decayed(DAY_MS),
    Window::decayed(2 * DAY_MS),
    Window::decayed(4 * DAY_MS),
    Window::decayed(8 * DAY_MS),
    Window::decayed(30 * DAY_MS),
    Window::decayed(120 * DAY_MS),
    Window::last(DAY_MS),
    Window::last(3 * DAY_MS),
    Window::last(7 * DAY_MS),
    Window::last(28 * DAY_MS),
];
const COMMON_SHARES: [f32; 6] = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9];
/// Weights of cf and content, whose sum is the personal share of the default weights.
const PERSONAL: [f32; 2] = [0.4, 0.35];

/// What predicts best the last stretch; the given window and the default share where there is too
/// little to tell.
pub(super) fn find(
    catalogue: &Catalogue,
    history: &History,
    content: &Rows,
    knobs: CfKnobs,
    options: &BuildOptions,
) -> Findings {
    let Some(cut_ms) = stretch(history, options) else {
        return with(options.trending);
    };
    let mut exams = exams_of(history, cut_ms, Exam::of_stretch);
    if exams.len() < JUDGED_MIN {
        return with(options.trending);
    }
    let lists = by_window(history, catalogue, &WINDOWS, cut_ms, ROWS);
    let judged = WINDOWS.iter().zip(lists).map(|(window, list)| {
        let items = || list.iter().map(|row| row.item.get());
        let gains: Vec<f64> = exams.iter().map(|exam| exam.gain(items())).collect();
        (window, list.clone(), mean(&gains))
    });
    let best = judged.max_by(|a, b| a.2.total_cmp(&b.2));
    let Some((window, shown)) = best.map(|(window, shown, _)| (*window, shown)) else {
        return with(options.trending);
    };
    let found = with(window);
    if !is_telling(&exams) {
        // Where hardly anybody comes back, sessions say what seeds are worth.
        exams = exams_of(history, cut_ms, Exam::of_session);
        if !is_telling(&exams) {
            return found;
        }
    }
    let Some(index) = before(catalogue, history, &exams, cut_ms, options) else {
        return found;
    };
    let (mut scratch, mut sums) = (Scratch::default(), Sums::new(catalogue.len()));
    let proposed: Vec<[Vec<Proposal>; 3]> = exams
        .iter()
        .map(|exam| exam.found(&index, content, &knobs, &shown, &mut scratch, &mut sums))
        .collect();
    let found = Findings {
        worth: worth(counts(&exams, &proposed)).map(F32::new),
        ..found
    };
    let trends = Trends::everywhere_only(history, catalogue.len(), window, cut_ms);
    let share = common_share(&exams, &proposed, &found, &trends);
    Findings {
        common_share: share.map_or(found.common_share, F32::new),
        ..found
    }
}

/// Whether enough of them know something of the user.
fn is_telling(exams: &[Exam<'_>]) -> bool {
    exams.iter().filter(|exam| !exam.seeds.is_empty()).count() >= JUDGED_MIN
}

/// How many of the first proposals of each source were right, and of how many.
fn counts(exams: &[Exam<'_>], proposed: &[[Vec<Proposal>; 3]]) -> [(u32, u32); 3] {
    let mut counts = [(0, 0); 3];
    for (exam, of_exam) in exams.iter().zip(proposed) {
        for ((right, all), proposals) in counts.iter_mut().zip(of_exam) {
            for proposal in proposals.iter().take(WORTH_PLACES) {
                *all += 1;
                *right += u32::from(exam.wanted.contains(&proposal.item));
            }
        }
    }
    counts
}

/// How often the first proposals of each source were right; all 0 where none ever was, because then
/// there is no telling. One that never was counts as if half of one proposal had been, and no more
/// than the least of the others.
fn worth(counts: [(u32, u32); 3]) -> [f32; 3] {
    let share = |right: f32, all: u32| right / all.max(1) as f32;
    let were_right = counts.into_iter().filter(|(right, _)| *right > 0);
    let shares = were_right.map(|(right, all)| share(right as f32, all));
    let Some(least) = shares.reduce(f32::min) else {
        return [0.0; 3];
    };
    counts.map(|(right, all)| match right {
        0 => share(0.5, all).min(least),
        _ => share(right as f32, all),
    })
}

fn with(window: Window) -> Findings {
    Findings {
        half_life_ms: I64::new(window.half_life_ms.max(1)),
        window_ms: I64::new(window.longest_ms.max(1)),
        ..Findings::default()
    }
}

/// Where the stretch that is held back begins.
fn stretch(history: &History, options: &BuildOptions) -> Option<i64> {
    let newest = newest_ms(history, options);
    let likings = || history.users.iter().flat_map(|user| history.liked(user));
    STRETCHES_MS
        .iter()
        .map(|length| newest - length)
        .find(|cut_ms| {
            let held = likings().filter(|liked| liked.ts_ms > *cut_ms).count();
            let rated =
                |liked: &&Liked| liked.ts_ms >= history.rated_from_ms && liked.ts_ms <= *cut_ms;
            held >= HELD_MIN && likings().filter(rated).count() >= BEFORE_MIN * held
        })
}

/// The share of what everybody watches that predicts best, the least of several; none where none does.
fn common_share(
    exams: &[Exam<'_>],
    proposed: &[[Vec<Proposal>; 3]],
    found: &Findings,
    trends: &Trends,
) -> Option<f32> {
    let mut gains = COMMON_SHARES.map(|_| Vec::with_capacity(exams.len()));
    for (exam, own) in exams.iter().zip(proposed) {
        let mut shares = exam.shares(own, found);
        for (share, gains) in COMMON_SHARES.iter().zip(&mut gains) {
            gains.push(exam.blended(&mut shares, *share, trends));
        }
    }
    let judged = COMMON_SHARES.iter().zip(&gains).rev();
    let judged = judged.map(|(share, gains)| (*share, mean(gains)));
    let best = judged.max_by(|a, b| a.1.total_cmp(&b.1));
    best.filter(|(_, gain)| *gain > 0.0).map(|(share, _)| share)
}

/// A generation of what those who are judged, and others, liked before the stretch.
fn before(
    catalogue: &Catalogue,
    history: &History,
    exams: &[Exam<'_>],
    cut_ms: i64,
    options: &BuildOptions,
) -> Option<Index> {
    let mut sample = History::default();
    let cuts: FxHashMap<&str, &[Liked]> = exams
        .iter()
        .map(|exam| (exam.user.id.as_str(), exam.before))
        .collect();
    // Whoever is judged is in it, and others at even distances.
    let step = history.users.len().div_ceil(USERS_MAX).max(1);
    for (place, user) in history.users.iter().enumerate() {
        let liked = match cuts.get(user.id.as_str()) {
            Some(before) => before,
            None if place % step == 0 => {
                let liked = history.liked(user);
                let cut = liked.partition_point(|liked| liked.ts_ms <= cut_ms);
                liked.get(..cut).unwrap_or_default()
            }
            None => continue,
        };
        if !liked.is_empty() {
            sample.push(user, liked);
        }
    }
    let seeds = exams.iter().flat_map(Exam::asked);
    small(catalogue, &sample, seeds, options)
}

impl Exam<'_> {
    /// What cf, content and everybody propose.
    fn found(
        &self,
        index: &Index,
        content: &Rows,
        knobs: &CfKnobs,
        shown: &[Scored],
        scratch: &mut Scratch,
        sums: &mut Sums,
    ) -> [Vec<Proposal>; 3] {
        let new = |item: &u32| !self.known.contains(item);
        let seeds = self.asked();
        let cf = predict_best(index, knobs, seeds, ROWS, |item| new(&item), scratch).to_vec();
        let proposal = |item: u32, score: f32| Proposal {
            item,
            score,
            because: NONE,
        };
        let mut decay = 1.0;
        for seed in seeds.iter().take(CONTENT_SEEDS) {
            for row in content.row(seed.item) {
                sums.add(row.item.get(), decay * row.score.get());
            }
            decay *= CONTENT_DECAY;
        }
        let mut alike = Vec::new();
        sums.drain(|item, sum| {
            if new(&item) {
                alike.push(key(item, sum));
            }
        });
        let alike = best(&mut alike, ROWS);
        let alike = alike
            .iter()
            .map(|row| proposal(row.item.get(), row.score.get()));
        let all = shown
            .iter()
            .map(|row| proposal(row.item.get(), row.score.get()));
        [
            cf,
            alike.collect(),
            all.filter(|row| new(&row.item)).collect(),
        ]
    }

    /// What is proposed, as it is merged; its weights are still open.
    fn shares(&self, proposed: &[Vec<Proposal>; 3], found: &Findings) -> Vec<Share> {
        let shares = proposed.iter().zip(SOURCES).enumerate();
        shares
            .map(|(source, (proposals, name))| Share {
                source,
                weight: 0.0,
                worth: found.worth(name),
                personal: source < PERSONAL.len(),
                proposals: proposals.clone(),
            })
            .collect()
    }

    /// The gain of a slate with that share, in the order that the first ranker would give it.
    fn blended(&self, shares: &mut [Share], share: f32, trends: &Trends) -> f64 {
        let personal = PERSONAL.map(|weight| weight * (1.0 - share) / PERSONAL.iter().sum::<f32>());
        let weights = personal.into_iter().chain([share]);
        for (share, weight) in shares.iter_mut().zip(weights) {
            share.weight = weight;
        }
        let mut merged = merge(shares);
        for candidate in &mut merged {
            let momentum = trends.momentum(candidate.item);
            candidate.score = PriorRanker::lifted(candidate, momentum);
        }
        // All of them are new to the user, so the first places decide.
        if merged.len() > PLACES {
            merged.select_nth_unstable_by(PLACES - 1, engine::pipeline::Candidate::by_score);
            merged.truncate(PLACES);
        }
        merged.sort_unstable_by(engine::pipeline::Candidate::by_score);
        self.gain(merged.iter().map(|candidate| candidate.item))
    }
}

/// The names of what is proposed, in its order.
const SOURCES: [&str; 3] = ["cf", "content", "trending"];
/// As the content source looks at them.
const CONTENT_SEEDS: usize = 30;
const CONTENT_DECAY: f32 = 0.9;

#[cfg(test)]
mod tests {
    use super::worth;

    #[test]
    fn a_source_that_was_never_right_is_worth_no_more_than_one_that_was() {
        assert_eq!(
            worth([(40, 1_000), (20, 1_000), (10, 1_000)]),
            [0.04, 0.02, 0.01]
        );
        assert_eq!(
            worth([(40, 1_000), (0, 1_000), (10, 1_000)]),
            [0.04, 0.000_5, 0.01]
        );
        // It hardly spoke, or not at all.
        assert_eq!(
            worth([(40, 1_000), (0, 3), (10, 1_000)]),
            [0.04, 0.01, 0.01]
        );
        assert_eq!(worth([(40, 1_000), (0, 0), (0, 20)]), [0.04, 0.04, 0.025]);
        assert_eq!(worth([(0, 1_000), (0, 3), (0, 0)]), [0.0; 3]);
    }
}
