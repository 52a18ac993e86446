//! The windows of the users of one batch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use engine::event::LONG_VIEW_MS;
use engine::{Event, UserId};
use guard::Deadline;
use smol_str::SmolStr;
use store::counters::{KEPT_S, Place, day_of};
use store::intake::Placed;
use store::{Error, Row, Tables};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::rows::{self, Loaded};
use crate::tally::{self, ArmFirsts, Firsts, arms_of};
use crate::window::{List, Mark, Window};

/// The windows of the users of one batch, as they were and as they will be.
pub(crate) struct Windows {
    loaded: Vec<Loaded>,
    /// In the order of `loaded`.
    open: Vec<Open>,
    /// Whose window is which.
    of_user: HashMap<UserId, usize>,
}

/// One window and what this batch does to it.
struct Open {
    window: Window,
    admitted: Vec<(List, Mark)>,
    /// How far each shard of the batch goes for this user.
    reached: Vec<(SmolStr, Place)>,
    /// The window is what the row held, with what was admitted: not so after a conflict.
    fresh: bool,
}

impl Windows {
    /// Reads the windows of everybody in the batch.
    pub async fn load(
        tables: &dyn Tables,
        events: &[Placed],
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        // Two users may share a window.
        let (mut of_user, mut of_row) = (HashMap::new(), HashMap::new());
        let mut ids = Vec::new();
        for Placed { event, .. } in events {
            if of_user.contains_key(&event.user_id) {
                continue;
            }
            let at = match of_row.entry(Window::row_id(&event.user_id)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    ids.push(new.key().clone());
                    *new.insert(ids.len() - 1)
                }
            };
            of_user.insert(event.user_id.clone(), at);
        }
        let loaded = rows::load(tables, &ids, deadline).await?;
        let open = loaded.iter().map(|(_, row)| Open::of(row.as_ref()));
        let open = open.collect::<Result<_, _>>()?;
        Ok(Self {
            loaded,
            open,
            of_user,
        })
    }

    /// Whether an earlier attempt has applied this event, down to its last write.
    pub fn has_applied(&self, placed: &Placed) -> bool {
        let at = self.of_user.get(&placed.event.user_id);
        let open = at.and_then(|at| self.open.get(*at));
        open.is_some_and(|open| open.window.has_applied(&placed.shard, &placed.place))
    }

    /// Nothing for an event that its user has sent before; else what is new about it.
    pub fn admit(&mut self, placed: &Placed) -> Option<Firsts> {
        let Placed {
            event, arrived_ms, ..
        } = placed;
        // Everybody in the batch has a window.
        let at = self.of_user.get(&event.user_id)?;
        let open = self.open.get_mut(*at)?;
        open.reach(&placed.shard, &placed.place);
        let mut admit = |list, hash| open.admit(list, Mark::new(hash, *arrived_ms));
        if !admit(List::Ids, xxh3_64(event.event_id.as_bytes())) {
            return None;
        }
        // What is taken back changes the user's state; it was interest all the same.
        if event.undo {
            return Some(Firsts::default());
        }
        let popular = admit(List::Firsts, popularity_key(event));
        // Of its own: whoever first watched for a moment may watch to the end later in the hour.
        let long_view =
            event.is_long_view(LONG_VIEW_MS) && admit(List::Firsts, long_view_key(event));
        let arms = arms_of(event).map(|arm| {
            let (any, kind) = arm_keys(event, arm);
            ArmFirsts {
                arm: SmolStr::new(arm),
                any: admit(List::Firsts, any),
                of_kind: admit(List::Firsts, kind),
            }
        });
        let arms = arms.collect();
        Some(Firsts {
            popular,
            long_view,
            arms,
        })
    }

    /// Writes the windows, and with them that everything of the batch is applied: so they come last.
    pub async fn write(
        self,
        tables: &dyn Tables,
        now_s: i64,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let Self {
            loaded, mut open, ..
        } = self;
        let places = loaded.iter().enumerate();
        let places: HashMap<String, usize> = places.map(|(at, (id, _))| (id.clone(), at)).collect();
        rows::rewrite(tables, loaded, now_s + KEPT_S, deadline, |id, row| {
            let open = places.get(id).and_then(|at| open.get_mut(*at));
            open.map_or(Ok(None), |open| open.rewritten(row))
        })
        .await
    }
}

impl Open {
    fn of(row: Option<&Row>) -> Result<Self, Error> {
        Ok(Self {
            window: rows::readable(row, Window::decode)?,
            admitted: Vec::new(),
            reached: Vec::new(),
            fresh: true,
        })
    }

    fn admit(&mut self, list: List, mark: Mark) -> bool {
        let admitted = self.window.admit(list, mark);
        if admitted {
            self.admitted.push((list, mark));
        }
        admitted
    }

    fn reach(&mut self, shard: &SmolStr, place: &Place) {
        match self.reached.iter_mut().find(|(known, _)| known == shard) {
            Some((_, reached)) if *reached < *place => *reached = place.clone(),
            Some(_) => {}
            None => self.reached.push((shard.clone(), place.clone())),
        }
    }

    /// The row as this batch leaves it; nothing where nothing changes.
    fn rewritten(&mut self, row: Option<&Row>) -> Result<Option<bytes::Bytes>, Error> {
        let mut changed = !self.admitted.is_empty();
        if !std::mem::take(&mut self.fresh) {
            // Somebody else wrote it: the batch's part is joined with what is there now.
            self.window = rows::readable(row, Window::decode)?;
            changed = false;
            for (list, mark) in &self.admitted {
                changed |= self.window.admit(*list, *mark);
            }
        }
        for (shard, place) in &self.reached {
            changed |= self.window.apply_to(shard, place);
        }
        Ok(changed.then(|| self.window.encode()))
    }
}

/// One user counts once per video, kind and hour.
fn popularity_key(event: &Event) -> u64 {
    hourly_key(event, [0, event.kind.number()])
}

/// One user's long views count once per video and hour.
fn long_view_key(event: &Event) -> u64 {
    hourly_key(event, [1, 0])
}

fn hourly_key(event: &Event, of: [u8; 2]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(event.video_id.as_str().as_bytes());
    hash.update(&of);
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
