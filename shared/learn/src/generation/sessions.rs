//! Sessions numbered by recency, and each video's newest sessions.

use engine::index::IndexWriter;
use engine::index::format::{CfKnobs, Kind};
use rustc_hash::FxHashSet;
use zerocopy::little_endian::{F32, U32};

use super::diary::{History, Liked};
use super::shelf::{Catalogue, numbers};
use crate::BuildOptions;

/// A run of likings of one user without a longer pause.
struct Session {
    ended_ms: i64,
    items: Vec<u32>,
}

/// Writes sessions, postings, idf and how they are to be used; returns how many sessions there are.
///
/// Sessions of one video say nothing about any other and are left out. Order is by the time of
/// the newest liking, then by what the session holds, so it does not depend on the users' names.
pub(super) fn put(
    index: &mut IndexWriter,
    catalogue: &Catalogue,
    history: &History,
    knobs: CfKnobs,
    options: &BuildOptions,
) -> usize {
    let mut sessions: Vec<Session> = Vec::new();
    for user in &history.users {
        let gap = options.session_gap_ms;
        let runs = history
            .liked(user)
            .chunk_by(|a, b| b.ts_ms.saturating_sub(a.ts_ms) <= gap);
        sessions.extend(runs.filter_map(|run| session(catalogue, run, options)));
    }
    sessions.sort_by(|a, b| {
        a.ended_ms
            .cmp(&b.ended_ms)
            .then_with(|| a.items.cmp(&b.items))
    });
    let mut postings: Vec<Vec<u32>> = vec![Vec::new(); catalogue.len()];
    for (number, session) in (0u32..).zip(&sessions) {
        for item in &session.items {
            if let Some(posting) = postings.get_mut(*item as usize) {
                posting.push(number);
            }
        }
    }
    index.put(Kind::CfKnobs, &[knobs]);
    let idf: Vec<F32> = postings
        .iter()
        .map(|p| F32::new(idf(sessions.len(), p.len())))
        .collect();
    index.put(Kind::Idf, &idf);
    let newest = postings.iter().map(|posting| -> Vec<U32> {
        posting
            .iter()
            .rev()
            .take(options.postings_max)
            .copied()
            .map(U32::new)
            .collect()
    });
    index.put_list(Kind::PostingStarts, Kind::Postings, newest);
    let items = sessions.iter().map(|session| numbers(&session.items));
    index.put_list(Kind::SessionStarts, Kind::SessionItems, items);
    sessions.len()
}

fn session(catalogue: &Catalogue, run: &[Liked], options: &BuildOptions) -> Option<Session> {
    let mut met = FxHashSet::default();
    let newest = run
        .iter()
        .rev()
        .filter(|liked| !catalogue.hidden(liked.item));
    let distinct = newest
        .filter(|liked| met.insert(liked.item))
        .map(|liked| liked.item);
    let mut items: Vec<u32> = distinct.take(options.session_videos_max).collect();
    items.reverse();
    let ended_ms = run.last()?.ts_ms;
    (items.len() > 1).then_some(Session { ended_ms, items })
}

fn idf(sessions: usize, with_it: usize) -> f32 {
    if with_it == 0 {
        0.0
    } else {
        (sessions as f64 / with_it as f64).ln() as f32
    }
}
