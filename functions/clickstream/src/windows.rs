//! The windows of the users of one batch.

use std::collections::HashMap;

use engine::Event;
use guard::Deadline;
use smol_str::SmolStr;
use store::counters::{KEPT_S, Place, day_of};
use store::intake::Placed;
use store::{Error, Tables};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::rows::{self, Loaded};
use crate::tally::{self, Firsts, arms_of, place_of};
use crate::window::{List, Mark, Window};

/// The windows of the users of one batch, as they were and as they will be.
pub(crate) struct Windows {
    loaded: Vec<Loaded>,
    open: HashMap<String, Open>,
}

#[derive(Default)]
struct Open {
    window: Window,
    admitted: Vec<(List, Mark)>,
    /// How far each shard of the batch goes for this user.
    reached: Vec<(String, Place)>,
}

impl Windows {
    /// Reads the windows of everybody in the batch.
    pub async fn load(
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
            let fresh = Open {
                window,
                ..Open::default()
            };
            open.insert(id.clone(), fresh);
        }
        Ok(Self { loaded, open })
    }

    /// Whether an earlier attempt has applied this event, down to its last write.
    pub fn has_applied(&self, placed: &Placed) -> bool {
        let id = Window::row_id(&placed.event.user_id);
        let shard = &placed.position.shard;
        self.open
            .get(&id)
            .is_some_and(|open| open.window.has_applied(shard, &place_of(placed)))
    }

    /// Nothing for an event that its user has sent before; else what is new about it.
    pub fn admit(&mut self, placed: &Placed) -> Option<Firsts> {
        let Placed {
            event,
            position,
            arrived_ms,
            ..
        } = placed;
        let open = self.open.entry(Window::row_id(&event.user_id)).or_default();
        open.reach(&position.shard, place_of(placed));
        let mut admit = |list, hash| open.admit(list, Mark::new(hash, *arrived_ms));
        if !admit(List::Ids, xxh3_64(event.event_id.as_bytes())) {
            return None;
        }
        // What is taken back changes the user's state; it was interest all the same.
        if event.undo {
            return Some(Firsts::default());
        }
        let popular = admit(List::Firsts, popularity_key(event));
        let arms = arms_of(event).map(|arm| {
            let (any, kind) = arm_keys(event, arm);
            let firsts = [admit(List::Firsts, any), admit(List::Firsts, kind)];
            (SmolStr::new(arm), firsts)
        });
        let arms = arms.collect();
        Some(Firsts { popular, arms })
    }

    /// Writes the windows, and with them that everything of the batch is applied: so they come last.
    pub async fn write(
        self,
        tables: &dyn Tables,
        now_s: i64,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let Self { loaded, open } = self;
        rows::rewrite(tables, loaded, now_s + KEPT_S, deadline, |id, row| {
            let before = rows::readable(row, Window::decode)?;
            let mut after = before.clone();
            if let Some(open) = open.get(id) {
                for (list, mark) in &open.admitted {
                    after.admit(*list, *mark);
                }
                for (shard, place) in &open.reached {
                    after.apply_to(shard, place);
                }
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

    fn reach(&mut self, shard: &str, place: Place) {
        match self.reached.iter_mut().find(|(known, _)| known == shard) {
            Some((_, reached)) if *reached < place => *reached = place,
            Some(_) => {}
            None => self.reached.push((shard.to_owned(), place)),
        }
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

/// One user counts once per arm and day, and once per arm, day and kind.
fn arm_keys(event: &Event, arm: &str) -> (u64, u64) {
    let mut hash = Xxh3::new();
    hash.update(b"arm\0");
    hash.update(arm.as_bytes());
    hash.update(&day_of(event.ts_ms).to_le_bytes());
    let any = hash.digest();
    hash.update(&[event.kind.number()]);
    (any, hash.digest())
}
