//! What survives between requests.

use std::sync::Arc;
use std::time::Duration;

use engine::{Rung, UserId, UserState};
use guard::{Breaker, Clock, Deadline};
use http::Extensions;
use http::request::Parts as RequestParts;
use store::{
    Catalogue, GenerationReader, LiveTuning, Outbox, Read, Shared, Tiered, Tuning, Unread, Upkeep,
    Users, guarded,
};
use web::{Ids, Prefix, Shell, Signer};

use crate::limits::Limits;
use crate::pages::Pages;
use crate::reading::Reading;

/// How long a body may take to arrive.
const BODY_BUDGET: Duration = Duration::from_secs(5);

/// The rungs in their order.
const RUNGS: [Rung; 5] = [
    Rung::Personal,
    Rung::Stale,
    Rung::Cohort,
    Rung::Trending,
    Rung::Builtin,
];

/// What an [`App`] is made of.
pub struct Parts {
    /// Where slates come from.
    pub tiered: Tiered,
    /// Videos, and what was hidden a moment ago.
    pub catalogue: Arc<Catalogue>,
    /// Users' state, for histories.
    pub users: Users,
    /// The mapped generation.
    pub generations: Arc<GenerationReader>,
    /// The hot document.
    pub tuning: Arc<LiveTuning>,
    /// Keeps generation and tuning fresh while requests pass; none where a timer does.
    pub upkeep: Option<Upkeep>,
    /// Takes `served` events.
    pub outbox: Arc<Outbox>,
    /// Signs cursors and item tokens; `ingest` needs the same key.
    pub signer: Signer,
    /// What `/health/ready` reports on.
    pub dependencies: Vec<Dependency>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Ids and explored items follow from it (see [`web::system_seed`]).
    pub seed: u64,
}

/// A dependency whose state can be told without asking it.
pub struct Dependency {
    /// Its name: `redis`.
    pub name: &'static str,
    /// One word for its state: `closed`, `half_open`, `open`, `ok`.
    pub state: Box<dyn Fn() -> &'static str + Send + Sync>,
}

impl Dependency {
    /// Everything that a breaker stands before: Redis where there is one, and the table of users.
    #[must_use]
    pub fn all(redis: Option<Shared>, users: Breaker) -> Vec<Self> {
        let redis = redis.map(|shared| Self {
            name: "redis",
            state: Box::new(move || shared.state().as_str()),
        });
        let users = Self {
            name: "users",
            state: Box::new(move || users.state().as_str()),
        };
        redis.into_iter().chain([users]).collect()
    }
}

/// The function: what handlers share.
pub struct App {
    pub(crate) tiered: Tiered,
    pub(crate) catalogue: Arc<Catalogue>,
    users: Users,
    /// Of the catalogue's rows.
    pub(crate) videos: Breaker,
    pub(crate) generations: Arc<GenerationReader>,
    tuning: Arc<LiveTuning>,
    upkeep: Option<Upkeep>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) signer: Signer,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) reading: Reading,
    pub(crate) pages: Pages,
    /// Answers by rung, best first.
    pub(crate) slates: [metrics::Counter; 5],
    pub(crate) ids: Ids,
    pub(crate) shell: Arc<Shell>,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let tuning = parts.tuning.snapshot();
        let videos = Breaker::new("videos", tuning.guard.breaker, Arc::clone(&parts.clock));
        let limits = Limits::new(&tuning, &parts.tiered, &parts.clock);
        Arc::new(Self {
            limits,
            videos,
            reading: Reading::default(),
            pages: Pages::default(),
            slates: RUNGS
                .map(|rung| metrics::counter!(ops::metric::SLATES, "rung" => rung.as_str())),
            ids: Ids::seeded(parts.seed),
            // Another sequence than that of the slates.
            shell: Arc::new(Shell::new(
                Arc::clone(&parts.clock),
                parts.seed.rotate_left(32),
            )),
            tiered: parts.tiered,
            catalogue: parts.catalogue,
            users: parts.users,
            generations: parts.generations,
            tuning: parts.tuning,
            upkeep: parts.upkeep,
            outbox: parts.outbox,
            signer: parts.signer,
            dependencies: parts.dependencies,
            clock: parts.clock,
        })
    }

    /// The tuning of one request, and a look at whether anything has to be kept fresh.
    pub(crate) fn tuning(&self) -> Arc<Tuning> {
        if let Some(upkeep) = &self.upkeep {
            upkeep.pass();
        }
        self.tuning.snapshot()
    }

    /// The deadline of a request: the tuned budget, within the host's deadline if it named one.
    pub(crate) fn deadline(&self, tuning: &Tuning, extensions: &Extensions) -> Deadline {
        let budget = Duration::from_millis(u64::from(tuning.engine.budgets.request_ms));
        self.within(budget, extensions)
    }

    /// The deadline of a body's arrival.
    pub(crate) fn body_deadline(&self, extensions: &Extensions) -> Deadline {
        self.within(BODY_BUDGET, extensions)
    }

    fn within(&self, budget: Duration, extensions: &Extensions) -> Deadline {
        match extensions.get::<Deadline>() {
            Some(host) => host.child(budget),
            None => Deadline::after(Arc::clone(&self.clock), budget),
        }
    }

    /// A user's state, unless users' state is left alone for a moment.
    pub(crate) async fn user(
        &self,
        user: &UserId,
        tuning: &Tuning,
        deadline: &Deadline,
    ) -> Result<Option<UserState>, Unread> {
        let (users, one) = (&self.users, std::slice::from_ref(user));
        let read = guarded(
            self.tiered.users_breaker(),
            tuning,
            deadline,
            |deadline| async move { users.load(one, Read::Eventual, &deadline).await },
        );
        Ok(read.await?.into_iter().next().flatten())
    }

    /// The client's network.
    pub(crate) fn prefix(&self, parts: &RequestParts) -> Option<Prefix> {
        Prefix::of(&parts.headers, &parts.extensions)
    }
}
