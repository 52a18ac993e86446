//! User versions that the shared tier has not heard of.
//!
//! A version that is never raised leaves an old slate believed until it expires. So what could not
//! be said is said again with the next batch.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use engine::UserId;

/// Users that are remembered. Of more some are forgotten, and answered from old slates until these
/// expire.
const USERS_MAX: usize = 20_000;

#[derive(Debug, Default)]
pub(crate) struct Unheard(Mutex<HashMap<UserId, u64>>);

impl Unheard {
    /// Takes what is to be said: these versions, and what nobody has heard yet.
    pub fn take_with(&self, versions: Vec<(UserId, u64)>) -> Vec<(UserId, u64)> {
        let mut all = std::mem::take(&mut *self.lock());
        for (user, version) in versions {
            let known = all.entry(user).or_default();
            *known = version.max(*known);
        }
        all.into_iter().collect()
    }

    /// Keeps what could not be said.
    pub fn keep(&self, versions: Vec<(UserId, u64)>) {
        let mut kept = self.lock();
        let lost = (kept.len() + versions.len()).saturating_sub(USERS_MAX);
        for (user, version) in versions.into_iter().skip(lost) {
            let known = kept.entry(user).or_default();
            *known = version.max(*known);
        }
        if lost > 0 {
            tracing::warn!(lost, "slates of users are believed although they are old");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> UserId {
        UserId::parse(&format!("u{number}")).unwrap()
    }

    #[test]
    fn what_was_not_heard_is_said_again_at_its_highest_and_once() {
        let unheard = Unheard::default();
        unheard.keep(vec![(user(1), 7), (user(2), 3)]);
        unheard.keep(vec![(user(1), 5)]);
        let mut said = unheard.take_with(vec![(user(2), 4), (user(3), 1)]);
        said.sort_unstable();
        assert_eq!(said, [(user(1), 7), (user(2), 4), (user(3), 1)]);
        assert_eq!(unheard.take_with(Vec::new()), []);
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let unheard = Unheard::default();
        let many = |from| (from..from + USERS_MAX).map(|n| (user(n), 1)).collect();
        unheard.keep(many(0));
        unheard.keep(many(10));
        assert_eq!(unheard.take_with(Vec::new()).len(), USERS_MAX);
    }
}
