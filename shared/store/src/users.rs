//! Users' state: one compact row per user, changed by compare-and-swap.
//!
//! ```text
//! events ──► join::apply_event ──► UserState ──► row (protobuf, ≤ 4 KB) ──► Tables
//! ```
//!
//! The state is a join of events: any order and any repetition end in the same state.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use engine::{UserId, UserState};
use guard::Deadline;
use metrics::counter;

use crate::ports::{Change, Expect, Read, Row, Table, Tables, Write, Written};
use crate::{Error, ErrorKind};

mod join;
mod row;

pub use join::{apply_event, apply_profile, join_state};
pub use row::USER_BYTES_MAX;

/// Users per call to the store, which has some of them under way at a time.
pub const USERS_PER_CALL_MAX: usize = 1_000;
/// How often a change is tried again when others write the same user.
pub const UPDATE_ATTEMPTS_MAX: u32 = 8;
/// How long a deleted user's tombstone stays: longer than any event that could bring them back.
pub const TOMBSTONE_KEPT_S: i64 = 400 * 24 * 3_600;

/// Users' state by id.
#[derive(Clone)]
pub struct Users {
    tables: Arc<dyn Tables>,
}

/// A part of all users.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserPage {
    /// Users in no order, without the deleted and the unreadable.
    pub users: Vec<(UserId, UserState)>,
    /// Pass it to go on; `None` at the end.
    pub next: Option<String>,
}

impl Users {
    /// Users in the given tables.
    #[must_use]
    pub fn new(tables: Arc<dyn Tables>) -> Self {
        Self { tables }
    }

    /// Loads users in the order of `ids`; `None` for the unknown.
    ///
    /// A row that cannot be read is counted and answered as unknown: it costs that user their
    /// personal slate, not everybody's. A deleted user has a state with a tombstone.
    ///
    /// # Errors
    /// The table's.
    pub async fn load(
        &self,
        ids: &[UserId],
        read: Read,
        deadline: &Deadline,
    ) -> Result<Vec<Option<UserState>>, Error> {
        let mut states = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(USERS_PER_CALL_MAX) {
            let names: Vec<String> = chunk.iter().map(ToString::to_string).collect();
            let rows = self
                .tables
                .load(Table::Users, &names, read, deadline)
                .await?;
            states.extend(rows.iter().map(|row| row.as_ref().and_then(readable)));
        }
        Ok(states)
    }

    /// Changes one user; `change` says whether it did. Returns the version of the state then stored,
    /// 0 when there is none.
    ///
    /// # Errors
    /// The table's; `Corrupt` or `Invalid` when the row cannot be read and so must not be written
    /// over; `Unavailable` when others kept writing first.
    pub async fn update(
        &self,
        id: &UserId,
        deadline: &Deadline,
        mut change: impl FnMut(&mut UserState) -> bool + Send,
    ) -> Result<u64, Error> {
        let one = std::slice::from_ref(id);
        let mut done = self
            .update_many(one, deadline, |_, state| change(state))
            .await?;
        done.pop()
            .unwrap_or_else(|| Err(Error::new(ErrorKind::Unavailable, "update a user")))
    }

    /// Changes several distinct users, in one load and one write per [`USERS_PER_CALL_MAX`] of them;
    /// `change` gets a place in `ids` and may be called again for it. Answers in the order of `ids`.
    ///
    /// # Errors
    /// As [`Self::update`], per user; the whole is `Err` when nothing could be loaded or an id comes
    /// twice.
    pub async fn update_many(
        &self,
        ids: &[UserId],
        deadline: &Deadline,
        mut change: impl FnMut(usize, &mut UserState) -> bool + Send,
    ) -> Result<Vec<Result<u64, Error>>, Error> {
        if ids.iter().collect::<HashSet<_>>().len() != ids.len() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "update users: one comes twice",
            ));
        }
        let mut answers = Vec::with_capacity(ids.len());
        for (chunk_at, chunk) in ids.chunks(USERS_PER_CALL_MAX).enumerate() {
            let first = chunk_at * USERS_PER_CALL_MAX;
            let mut shifted = |at: usize, state: &mut UserState| change(first + at, state);
            answers.extend(self.update_chunk(chunk, deadline, &mut shifted).await?);
        }
        Ok(answers)
    }

    /// Forgets a user: what is left is a tombstone that older events cannot pass. Returns its version.
    ///
    /// # Errors
    /// The table's; `Unavailable` when others kept writing first.
    pub async fn forget(
        &self,
        id: &UserId,
        now_ms: i64,
        deadline: &Deadline,
    ) -> Result<u64, Error> {
        for attempt in 0..UPDATE_ATTEMPTS_MAX {
            pause(attempt, deadline).await?;
            let names = [id.to_string()];
            let rows = self
                .tables
                .load(Table::Users, &names, Read::Consistent, deadline)
                .await?;
            let row = rows.into_iter().next().flatten();
            // Deleting must work on rows that nobody can read, too.
            let earlier = row.as_ref().and_then(|row| row::decode(&row.bytes).ok());
            let earlier = earlier
                .and_then(|state| state.tombstone_ms)
                .unwrap_or(i64::MIN);
            let tombstone_ms = Some(earlier.max(now_ms));
            let state = UserState {
                tombstone_ms,
                ..UserState::default()
            };
            let [name] = names;
            let write = Write {
                id: name,
                expect: expect(row.as_ref()),
                change: put(&state),
            };
            let written = self
                .tables
                .write(Table::Users, vec![write], deadline)
                .await?;
            match written.into_iter().next() {
                Some(Ok(Written::Done(version))) => return Ok(version),
                Some(Err(error)) => return Err(error),
                Some(Ok(Written::Conflict)) | None => {}
            }
        }
        Err(contended())
    }

    /// Walks all users, at most `limit` rows a page. Never used while answering a request.
    ///
    /// # Errors
    /// The table's.
    pub async fn scan(
        &self,
        after: Option<String>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<UserPage, Error> {
        let page = self
            .tables
            .scan(Table::Users, after, limit, deadline)
            .await?;
        let known = |(id, row): (String, Row)| {
            let state =
                readable(&row).filter(|state| state.tombstone_ms.is_none() || state.updated_ms > 0);
            UserId::parse(&id).ok().zip(state)
        };
        Ok(UserPage {
            users: page.rows.into_iter().filter_map(known).collect(),
            next: page.next,
        })
    }

    async fn update_chunk(
        &self,
        ids: &[UserId],
        deadline: &Deadline,
        change: &mut (impl FnMut(usize, &mut UserState) -> bool + Send),
    ) -> Result<Vec<Result<u64, Error>>, Error> {
        let mut answers: Vec<Option<Result<u64, Error>>> = ids.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..ids.len()).collect();
        for attempt in 0..UPDATE_ATTEMPTS_MAX {
            pause(attempt, deadline).await?;
            let named = open.iter().filter_map(|at| ids.get(*at));
            let names: Vec<String> = named.map(ToString::to_string).collect();
            let rows = self
                .tables
                .load(Table::Users, &names, Read::Consistent, deadline)
                .await?;
            let (mut places, mut writes) = (Vec::new(), Vec::new());
            for ((at, name), row) in open.drain(..).zip(names).zip(rows) {
                match changed(at, row.as_ref(), change) {
                    Ok(Some(state)) => {
                        places.push(at);
                        let (expect, change) = (expect(row.as_ref()), put(&state));
                        writes.push(Write {
                            id: name,
                            expect,
                            change,
                        });
                    }
                    Ok(None) => answer(&mut answers, at, Ok(row.map_or(0, |row| row.version))),
                    Err(error) => answer(&mut answers, at, Err(error)),
                }
            }
            if writes.is_empty() {
                break;
            }
            let written = self.tables.write(Table::Users, writes, deadline).await?;
            for (at, written) in places.into_iter().zip(written) {
                match written {
                    Ok(Written::Done(version)) => answer(&mut answers, at, Ok(version)),
                    Ok(Written::Conflict) => open.push(at),
                    Err(error) => answer(&mut answers, at, Err(error)),
                }
            }
            if open.is_empty() {
                break;
            }
        }
        Ok(answers
            .into_iter()
            .map(|done| done.unwrap_or_else(|| Err(contended())))
            .collect())
    }
}

/// Applies the change to what the row holds; `None` when nothing changed.
fn changed(
    at: usize,
    row: Option<&Row>,
    change: &mut impl FnMut(usize, &mut UserState) -> bool,
) -> Result<Option<UserState>, Error> {
    let mut state = row.map(decoded).transpose()?.unwrap_or_default();
    Ok(change(at, &mut state).then_some(state))
}

fn answer(answers: &mut [Option<Result<u64, Error>>], at: usize, with: Result<u64, Error>) {
    if let Some(slot) = answers.get_mut(at) {
        *slot = Some(with);
    }
}

fn decoded(row: &Row) -> Result<UserState, Error> {
    row::decode(&row.bytes).map(|state| UserState {
        version: row.version,
        ..state
    })
}

fn readable(row: &Row) -> Option<UserState> {
    decoded(row)
        .inspect_err(|error| {
            counter!(ops::metric::ROWS_UNREADABLE, "table" => "users").increment(1);
            tracing::warn!(
                error.kind = error.kind.as_str(),
                "a user's row cannot be read"
            );
        })
        .ok()
}

fn expect(row: Option<&Row>) -> Expect {
    row.map_or(Expect::Absent, |row| Expect::Version(row.version))
}

fn put(state: &UserState) -> Change {
    let gone = state.tombstone_ms.filter(|_| state.updated_ms == 0);
    let expires_at_s = gone.map(|ms| ms.div_euclid(1_000).saturating_add(TOMBSTONE_KEPT_S));
    Change::Put {
        bytes: row::encode(state),
        expires_at_s,
    }
}

fn contended() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "update a user: others kept writing first",
    )
}

/// Lets the others finish before a repeated attempt: 0, 1, 2, 4 … 32 ms.
async fn pause(attempt: u32, deadline: &Deadline) -> Result<(), Error> {
    let Some(doublings) = attempt.checked_sub(1) else {
        return Ok(());
    };
    let pause = Duration::from_millis(1 << doublings.min(5));
    let waited = deadline.limit(tokio::time::sleep(pause)).await;
    waited.map_err(|elapsed| Error::elapsed(elapsed, "update a user"))
}

#[cfg(test)]
mod tests;
