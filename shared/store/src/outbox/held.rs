//! Events of partition keys that the stream refused for now.
//!
//! A partition key is as close as a producer sees to a shard, so each has its own queue and its own
//! pause, and what is queued for one holds back no other. Later events of a refused key queue up
//! behind the earlier ones instead of knocking too: a user's events stay in order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use engine::Event;

use crate::publish::{pause, slot};

/// In the place of a time: its events are on their way, and nobody knows yet how that ends.
const TRIED: Duration = Duration::MAX;

#[derive(Default)]
pub(super) struct Held {
    keys: BTreeMap<u64, Key>,
    events: usize,
}

#[derive(Default)]
struct Key {
    events: VecDeque<Event>,
    /// So many of the first were appended before, without success.
    tried: usize,
    /// Appends in a row that failed.
    attempt: u32,
    /// When to try again, by the monotonic clock.
    due: Duration,
}

/// What is tried again.
#[derive(Default)]
pub(super) struct Again {
    pub(super) events: Vec<Event>,
    /// How many of them were appended before.
    pub(super) tried: usize,
}

impl Held {
    /// How many events wait here.
    pub(super) fn len(&self) -> usize {
        self.events
    }

    /// Whether a key's events wait here, or were refused when last tried.
    pub(super) fn has(&self, key: u64) -> bool {
        self.keys.contains_key(&key)
    }

    /// Whether a key's pause is over.
    pub(super) fn due(&self, mono: Duration) -> bool {
        self.keys.values().any(|key| key.due <= mono)
    }

    /// Whether a key's new events have to queue up behind others that stay.
    pub(super) fn blocks(&self, key: u64) -> bool {
        let key = self.keys.get(&key);
        key.is_some_and(|key| key.due != TRIED || !key.events.is_empty())
    }

    /// Queues events up behind those of their keys.
    pub(super) fn queue(&mut self, events: impl Iterator<Item = Event>) {
        for event in events {
            let key = self.keys.entry(slot(&event.user_id)).or_default();
            key.events.push_back(event);
            self.events += 1;
        }
    }

    /// Takes so many events of keys whose pause is over, those that wait longest first.
    pub(super) fn take_due(&mut self, mono: Duration, events_max: usize) -> Again {
        let mut due: Vec<(Duration, u64)> = Vec::new();
        for (number, key) in &self.keys {
            if key.due <= mono {
                due.push((key.due, *number));
            }
        }
        due.sort_unstable();
        let mut again = Again::default();
        for (_, number) in due {
            let room = events_max.saturating_sub(again.events.len());
            if let Some(key) = self.keys.get_mut(&number).filter(|_| room > 0) {
                let taken = key.events.len().min(room);
                let tried = key.tried.min(taken);
                again.events.extend(key.events.drain(..taken));
                again.tried += tried;
                key.tried -= tried;
                key.due = TRIED;
                self.events -= taken;
            }
        }
        again
    }

    /// Takes back what the stream refused for now, in order.
    pub(super) fn refused(&mut self, events: Vec<Event>, mono: Duration) {
        let mut counts = BTreeMap::<u64, usize>::new();
        self.events += events.len();
        for event in events.into_iter().rev() {
            let number = slot(&event.user_id);
            let key = self.keys.entry(number).or_default();
            key.events.push_front(event);
            *counts.entry(number).or_default() += 1;
        }
        for (number, tried) in counts {
            if let Some(key) = self.keys.get_mut(&number) {
                key.tried += tried;
                key.attempt = key.attempt.saturating_add(1);
                let seed = mono.as_nanos() as u64;
                let seed = xxhash_rust::xxh3::xxh3_64_with_seed(&number.to_le_bytes(), seed);
                key.due = mono.saturating_add(pause(key.attempt, seed));
            }
        }
    }

    /// Lets keys go that were tried and not refused; what is left of them may follow at once.
    pub(super) fn settle(&mut self) {
        for key in self.keys.values_mut().filter(|key| key.due == TRIED) {
            (key.attempt, key.due) = (0, Duration::ZERO);
        }
        self.keys
            .retain(|_, key| key.attempt > 0 || !key.events.is_empty());
    }

    /// Ends every pause.
    pub(super) fn hurry(&mut self) {
        for key in self.keys.values_mut().filter(|key| key.due != TRIED) {
            key.due = Duration::ZERO;
        }
    }

    /// Gives up so many events, the oldest of the longest queues; answers how many there were.
    pub(super) fn give_up(&mut self, events: usize) -> usize {
        let mut given_up = 0;
        while given_up < events {
            let longest = self.keys.values_mut().max_by_key(|key| key.events.len());
            let Some(key) = longest.filter(|key| !key.events.is_empty()) else {
                break;
            };
            key.events.pop_front();
            key.tried = key.tried.saturating_sub(1);
            given_up += 1;
        }
        self.events -= given_up;
        given_up
    }

    /// Gives everything up; answers how many events that were.
    pub(super) fn clear(&mut self) -> usize {
        self.keys.clear();
        std::mem::take(&mut self.events)
    }
}
