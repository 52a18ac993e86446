//! Kinesis batch in, user state and realtime features out.
//!
//! ```text
//! batch ─► decode ─► poison kept ─► what is applied already and repetitions dropped (window per user)
//!          (dead/…)                    ├─► counters by (video, shard), by (arm, day, shard)
//!                                      ├─► user states ─► user versions
//!                                      └─► last: windows     ─► now and then: hot videos of the shard
//! ```
//!
//! What it promises: every event counts once, whatever is replayed, split, enlarged or killed.
//! - A user's window remembers how far each shard is applied for that user, and is written after
//!   everything else: at or below that position there is nothing left to do.
//! - A repetition is an event id that the window has met.
//! - A counter's value and last position change in one conditional write; records at or below the
//!   position are skipped. One handler at a time applies a shard, in order.
//! - A failed write fails the batch from its first record, so nothing later fences off something
//!   earlier.
//! - User states are joins: applying an event twice, or late, changes nothing.
//!
//! Read in the order `lib`, `windows`, `window`, `tally`, `rows`, `heat`.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use engine::{Event, EventKind, UserId, UserState};
use guard::{Clock, Deadline};
use store::counters::ShardNames;
use store::intake::{Intake, Placed};
use store::redis::{Shared, Stored};
use store::{
    BatchOutcome, Consumer, DeadLetters, Error, ErrorKind, StreamRecord, Tables, Users, apply_event,
};

mod heat;
mod rows;
mod tally;
mod unheard;
pub mod window;
mod windows;

pub use heat::HOT_EVERY;

use heat::Heat;
use tally::Tally;
use unheard::Unheard;
use windows::Windows;

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
    heat: Heat,
    /// Shards whose name is known to be kept.
    named: Mutex<HashSet<String>>,
    unheard: Unheard,
}

impl Clickstream {
    /// The name of this consumer, in checkpoints and dead letters.
    pub const NAME: &'static str = "clickstream";

    /// A consumer over its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            heat: Heat::default(),
            named: Mutex::default(),
            unheard: Unheard::default(),
        }
    }

    async fn apply(&self, batch: &[StreamRecord], deadline: &Deadline) -> Result<(), Error> {
        let intake = Intake::decode(batch);
        self.parts.dead.keep(&intake.poison, deadline).await?;
        // What left the building is advice for the night; impressions tell what was seen.
        let mut events = intake.events;
        events.retain(|placed| placed.event.kind != EventKind::Served);
        self.name_shards(batch, deadline).await?;

        let mut windows = Windows::load(self.tables(), &events, deadline).await?;
        events.retain(|placed| !windows.has_applied(placed));
        let mut tally = Tally::default();
        for placed in &events {
            if let Some(firsts) = windows.admit(placed)
                && !placed.event.undo
            {
                tally.note(placed, firsts);
            }
        }
        let now_s = self.parts.clock.now().wall_ms.div_euclid(1_000);
        let (touched, ()) = futures_util::try_join!(
            tally.write(self.tables(), now_s, deadline),
            self.update_users(&events, deadline),
        )?;
        windows.write(self.tables(), now_s, deadline).await?;
        if let Some(first) = batch.first() {
            let (shard, clock) = (&first.position.shard, &*self.parts.clock);
            self.heat
                .tell(shard, touched, self.tables(), clock, deadline)
                .await;
        }
        Ok(())
    }

    /// Keeps the names of the batch's shards before anything is counted under them.
    async fn name_shards(&self, batch: &[StreamRecord], deadline: &Deadline) -> Result<(), Error> {
        let shards: BTreeSet<&String> = batch.iter().map(|record| &record.position.shard).collect();
        for shard in shards {
            let named = || self.named.lock().unwrap_or_else(PoisonError::into_inner);
            if named().contains(shard) {
                continue;
            }
            ShardNames::add(self.tables(), shard, deadline).await?;
            named().insert(shard.clone());
        }
        Ok(())
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

    /// The shared tier must not hold up the stream: what it does not hear now it is told again.
    async fn raise_versions(&self, versions: Vec<(UserId, u64)>, deadline: &Deadline) {
        let Some(shared) = &self.parts.shared else {
            return;
        };
        let now_ms = self.parts.clock.now().wall_ms;
        let versions = self.unheard.take_with(versions);
        let raised = versions
            .iter()
            .map(|(id, v)| vec![Stored::user_version(id, *v, now_ms)]);
        if shared.set_many(raised.collect(), deadline).await.failed > 0 {
            self.unheard.keep(versions);
        }
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
