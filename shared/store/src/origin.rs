//! The tier below all others: makes slates from user state and the mapped index.
//!
//! ```text
//!            a user with tastes ──► personal
//!            a user with a profile only ──► their cohort ┐ still without what
//!            a user with neither ──► the market's trending ┘ they met or hid
//! nobody, or a user nothing is known of ──► the market's trending
//!                              no index ──► the built-in list
//! ```
//!
//! Making a slate for many cannot fail. Making one for a user fails when the user's state cannot be
//! read; what to answer then is the tiers' business, who know what else there is.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use engine::pipeline::Explained;
use engine::slate::SLATE_ITEMS_MAX;
use engine::{
    Index, Item, Pipeline, Query, Ranked, Reason, ReasonKind, Recipe, Rung, Slate, StageReport,
    UserId, UserState, VideoId,
};
use guard::{Breaker, Clock, Deadline};
use smol_str::{SmolStr, format_smolstr};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Cohort;
use crate::ask::{Ask, Kind, Who};
use crate::catalogue::Catalogue;
use crate::generation::GenerationReader;
use crate::guarded::{Unread, guarded};
use crate::ports::Read;
use crate::tuning::Tuning;
use crate::users::Users;
use crate::{Error, ErrorKind};

mod known;
mod plan;

pub use known::Known;

use plan::{cohort_of, plan};

/// Causes that say how the catalogue is, not how we are: slates with only these are whole.
const HARMLESS: [&str; 2] = ["size_not_enough", "all_seen"];

/// What an origin is made of.
pub struct OriginParts {
    /// Users' state.
    pub users: Users,
    /// What is hidden since the index was built.
    pub catalogue: Arc<Catalogue>,
    /// The mapped index.
    pub generations: Arc<GenerationReader>,
    /// How recommendations are made.
    pub pipeline: Arc<Pipeline>,
    /// Guards the reading of users' state.
    pub breaker: Breaker,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is shown as long as no index could be mapped, best first; may be empty.
    pub builtin: Vec<VideoId>,
}

/// Makes slates.
pub struct Origin {
    parts: OriginParts,
    hidden: ArcSwap<HashSet<VideoId>>,
}

/// What came of making a slate.
#[derive(Debug, Clone)]
pub enum Made {
    /// A slate.
    Slate(MadeSlate),
    /// Nothing is known of the user; everybody's slate is theirs.
    Absent {
        /// The version of the user's empty state; 0 when there is none.
        version: u64,
    },
}

/// A slate and what is to be known about its making.
#[derive(Debug, Clone)]
pub struct MadeSlate {
    /// The slate.
    pub slate: Slate,
    /// The stages in their order.
    pub stages: Vec<StageReport>,
    /// How each item came to its score.
    pub explained: Vec<Explained>,
}

impl MadeSlate {
    /// Whether nothing had to be given up that might succeed the next time.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let harmless = |cause: &SmolStr| HARMLESS.contains(&cause.as_str());
        self.slate.rung != Rung::Builtin && self.slate.degraded.iter().all(harmless)
    }
}

impl Origin {
    /// An origin of these parts.
    #[must_use]
    pub fn new(parts: OriginParts) -> Self {
        Self {
            parts,
            hidden: ArcSwap::default(),
        }
    }

    /// The breaker of users' state, for those who read it besides.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.parts.breaker
    }

    /// The mapped index.
    #[must_use]
    pub fn index(&self) -> Option<Arc<Index>> {
        self.parts.generations.current()
    }

    /// Makes a slate. A user's state is read again, consistently, when it is older than
    /// `version_min`.
    ///
    /// # Errors
    /// The cause, for `degraded`, when the user's state could not be read.
    pub async fn make(
        &self,
        ask: &Ask,
        version_min: u64,
        tuning: &Tuning,
        deadline: &Deadline,
    ) -> Result<Made, SmolStr> {
        let Some(index) = self.index() else {
            return Ok(Made::Slate(self.without_index(ask)));
        };
        let known = async {
            match ask.user() {
                Some(user) => match self.state(user, version_min, tuning, deadline).await {
                    Ok(state) => Ok(Known::of(state)),
                    Err(unread) => Err(unread.cause("users")),
                },
                None => Ok(Known::Nobody),
            }
        };
        let (known, hidden) = futures_util::join!(known, self.hidden(deadline));
        Ok(self
            .cook(ask, known?, &index, hidden, tuning, deadline)
            .await)
    }

    /// Makes a slate for a user whose state the caller has read, or for nobody in particular.
    pub async fn make_known(
        &self,
        ask: &Ask,
        state: Option<UserState>,
        tuning: &Tuning,
        deadline: &Deadline,
    ) -> Made {
        let Some(index) = self.index() else {
            return Made::Slate(self.without_index(ask));
        };
        let known = if ask.user().is_some() {
            Known::of(state)
        } else {
            Known::Nobody
        };
        let hidden = self.hidden(deadline).await;
        self.cook(ask, known, &index, hidden, tuning, deadline)
            .await
    }

    /// Reads users' state for [`Origin::make_known`], without the breaker: jobs wait.
    ///
    /// # Errors
    /// The table's.
    pub async fn states(
        &self,
        users: &[UserId],
        deadline: &Deadline,
    ) -> Result<Vec<Option<UserState>>, Error> {
        self.parts.users.load(users, Read::Eventual, deadline).await
    }

    /// The last rung: needs nobody and no time. Without categories it is the most liked of the
    /// index, or the list of the package; what it cannot narrow down it does not show.
    #[must_use]
    pub fn builtin(&self, ask: &Ask) -> Slate {
        let now_ms = self.parts.clock.now().wall_ms;
        let index = self.index();
        let hidden = self.hidden.load();
        let hides = |id: &str| VideoId::parse(id).is_ok_and(|id| hidden.contains(&id));
        let mut slate = engine::builtin(index.as_deref(), &ask.market, now_ms, hides);
        if index.is_none() {
            let shown = self.parts.builtin.iter().filter(|id| !hidden.contains(*id));
            slate.items = shown
                .take(SLATE_ITEMS_MAX)
                .enumerate()
                .map(builtin_item)
                .collect();
        }
        if !ask.categories.is_empty() || matches!(ask.kind, Kind::Similar(_)) {
            slate.items = Arc::default();
        }
        let short = slate.items.len() < SLATE_ITEMS_MAX;
        slate.degraded = short
            .then(|| "size_not_enough".into())
            .into_iter()
            .collect();
        slate.slate_id = self.slate_id(ask, &slate.generation, 0, now_ms / 60_000);
        slate
    }

    fn without_index(&self, ask: &Ask) -> MadeSlate {
        let mut slate = self.builtin(ask);
        add_cause(&mut slate, "index_missing");
        MadeSlate {
            slate,
            stages: Vec::new(),
            explained: Vec::new(),
        }
    }

    /// A user's state within its budget, unless the table is left alone for a moment; read again,
    /// consistently, when it is older than `version_min`.
    ///
    /// # Errors
    /// [`Unread`] says why not.
    async fn state(
        &self,
        user: &UserId,
        version_min: u64,
        tuning: &Tuning,
        deadline: &Deadline,
    ) -> Result<Option<UserState>, Unread> {
        let (users, ids) = (&self.parts.users, std::slice::from_ref(user));
        let read = guarded(
            &self.parts.breaker,
            tuning,
            deadline,
            |deadline| async move {
                let read = users.load(ids, Read::Eventual, &deadline).await?;
                let state = read.first().and_then(Option::as_ref);
                if state.map_or(0, |state| state.version) >= version_min {
                    return Ok(read);
                }
                users.load(ids, Read::Consistent, &deadline).await
            },
        );
        match read.await {
            Ok(states) => Ok(states.into_iter().next().flatten()),
            Err(Unread::Failed(error)) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(unread) => Err(unread),
        }
    }

    async fn hidden(&self, deadline: &Deadline) -> Arc<HashSet<VideoId>> {
        let hidden = self.parts.catalogue.hidden(deadline).await;
        if !Arc::ptr_eq(&hidden, &self.hidden.load()) {
            self.hidden.store(Arc::clone(&hidden));
        }
        hidden
    }

    /// Chooses the recipe by what is known, runs it, and names the rung.
    async fn cook(
        &self,
        ask: &Ask,
        known: Known,
        index: &Arc<Index>,
        hidden: Arc<HashSet<VideoId>>,
        tuning: &Tuning,
        deadline: &Deadline,
    ) -> Made {
        if let Known::Absent { version } = known
            && ask.session.is_empty()
        {
            return Made::Absent { version };
        }
        let (recipe, rung) = plan(ask, &known, index);
        let now_ms = self.parts.clock.now().wall_ms;
        let mut query = Query {
            index: Arc::clone(index),
            recipe,
            user: known.state().cloned(),
            session: ask.session.clone(),
            scene: ask.scene.clone(),
            market: ask.market.clone(),
            categories: ask.categories.clone(),
            categories_match: ask.categories_match,
            exclude: ask.exclude.clone(),
            hidden,
            wanted: SLATE_ITEMS_MAX,
            tuning: Arc::clone(&tuning.engine),
            deadline: deadline.clone(),
            now_ms,
            seed: ask.seed,
        };
        let ranked = self.parts.pipeline.run(&query).await;
        let mut made = self.slate(ask, &known, index, rung, ranked, now_ms);
        let user_met_all = made.slate.items.is_empty() && query.user.is_some();
        if user_met_all && ask.kind == Kind::Recommend {
            // Better to repeat what they saw than to show nothing; what they hid stays hidden.
            query.user = known.hides();
            query.recipe = Recipe::Trending;
            let ranked = self.parts.pipeline.run(&query).await;
            made = self.slate(ask, &known, index, Rung::Trending, ranked, now_ms);
            add_cause(&mut made.slate, "all_seen");
        }
        Made::Slate(made)
    }

    fn slate(
        &self,
        ask: &Ask,
        known: &Known,
        index: &Index,
        rung: Rung,
        ranked: Ranked,
        now_ms: i64,
    ) -> MadeSlate {
        let cohort = match (&ask.who, known.state()) {
            (Who::Cohort(cohort), _) => Some(cohort.token()),
            (_, Some(state)) => cohort_of(state, index).map(Cohort::token),
            (_, None) => None,
        };
        let user_version = known.version();
        let slate = Slate {
            slate_id: self.slate_id(ask, index.generation(), user_version, now_ms),
            generation: SmolStr::new(index.generation()),
            user_version,
            rung,
            cohort,
            degraded: ranked.degraded,
            items: ranked.items.into(),
        };
        MadeSlate {
            slate,
            stages: ranked.stages,
            explained: ranked.explained,
        }
    }

    fn slate_id(&self, ask: &Ask, generation: &str, user_version: u64, moment: i64) -> SmolStr {
        let mut hash = xxh3_64_with_seed(&ask.key().0.to_le_bytes(), ask.seed);
        hash = xxh3_64_with_seed(generation.as_bytes(), hash ^ user_version);
        hash = xxh3_64_with_seed(&moment.to_le_bytes(), hash);
        format_smolstr!("{hash:016x}")
    }
}

/// Adds a cause in its place.
pub(crate) fn add_cause(slate: &mut Slate, cause: &str) {
    if let Err(at) = slate
        .degraded
        .binary_search_by(|known| known.as_str().cmp(cause))
    {
        slate.degraded.insert(at, SmolStr::new(cause));
    }
}

fn builtin_item((place, video_id): (usize, &VideoId)) -> Item {
    Item {
        video_id: video_id.clone(),
        score: 1.0 / (1.0 + place as f32),
        sources: vec![SmolStr::new_static("builtin")],
        reason: Reason {
            kind: ReasonKind::Builtin,
            because: Vec::new(),
        },
        propensity: 1.0,
    }
}
