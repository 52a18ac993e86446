//! Kinesis batch in, user state and realtime features out.
//!
//! ```text
//! batch ─► decode ─► poison kept ─► repetitions dropped ─► counters ─► windows ─► user states
//!                    (dead/…)       (window per user)      (video, shard)         └► user versions
//! ```
//!
//! What it promises: every event counts once, whatever is replayed, split, enlarged or killed.
//! - A repetition is an event id met at *another* position; the same position is a replay.
//! - A counter's value and last position change in one conditional write; records at or below the
//!   position are skipped. One handler at a time applies a shard, in order.
//! - A failed write fails the batch from its first record, so nothing later fences off something
//!   earlier.
//! - User states are joins: applying an event twice, or late, changes nothing.
//!
//! Read in the order `lib`, `window`, `tally`, `rows`.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use engine::{Event, EventKind, UserId, UserState};
use guard::{Clock, Deadline};
use store::intake::{Intake, Placed};
use store::redis::{Shared, Stored};
use store::{
    BatchOutcome, Consumer, DeadLetters, Error, ErrorKind, StreamRecord, Tables, Users, apply_event,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

mod rows;
mod tally;
pub mod window;

use rows::Loaded;
use tally::Tally;
use window::{List, Mark, Window};

/// A window is removed this long after its last write, seconds.
const WINDOW_KEPT_S: i64 = 2 * window::AGE_MAX_S as i64;

/// What the consumer works with.
#[derive(Clone)]
pub struct Parts {
    /// The user states.
    pub users: Arc<Users>,
    /// Where counters and windows live.
    pub counters: Arc<dyn Tables>,
    /// Where poison is kept.
    pub dead: DeadLetters,
    /// The shared tier, told of new user versions; none on a machine without Redis.
    pub shared: Option<Arc<Shared>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Applies batches of events to user states and realtime counters.
pub struct Clickstream {
    parts: Parts,
}

impl Clickstream {
    /// The name of this consumer, in checkpoints and dead letters.
    pub const NAME: &'static str = "clickstream";

    /// A consumer over its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts }
    }

    async fn apply(&self, batch: &[StreamRecord], deadline: &Deadline) -> Result<(), Error> {
        let intake = Intake::decode(batch);
        self.parts.dead.keep(&intake.poison, deadline).await?;
        // What left the building is advice for the night; impressions tell what was seen.
        let mut events = intake.events;
        events.retain(|placed| placed.event.kind != EventKind::Served);

        let mut windows = Windows::load(self.tables(), &events, deadline).await?;
        let mut tally = Tally::default();
        for placed in &events {
            // What is taken back changes the user's state; it was interest all the same.
            if let Some(popular) = windows.admit(placed)
                && !placed.event.undo
            {
                tally.note(placed, popular);
            }
        }
        let now_s = self.parts.clock.now().wall_ms.div_euclid(1_000);
        tally
            .write(self.tables(), now_s + store::counters::KEPT_S, deadline)
            .await?;
        windows
            .write(self.tables(), now_s + WINDOW_KEPT_S, deadline)
            .await?;
        self.update_users(&events, deadline).await
    }

    async fn update_users(&self, events: &[Placed], deadline: &Deadline) -> Result<(), Error> {
        let mut by_user: BTreeMap<&UserId, Vec<&Event>> = BTreeMap::new();
        for Placed { event, .. } in events {
            by_user.entry(&event.user_id).or_default().push(event);
        }
        let user_ids: Vec<UserId> = by_user.keys().map(|id| (*id).clone()).collect();
        let events: Vec<Vec<&Event>> = by_user.into_values().collect();
        let join = |at: usize, state: &mut UserState| {
            let events = events.get(at).into_iter().flatten();
            events.fold(false, |changed, event| apply_event(state, event) | changed)
        };
        let answers = self
            .parts
            .users
            .update_many(&user_ids, deadline, join)
            .await?;
        let mut versions = Vec::with_capacity(user_ids.len());
        for (user_id, answer) in user_ids.into_iter().zip(answers) {
            match answer {
                Ok(version) => versions.push((user_id, version)),
                // Trying again does not mend a damaged row, and it must not stop its shard.
                Err(error) if error.kind == ErrorKind::Corrupt => {
                    tracing::error!(error = %error, "a user's row is damaged and was left alone");
                }
                Err(error) => return Err(error),
            }
        }
        self.raise_versions(versions, deadline).await;
        Ok(())
    }

    /// Without the shared tier answers are fresh a moment later; it must not hold up the stream.
    async fn raise_versions(&self, versions: Vec<(UserId, u64)>, deadline: &Deadline) {
        let Some(shared) = &self.parts.shared else {
            return;
        };
        let now_ms = self.parts.clock.now().wall_ms;
        let raised = versions
            .iter()
            .map(|(id, v)| vec![Stored::user_version(id, *v, now_ms)]);
        shared.set_many(raised.collect(), deadline).await;
    }

    fn tables(&self) -> &dyn Tables {
        &*self.parts.counters
    }
}

#[async_trait]
impl Consumer for Clickstream {
    async fn consume(&self, batch: Vec<StreamRecord>, deadline: &Deadline) -> BatchOutcome {
        let applied = self.apply(&batch, deadline).await;
        store::intake::settle(Self::NAME, &batch, applied, self.parts.clock.now().wall_ms)
    }
}

/// The windows of the users of one batch.
struct Windows {
    loaded: Vec<Loaded>,
    open: HashMap<String, Open>,
}

#[derive(Default)]
struct Open {
    window: Window,
    admitted: Vec<(List, Mark)>,
}

impl Windows {
    async fn load(
        tables: &dyn Tables,
        events: &[Placed],
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let mut ids: Vec<String> = events
            .iter()
            .map(|placed| Window::row_id(&placed.event.user_id))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let loaded = rows::load(tables, &ids, deadline).await?;
        let mut open = HashMap::with_capacity(loaded.len());
        for (id, row) in &loaded {
            let window = rows::readable(row.as_ref(), Window::decode)?;
            open.insert(
                id.clone(),
                Open {
                    window,
                    admitted: Vec::new(),
                },
            );
        }
        Ok(Self { loaded, open })
    }

    /// Nothing for a repetition; else whether the event counts in its hour's popularity.
    fn admit(&mut self, placed: &Placed) -> Option<bool> {
        let Placed {
            event,
            position,
            index,
            arrived_ms,
        } = placed;
        let open = self.open.entry(Window::row_id(&event.user_id)).or_default();
        let id = xxh3_64(event.event_id.as_bytes());
        let mut admit = |list, key| open.admit(list, Mark::new(key, position, *index, *arrived_ms));
        let first = admit(List::Ids, id);
        first.then(|| admit(List::Hours, popularity_key(event)))
    }

    async fn write(
        self,
        tables: &dyn Tables,
        expires_at_s: i64,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let Self { loaded, open } = self;
        rows::rewrite(tables, loaded, expires_at_s, deadline, |id, row| {
            let before = rows::readable(row, Window::decode)?;
            let mut after = before.clone();
            for (list, mark) in open.get(id).iter().flat_map(|open| &open.admitted) {
                after.admit(*list, *mark);
            }
            Ok((after != before).then(|| after.encode()))
        })
        .await
    }
}

impl Open {
    fn admit(&mut self, list: List, mark: Mark) -> bool {
        let admitted = self.window.admit(list, mark);
        if admitted {
            self.admitted.push((list, mark));
        }
        admitted
    }
}

/// One user counts once per video, kind and hour.
fn popularity_key(event: &Event) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(event.video_id.as_str().as_bytes());
    hash.update(&[0, event.kind.number()]);
    hash.update(&tally::hour(event.ts_ms).to_le_bytes());
    hash.digest()
}
