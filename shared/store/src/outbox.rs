//! Where `served` events wait for the stream, so that no answer does.
//!
//! ```text
//! offer() ──► buffer (≤ 10,000 events) ──► due()? ──► flush() ──► stream
//!    └ full: refused, counted                ▲           └ refused for now: held by partition key,
//!                                            └──────────── tried again after a pause of its own
//! ```
//!
//! A flush tries everything once and never waits for a shard to take more. While a key is held its
//! later events queue up behind, and in a full buffer the held give way to those whose keys are not:
//! a throttled shard can only ever cost its own events.
//!
//! An answer waits as it was given and becomes events when it is sent: what a request pays is one
//! short list. Invariant: accepted = sent + dropped + waiting, at every moment nobody flushes.
//! Nothing runs by itself: whoever hosts the outbox asks [`Outbox::due`] and flushes.
//!
//! What can be lost: at most [`OUTBOX_ANSWERS_MAX`] answers, or those of [`OUTBOX_AGE_MAX`], when a
//! process is killed without warning, plus what was under way; nothing when it is told to stop and
//! the stream answers. Where a process has no core to spare, answers go first (decision 0024): it
//! may be the whole buffer ([`OUTBOX_EVENTS_MAX`]) then.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{Event, EventKind, Made, UserId, VideoId};
use guard::{Clock, Deadline, Now};
use metrics::{counter, gauge};
use ops::metric;
use smol_str::{SmolStr, format_smolstr};

use crate::due::elapsed;
use crate::ports::Stream;
use crate::publish::{publish_once, slot};
use held::Held;

mod held;

/// Events that wait at most; more are refused.
pub const OUTBOX_EVENTS_MAX: usize = 10_000;
/// The oldest event waits at most this long before a flush is due.
pub const OUTBOX_AGE_MAX: Duration = Duration::from_secs(1);
/// So many answers make a flush due.
pub const OUTBOX_ANSWERS_MAX: u64 = 50;
/// Events sent by one flush.
pub const FLUSH_EVENTS_MAX: usize = 2_000;

/// Between two attempts to send the last of it, at first; it doubles.
const FINISH_PAUSE_MIN: Duration = Duration::from_millis(10);
const FINISH_PAUSE_MAX: Duration = Duration::from_millis(200);

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

/// One answer that left the building.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedAnswer {
    /// Differs for every answer; with the place, an event's id.
    pub number: u128,
    /// When, Unix time in milliseconds.
    pub ts_ms: i64,
    /// What was on it; the same for all answers of one page.
    pub page: Arc<ServedPage>,
}

/// What was on an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedPage {
    /// Whose it is.
    pub user_id: UserId,
    /// The slate it was cut from.
    pub slate_id: SmolStr,
    /// The place in the product that the slate was made for.
    pub scene: SmolStr,
    /// The viewer's country; empty when not known.
    pub market: SmolStr,
    /// The experiments it was part of, `layer=arm` joined by `;`.
    pub arms: SmolStr,
    /// The generation the slate was made from; empty where there was none.
    pub generation: SmolStr,
    /// Places in the slate, which video is there, and the chance that it got there.
    pub items: Vec<(u16, VideoId, f32)>,
}

/// An answer and how many of its items found room.
struct Waiting {
    answer: ServedAnswer,
    taken: usize,
}

impl ServedAnswer {
    fn events(&self) -> impl Iterator<Item = Event> {
        let page = &self.page;
        page.items.iter().map(|(place, video_id, chance)| Event {
            event_id: format_smolstr!("{:032x}-{place}", self.number),
            kind: EventKind::Served,
            user_id: page.user_id.clone(),
            video_id: video_id.clone(),
            ts_ms: self.ts_ms,
            watch_ms: None,
            duration_ms: None,
            scene: page.scene.clone(),
            market: page.market.clone(),
            creator_id: None,
            undo: false,
            recommendation_id: page.slate_id.clone(),
            slate_position: Some(*place),
            arms: page.arms.clone(),
            made: Made::new(&page.generation, Made::ppb(*chance)),
        })
    }
}

#[derive(Default)]
struct Inside {
    /// What an abandoned flush had taken, oldest first; goes out before the answers.
    again: VecDeque<Event>,
    /// What the stream refused for now.
    held: Held,
    waiting: VecDeque<Waiting>,
    answers: u64,
    /// The last answer did not fit.
    full: bool,
    /// The account is closed: the process ends.
    finished: bool,
    oldest: Option<Now>,
    counts: OutboxCounts,
}

impl Inside {
    /// Makes room at the cost of what is held; answers how many events it cost.
    fn give_up(&mut self, events: usize) -> usize {
        let given_up = self.held.give_up(events);
        self.counts.dropped += given_up as u64;
        self.counts.waiting = self.counts.waiting.saturating_sub(given_up as u64);
        given_up
    }

    /// Events that no pause keeps from the next flush.
    fn ready(&self) -> usize {
        (self.counts.waiting as usize).saturating_sub(self.held.len())
    }
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

    /// Takes one answer. Never waits; returns how many of its items found no room.
    pub fn offer(&self, answer: ServedAnswer) -> usize {
        let items = answer.page.items.len();
        let mut inside = self.lock();
        let mut room = OUTBOX_EVENTS_MAX.saturating_sub(inside.counts.waiting as usize);
        let mut given_up = 0;
        if inside.finished {
            room = 0;
        } else if room < items && !inside.held.has(slot(&answer.page.user_id)) {
            given_up = inside.give_up(items - room);
            room += given_up;
        }
        let (taken, refused) = (items.min(room), items.saturating_sub(room));
        // Said once for a whole outage: every answer of it would say the same.
        let news = refused > 0 && !inside.full;
        inside.full = refused > 0;
        inside.counts.accepted += taken as u64;
        inside.counts.waiting += taken as u64;
        inside.counts.refused += refused as u64;
        if taken > 0 {
            inside.waiting.push_back(Waiting { answer, taken });
            inside.answers += 1;
            inside.oldest.get_or_insert_with(|| self.clock.now());
        }
        drop(inside);
        if refused > 0 {
            counter!(metric::SERVED_LOST, "cause" => "full").increment(refused as u64);
        }
        if given_up > 0 {
            counter!(metric::SERVED_LOST, "cause" => "throttled").increment(given_up as u64);
        }
        if news {
            tracing::warn!("the outbox is full, served events are lost until there is room");
        }
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
        old || inside.answers >= OUTBOX_ANSWERS_MAX || inside.held.due(now.mono)
    }

    /// Sends what waits, about [`FLUSH_EVENTS_MAX`]; returns how many the stream acknowledged.
    ///
    /// What fails for a reason that may pass is tried again by a flush after its pause, and what an
    /// abandoned flush had taken by the next one; the rest is given up. A second flush at the same
    /// time does nothing.
    pub async fn flush(&self, deadline: &Deadline) -> usize {
        let Some(mut taken) = self.take() else {
            return 0;
        };
        let answers = publish_once(&*self.stream, &taken.events, deadline).await;
        let mut refused = Vec::new();
        let (mut sent, mut dropped) = (0, 0);
        for (event, answer) in std::mem::take(&mut taken.events).into_iter().zip(answers) {
            match answer {
                Ok(()) => sent += 1,
                Err(kind) if kind.retryable() => refused.push(event),
                Err(_) => dropped += 1,
            }
        }
        {
            let mut inside = self.lock();
            inside.held.refused(refused, self.clock.now().mono);
            let counts = &mut inside.counts;
            counts.sent += sent as u64;
            counts.dropped += dropped as u64;
            counts.waiting = counts.waiting.saturating_sub((sent + dropped) as u64);
            counts.retried += taken.tried as u64;
            gauge!(metric::SERVED_BUFFERED).set(counts.waiting as f64);
        }
        counter!(metric::SERVED_SENT).increment(sent as u64);
        if dropped > 0 {
            counter!(metric::SERVED_LOST, "cause" => "refused_by_stream").increment(dropped as u64);
            tracing::warn!(events.lost = dropped, "the stream refused served events");
        }
        sent
    }

    /// Flushes if that is due, and on while a whole flush of events waits. For hosts that have a task
    /// for it.
    pub async fn tend(&self, deadline: &Deadline) {
        let mut more = self.due();
        while more {
            let sent = self.flush(deadline).await;
            more = sent > 0 && self.lock().ready() >= FLUSH_EVENTS_MAX;
        }
    }

    /// Flushes until nothing waits or the deadline ends, then gives up the rest; returns how many
    /// events that were. For the end of a process: what does not leave now is lost, and what is offered
    /// later is refused and counted.
    pub async fn finish(&self, deadline: &Deadline) -> u64 {
        let mut pause = FINISH_PAUSE_MIN;
        while self.counts().waiting > 0 && !deadline.expired() {
            self.lock().held.hurry();
            if self.flush(deadline).await == 0 {
                // Another flush may be under way.
                let _ = deadline.limit(tokio::time::sleep(pause)).await;
                pause = (pause * 2).min(FINISH_PAUSE_MAX);
            }
        }
        let mut inside = self.lock();
        let mut left =
            inside.again.len() + inside.waiting.iter().map(|one| one.taken).sum::<usize>();
        left += inside.held.clear();
        inside.again.clear();
        inside.waiting.clear();
        inside.finished = true;
        let left = left as u64;
        inside.counts.dropped += left;
        inside.counts.waiting = inside.counts.waiting.saturating_sub(left);
        drop(inside);
        if left > 0 {
            counter!(metric::SERVED_LOST, "cause" => "ended").increment(left);
            tracing::warn!(
                events.lost = left,
                "the process ends before the stream took served events"
            );
        }
        left
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
            tried: 0,
        };
        let now = self.clock.now();
        let mut inside = self.lock();
        let again = inside.again.len().min(FLUSH_EVENTS_MAX);
        taken.events.extend(inside.again.drain(..again));
        // What is tried again must not keep new events from the stream.
        let share = if inside.waiting.is_empty() {
            FLUSH_EVENTS_MAX
        } else {
            FLUSH_EVENTS_MAX / 2
        };
        let due = inside.held.take_due(now.mono, share.saturating_sub(again));
        taken.tried = due.tried;
        taken.events.extend(due.events);
        let (mut answers, mut events) = (Vec::new(), taken.events.len());
        // An answer larger than a flush goes alone.
        while let Some(next) = inside
            .waiting
            .pop_front_if(|next| events == 0 || events + next.taken <= FLUSH_EVENTS_MAX)
        {
            if inside.held.blocks(slot(&next.answer.page.user_id)) {
                let queued = next.answer.events().take(next.taken);
                inside.held.queue(queued);
                continue;
            }
            events += next.taken;
            answers.push(next);
        }
        inside.answers = 0;
        let empty = inside.again.is_empty() && inside.waiting.is_empty();
        inside.oldest = (!empty).then_some(now);
        drop(inside);
        // Made out of the way of those who offer.
        let made = answers
            .iter()
            .map(|one| one.answer.events().take(one.taken));
        taken.events.extend(made.flatten());
        (!taken.events.is_empty()).then_some(taken)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events on their way. Whatever is still here when it goes, goes back to the front.
struct Taken<'a> {
    outbox: &'a Outbox,
    events: Vec<Event>,
    /// How many of them were appended before.
    tried: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut inside = self.outbox.lock();
        if !self.events.is_empty() {
            // A pause of one age before the next attempt: the stream is in trouble.
            inside.oldest = Some(self.outbox.clock.now());
        }
        for event in self.events.drain(..).rev() {
            inside.again.push_front(event);
        }
        inside.held.settle();
        drop(inside);
        self.outbox.flushing.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
