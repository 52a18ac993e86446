//! Each event once, however often the stream delivered it.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_128;

use crate::LakeRow;

/// Admits each event once: by its place in the stream, so that overlapping retries of the
/// archive count once, and by user and event id, so that a client's retries do.
///
/// Remembers two 128-bit hashes per row, about 70 bytes; made for one day or one part of it.
#[derive(Debug, Default)]
pub struct Dedupe {
    positions: HashSet<u128>,
    events: HashSet<u128>,
}

impl Dedupe {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether this row is the first of its event.
    pub fn admit(&mut self, row: &LakeRow) -> bool {
        let index = row.index.to_le_bytes();
        let position = hash(&[row.shard.as_bytes(), row.sequence.as_bytes(), &index]);
        let event = hash(&[
            row.event.user_id.as_str().as_bytes(),
            row.event.event_id.as_bytes(),
        ]);
        self.positions.insert(position) && self.events.insert(event)
    }

    /// How many events were admitted.
    #[must_use]
    pub fn admitted(&self) -> usize {
        self.events.len()
    }
}

/// Parts are length-prefixed, so that no two lists of parts look alike.
fn hash(parts: &[&[u8]]) -> u128 {
    let mut bytes = Vec::with_capacity(128);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_rows::sample::row;

    #[test]
    fn an_event_counts_once_by_position_and_by_id() {
        let mut dedupe = Dedupe::new();
        let first = row(1, "shard-000", "7", 0);
        let redelivered = first.clone();
        let neighbour = row(2, "shard-000", "7", 1);
        let retried_by_the_client = row(1, "shard-001", "9", 0);
        let mut of_another_user = row(1, "shard-001", "10", 0);
        of_another_user.event.user_id = engine::UserId::parse("other").unwrap();
        let rows = [
            first,
            redelivered,
            neighbour,
            retried_by_the_client,
            of_another_user,
        ];
        let admitted: Vec<bool> = rows.iter().map(|row| dedupe.admit(row)).collect();
        assert_eq!(admitted, [true, false, true, false, true]);
        assert_eq!(dedupe.admitted(), 3);
    }

    #[test]
    fn places_that_read_alike_when_joined_are_different() {
        let mut dedupe = Dedupe::new();
        assert!(dedupe.admit(&row(1, "s-1", "12", 0)));
        assert!(dedupe.admit(&row(2, "s-11", "2", 0)));
    }
}
