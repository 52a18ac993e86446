//! Making a slate anew while the old one is served.

use std::sync::Arc;

use futures_util::FutureExt;
use guard::Deadline;
use ops::metric::EARLY_REFRESHES;

use super::load::Mode;
use super::{Inner, REFRESH_PAUSE, load_budget};
use crate::ask::{Ask, SlateKey};
use crate::local::Held;
use crate::tuning::Tuning;

impl Inner {
    /// Starts the one refresh of a stale slate and does not wait for it.
    pub(super) fn refresh(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        key: SlateKey,
        held: &Held,
        tuning: &Arc<Tuning>,
        deadline: &Deadline,
    ) {
        if held.claim_refresh(self.clock.now().wall_ms, REFRESH_PAUSE) {
            self.start_refresh(ask, key, Mode::Refresh, tuning, deadline);
        }
    }

    /// Starts the one early refresh of a hot slate and does not wait for it.
    pub(super) fn refresh_early(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        key: SlateKey,
        held: &Held,
        tuning: &Arc<Tuning>,
        deadline: &Deadline,
    ) {
        if held.claim_early(self.clock.now().wall_ms, REFRESH_PAUSE) {
            metrics::counter!(EARLY_REFRESHES).increment(1);
            let mode = Mode::Early {
                of_ms: held.confirmed_at_ms(),
            };
            self.start_refresh(ask, key, mode, tuning, deadline);
        }
    }

    fn start_refresh(
        self: &Arc<Self>,
        ask: &Arc<Ask>,
        key: SlateKey,
        mode: Mode,
        tuning: &Arc<Tuning>,
        deadline: &Deadline,
    ) {
        let (inner, asked, tuning) = (Arc::clone(self), Arc::clone(ask), Arc::clone(tuning));
        let budget = load_budget(&tuning);
        // Nobody waits: looked at once, the flight is begun, and it is detached.
        let _ = self
            .refreshes
            .run(key, deadline, budget, move || async move {
                inner.load(asked, key, mode, tuning).await
            })
            .now_or_never();
    }
}
