//! The best of many rows.

use super::Proposals;
use super::tally::Sum;
use crate::pipeline::Prepared;

/// Finds the best rows; reused, so that once grown it does not allocate.
#[derive(Debug, Default)]
pub(super) struct Top {
    keys: Vec<u64>,
    worth: Vec<u64>,
}

impl Top {
    /// The `most` best rows that `keeps` holds for, best first, ties by id. Scores below 0 count
    /// as 0.
    pub(super) fn best(
        &mut self,
        rows: &[Sum],
        most: usize,
        keeps: impl Fn(u32) -> bool,
    ) -> impl Iterator<Item = Sum> {
        let keys = &mut self.keys;
        keys.clear();
        // What is behind this is not among the best.
        let mut last = u64::MAX;
        let room = (4 * most).max(64);
        for row in rows {
            let key = key(row);
            if key < last && keeps(row.item) {
                if keys.len() == room {
                    last = keep_least(keys, most);
                }
                keys.push(key);
            }
        }
        keep_least(keys, most);
        keys.sort_unstable();
        keys.iter().map(|key| row(*key))
    }

    /// The best `candidates_max` of the rows that score above 0 and are worth proposing, in any
    /// order.
    ///
    /// Asking whether a row is worth it costs more than comparing scores, so only the best are
    /// asked first, enough of them for all that the user has met; the rest only where too few of
    /// those are worth it.
    pub(super) fn proposals(
        &mut self,
        asked: &Prepared<'_>,
        rows: &[Sum],
        because: impl Fn(u32) -> u32,
    ) -> Proposals {
        let most = asked.scene.candidates_max as usize;
        let (keys, worth) = (&mut self.keys, &mut self.worth);
        keys.clear();
        keys.extend(rows.iter().filter(|row| row.score > 0.0).map(key));
        let first = most.saturating_add(asked.met_max()).min(keys.len());
        if first < keys.len() {
            keys.select_nth_unstable(first);
        }
        let is_worth = |key: &&u64| asked.worth_proposing(row(**key).item);
        let (ahead, behind) = keys.split_at(first);
        worth.clear();
        worth.extend(ahead.iter().filter(is_worth));
        if worth.len() < most {
            worth.extend(behind.iter().filter(is_worth));
        }
        keep_least(worth, most);
        let items = worth.iter().map(|key| row(*key).proposal(&because));
        Proposals {
            items: items.collect(),
            overran: false,
        }
    }
}

/// Keeps the `most` least numbers, and answers the greatest of them.
fn keep_least(keys: &mut Vec<u64>, most: usize) -> u64 {
    let Some(at) = most.checked_sub(1) else {
        keys.clear();
        return 0;
    };
    if keys.len() <= most {
        return u64::MAX;
    }
    let (_, last, _) = keys.select_nth_unstable(at);
    let last = *last;
    keys.truncate(most);
    last
}

/// Orders scores of at least 0 like floats, highest first, ties by id: one integer is compared, and
/// moved, faster than a row.
fn key(row: &Sum) -> u64 {
    u64::from(!row.score.max(0.0).to_bits()) << 32 | u64::from(row.item)
}

/// The row that a key stands for.
fn row(key: u64) -> Sum {
    Sum {
        item: key as u32,
        score: f32::from_bits(!((key >> 32) as u32)),
    }
}
