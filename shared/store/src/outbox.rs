//! Where `served` events wait for the stream, so that no answer does.
//!
//! ```text
//! offer() ──► buffer (≤ 10,000) ──► due()? ──► flush() ──► stream
//!    └ full: refused, counted          └ failed: put back, or given up and counted
//! ```
//!
//! Invariant: accepted = sent + dropped + waiting, at every moment nobody flushes. Nothing runs by
//! itself: whoever hosts the outbox asks [`Outbox::due`] and flushes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::Event;
use guard::{Clock, Deadline, Now};
use metrics::{counter, gauge};
use ops::metric;

use crate::due::elapsed;
use crate::ports::Stream;
use crate::publish::publish_counting;

/// Events that wait at most; more are refused.
pub const OUTBOX_EVENTS_MAX: usize = 10_000;
/// The oldest event waits at most this long before a flush is due.
pub const OUTBOX_AGE_MAX: Duration = Duration::from_secs(1);
/// So many answers make a flush due.
pub const OUTBOX_ANSWERS_MAX: u64 = 50;
/// Events sent by one flush.
pub const FLUSH_EVENTS_MAX: usize = 2_000;

/// A bounded buffer of `served` events.
pub struct Outbox {
    stream: Arc<dyn Stream>,
    clock: Arc<dyn Clock>,
    flushing: AtomicBool,
    inside: Mutex<Inside>,
}

/// Exact counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxCounts {
    /// Taken into the buffer.
    pub accepted: u64,
    /// Not taken because the buffer was full: lost.
    pub refused: u64,
    /// Acknowledged by the stream.
    pub sent: u64,
    /// Appended once more, counted each time.
    pub retried: u64,
    /// Given up after they were accepted: lost.
    pub dropped: u64,
    /// In the buffer or being sent.
    pub waiting: u64,
}

#[derive(Default)]
struct Inside {
    events: VecDeque<Event>,
    answers: u64,
    oldest: Option<Now>,
    counts: OutboxCounts,
}

impl Outbox {
    /// An empty outbox in front of a stream.
    #[must_use]
    pub fn new(stream: Arc<dyn Stream>, clock: Arc<dyn Clock>) -> Self {
        let inside = Mutex::new(Inside::default());
        Self {
            stream,
            clock,
            flushing: AtomicBool::new(false),
            inside,
        }
    }

    /// Takes the events of one answer. Never waits; returns how many found no room.
    pub fn offer(&self, events: Vec<Event>) -> usize {
        let now = self.clock.now();
        let mut inside = self.lock();
        let room = OUTBOX_EVENTS_MAX.saturating_sub(inside.counts.waiting as usize);
        let taken = events.len().min(room);
        let refused = events.len() - taken;
        inside.counts.accepted += taken as u64;
        inside.counts.waiting += taken as u64;
        inside.counts.refused += refused as u64;
        inside.events.extend(events.into_iter().take(taken));
        if taken > 0 {
            inside.answers += 1;
            inside.oldest.get_or_insert(now);
        }
        drop(inside);
        lost(refused, "full");
        refused
    }

    /// Whether a flush is due: the oldest event or the number of answers says so.
    #[must_use]
    pub fn due(&self) -> bool {
        let now = self.clock.now();
        let inside = self.lock();
        let old = inside
            .oldest
            .is_some_and(|oldest| elapsed(oldest, now) >= OUTBOX_AGE_MAX);
        old || inside.answers >= OUTBOX_ANSWERS_MAX
    }

    /// Sends what waits, at most [`FLUSH_EVENTS_MAX`]; returns how many the stream acknowledged.
    ///
    /// What fails for a reason that may pass waits for the next flush, also when this one is
    /// abandoned half way; the rest is given up. A second flush at the same time does nothing.
    pub async fn flush(&self, deadline: &Deadline) -> usize {
        let Some(mut taken) = self.take() else {
            return 0;
        };
        let published = publish_counting(&*self.stream, &taken.events, deadline).await;
        let mut again = Vec::new();
        let (mut sent, mut dropped) = (0, 0);
        for (event, answer) in std::mem::take(&mut taken.events)
            .into_iter()
            .zip(published.answers)
        {
            match answer {
                Ok(()) => sent += 1,
                Err(error) if error.kind.retryable() => again.push(event),
                Err(_) => dropped += 1,
            }
        }
        taken.events = again;
        {
            let mut inside = self.lock();
            let counts = &mut inside.counts;
            counts.sent += sent as u64;
            counts.dropped += dropped as u64;
            counts.waiting = counts.waiting.saturating_sub((sent + dropped) as u64);
            counts.retried += published.retried;
            gauge!(metric::SERVED_BUFFERED).set(counts.waiting as f64);
        }
        counter!(metric::SERVED_SENT).increment(sent as u64);
        lost(dropped, "refused_by_stream");
        sent
    }

    /// Exact counts since the start.
    #[must_use]
    pub fn counts(&self) -> OutboxCounts {
        self.lock().counts
    }

    fn take(&self) -> Option<Taken<'_>> {
        if self.flushing.swap(true, Ordering::AcqRel) {
            return None;
        }
        let mut taken = Taken {
            outbox: self,
            events: Vec::new(),
        };
        let mut inside = self.lock();
        let count = inside.events.len().min(FLUSH_EVENTS_MAX);
        taken.events.extend(inside.events.drain(..count));
        inside.answers = 0;
        inside.oldest = if inside.events.is_empty() {
            None
        } else {
            Some(self.clock.now())
        };
        drop(inside);
        (count > 0).then_some(taken)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events on their way. Whatever is still here when it goes, goes back to the front.
struct Taken<'a> {
    outbox: &'a Outbox,
    events: Vec<Event>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut inside = self.outbox.lock();
        if !self.events.is_empty() {
            // A pause of one age before the next attempt: the stream is in trouble.
            inside.oldest = Some(self.outbox.clock.now());
        }
        for event in self.events.drain(..).rev() {
            inside.events.push_front(event);
        }
        drop(inside);
        self.outbox.flushing.store(false, Ordering::Release);
    }
}

fn lost(events: usize, cause: &'static str) {
    if events > 0 {
        counter!(metric::SERVED_LOST, "cause" => cause).increment(events as u64);
        tracing::warn!(events.lost = events, cause, "served events are lost");
    }
}

#[cfg(test)]
mod tests;
