//! What a user has already done, by hash: the memory that drops a producer's retries.

use bytes::Bytes;
use engine::UserId;
use store::{Error, ErrorKind, Position, sealed};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Event ids remembered per user, and as many (video, kind, hour).
pub const MARKS_MAX: usize = 1_024;
/// A mark older than this no longer counts, seconds.
pub const AGE_MAX_S: u32 = 24 * 3_600;
/// The schema of the row.
pub const WINDOW_SCHEMA: u8 = 1;

const HEAD_BYTES: usize = 4;
const MARK_BYTES: usize = 16;

/// Something met, and where it was met first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Hash of what was met.
    pub key: u64,
    /// Hash of the position; only ever compared for equality.
    pub place: u32,
    /// When the stream took it, Unix time in seconds.
    pub at_s: u32,
}

/// The marks of one user: event ids, and which (video, kind, hour) were popular by them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Window {
    ids: Vec<Mark>,
    hours: Vec<Mark>,
}

/// Which of a window's two lists a mark belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// Event ids.
    Ids,
    /// (video, kind, hour).
    Hours,
}

impl Mark {
    /// The mark of `key` at a place of a shard.
    pub fn new(key: u64, position: &Position, index: u32, arrived_ms: i64) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&(position.shard.len() as u64).to_le_bytes());
        hash.update(position.shard.as_bytes());
        hash.update(position.sequence.as_bytes());
        hash.update(b"/");
        hash.update(&index.to_le_bytes());
        let place = (hash.digest() >> 32) as u32;
        let at_s = u32::try_from(arrived_ms.div_euclid(1_000)).unwrap_or(0);
        Self { key, place, at_s }
    }
}

impl Window {
    /// The row of a user's window. The id is hashed: two users who share a hash share a window, which
    /// does no harm, because event ids differ.
    pub fn row_id(user_id: &UserId) -> String {
        format!("window#{:016x}", xxh3_64(user_id.as_str().as_bytes()))
    }

    /// Meets a mark: false when it was met before at another place, within [`AGE_MAX_S`].
    ///
    /// The same place again is a replay, not a repetition: what counts decides by position.
    pub fn admit(&mut self, list: List, mark: Mark) -> bool {
        let marks = self.list(list);
        let alive = |met: &&mut Mark| {
            met.key == mark.key && mark.at_s.saturating_sub(met.at_s) <= AGE_MAX_S
        };
        if let Some(met) = marks.iter_mut().rev().find(alive) {
            return met.place == mark.place;
        }
        marks.retain(|met| met.key != mark.key);
        marks.push(mark);
        self.trim(list);
        true
    }

    /// The bytes of the row.
    pub fn encode(&self) -> Bytes {
        let marks = self.ids.len() + self.hours.len();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + MARK_BYTES * marks);
        for list in [&self.ids, &self.hours] {
            bytes.extend_from_slice(&(list.len() as u16).to_le_bytes());
        }
        for mark in self.ids.iter().chain(&self.hours) {
            bytes.extend_from_slice(&mark.key.to_le_bytes());
            bytes.extend_from_slice(&mark.place.to_le_bytes());
            bytes.extend_from_slice(&mark.at_s.to_le_bytes());
        }
        sealed::seal(WINDOW_SCHEMA, &bytes)
    }

    /// Reads the bytes of a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let what = "decode a user's window";
        let corrupt = || Error::new(ErrorKind::Corrupt, what);
        let body = sealed::open(WINDOW_SCHEMA, bytes, what)?;
        let (head, body) = body.split_at_checked(HEAD_BYTES).ok_or_else(corrupt)?;
        let &[a, b, c, d] = head else {
            return Err(corrupt());
        };
        let ids = usize::from(u16::from_le_bytes([a, b]));
        let hours = usize::from(u16::from_le_bytes([c, d]));
        let (chunks, rest) = body.as_chunks::<MARK_BYTES>();
        if !rest.is_empty() || chunks.len() != ids + hours || ids.max(hours) > MARKS_MAX {
            return Err(corrupt());
        }
        let marks: Vec<Mark> = chunks.iter().map(decode_mark).collect();
        let (ids, hours) = marks.split_at_checked(ids).ok_or_else(corrupt)?;
        Ok(Self {
            ids: ids.to_vec(),
            hours: hours.to_vec(),
        })
    }

    fn list(&mut self, list: List) -> &mut Vec<Mark> {
        match list {
            List::Ids => &mut self.ids,
            List::Hours => &mut self.hours,
        }
    }

    fn trim(&mut self, list: List) {
        let marks = self.list(list);
        let newest_s = marks.iter().map(|mark| mark.at_s).max().unwrap_or(0);
        marks.retain(|mark| newest_s.saturating_sub(mark.at_s) <= AGE_MAX_S);
        let surplus = marks.len().saturating_sub(MARKS_MAX);
        marks.drain(..surplus);
    }
}

fn decode_mark(bytes: &[u8; MARK_BYTES]) -> Mark {
    let whole = u128::from_le_bytes(*bytes);
    Mark {
        key: whole as u64,
        place: (whole >> 64) as u32,
        at_s: (whole >> 96) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark(key: u64, place: u32, at_s: u32) -> Mark {
        Mark { key, place, at_s }
    }

    #[test]
    fn a_repetition_is_dropped_and_a_replay_is_not() {
        let mut window = Window::default();
        let steps = [
            (mark(1, 10, 100), true),
            (mark(1, 10, 100), true),
            (mark(1, 11, 101), false),
            (mark(2, 11, 101), true),
            (mark(1, 12, 100 + AGE_MAX_S), false),
            (mark(1, 13, 101 + AGE_MAX_S), true),
            (mark(1, 13, 101 + AGE_MAX_S), true),
        ];
        for (step, admitted) in steps {
            assert_eq!(window.admit(List::Ids, step), admitted, "{step:?}");
        }
    }

    #[test]
    fn the_window_is_bounded_and_forgets_the_oldest() {
        let mut window = Window::default();
        for key in 0..=MARKS_MAX as u64 {
            assert!(window.admit(List::Ids, mark(key, key as u32, 7)));
        }
        assert_eq!(window.ids.len(), MARKS_MAX);
        assert!(
            !window.admit(List::Ids, mark(1, 9_999, 7)),
            "the second is still known"
        );
        assert!(
            window.admit(List::Ids, mark(0, 9_999, 7)),
            "the first is forgotten"
        );
    }

    #[test]
    fn lists_that_are_not_as_long_as_said_are_refused() {
        let mark = [7; MARK_BYTES];
        let bodies: [Vec<u8>; 5] = [
            vec![1, 0, 0],
            vec![1, 0, 0, 0],
            [&[1, 0, 1, 0], &mark[..]].concat(),
            [&[0, 0, 0, 0], &mark[..]].concat(),
            [&[1, 0, 0, 0], &mark[1..]].concat(),
        ];
        for body in bodies {
            let bytes = sealed::seal(WINDOW_SCHEMA, &body);
            assert_eq!(
                Window::decode(&bytes).unwrap_err().kind,
                ErrorKind::Corrupt,
                "{body:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn rows_round_trip(keys in prop::collection::vec((any::<u64>(), any::<u32>()), 0..50)) {
            let mut window = Window::default();
            for (key, place) in keys {
                window.admit(List::Ids, mark(key, place, 5));
                window.admit(List::Hours, mark(key ^ 1, place, 5));
            }
            prop_assert_eq!(Window::decode(&window.encode()).unwrap(), window);
        }
    }
}
