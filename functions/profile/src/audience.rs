//! What the events of the lake make of each user, until it is joined into their states.

use std::collections::{HashMap, HashSet};

use engine::{Event, Profile, UserId, UserState};
use guard::Deadline;
use lake::LakeRow;
use store::{Error, ErrorKind, Read, Users, apply_event, apply_profile, join_state};

/// Users written between two looks at the deadline.
const USERS_PER_STEP: usize = 500;

/// A state per user met, made from the lake alone. Bounded by users times what a state remembers.
#[derive(Default)]
pub(crate) struct Audience {
    met: HashMap<UserId, UserState>,
}

impl Audience {
    /// Learns who of these was deleted, and when: what came before it is forgotten.
    pub async fn meet(
        &mut self,
        rows: &[LakeRow],
        users: &Users,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let mut strangers = HashSet::new();
        for row in rows {
            if !self.met.contains_key(&row.event.user_id) {
                strangers.insert(row.event.user_id.clone());
            }
        }
        let strangers: Vec<UserId> = strangers.into_iter().collect();
        let states = users.load(&strangers, Read::Consistent, deadline).await?;
        for (id, state) in strangers.into_iter().zip(states) {
            let tombstone_ms = state.and_then(|state| state.tombstone_ms);
            self.met.insert(
                id,
                UserState {
                    tombstone_ms,
                    ..UserState::default()
                },
            );
        }
        Ok(())
    }

    /// Joins an event of somebody met; false when it is from before their deletion.
    pub fn apply(&mut self, event: &Event) -> bool {
        let Some(state) = self.met.get_mut(&event.user_id) else {
            return false;
        };
        let forgotten = state
            .tombstone_ms
            .is_some_and(|gone_ms| event.ts_ms <= gone_ms);
        if !forgotten {
            apply_event(state, event);
        }
        !forgotten
    }

    /// Whether somebody met was deleted at this time or later.
    pub fn was_deleted(&self, user: &UserId, since_ms: i64) -> bool {
        let state = self.met.get(user);
        let gone_ms = state.and_then(|state| state.tombstone_ms);
        gone_ms.is_some_and(|gone_ms| gone_ms >= since_ms)
    }

    /// Joins what was learnt into the users' states, many at a time. Answers how many changed.
    pub async fn write(
        self,
        profiles: Vec<(UserId, Profile)>,
        as_of_ms: i64,
        users: &Users,
        deadline: &Deadline,
    ) -> Result<usize, Error> {
        let profiles: HashMap<UserId, Profile> = profiles.into_iter().collect();
        let mut met: Vec<(UserId, UserState)> = self.met.into_iter().collect();
        // In the order of their rows, so that one call touches neighbours.
        met.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut changed = 0;
        for chunk in met.chunks(USERS_PER_STEP) {
            let ids: Vec<UserId> = chunk.iter().map(|(id, _)| id.clone()).collect();
            let mut touched = HashSet::new();
            let join = |at: usize, state: &mut UserState| {
                let Some((id, learnt)) = chunk.get(at) else {
                    return false;
                };
                let profile = profiles.get(id);
                let joined = join_state(state, learnt)
                    | profile.is_some_and(|profile| apply_profile(state, profile, as_of_ms));
                if joined {
                    touched.insert(at);
                }
                joined
            };
            for answer in users.update_many(&ids, deadline, join).await? {
                match answer {
                    Ok(_) => {}
                    // One unreadable row does not keep a night from everybody else.
                    Err(error) if error.kind == ErrorKind::Corrupt => {
                        tracing::error!(error = %error, "a user's row is damaged and was left alone");
                    }
                    Err(error) => return Err(error),
                }
            }
            changed += touched.len();
            tokio::task::yield_now().await;
        }
        Ok(changed)
    }
}
