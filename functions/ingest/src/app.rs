//! What survives between requests.

use std::sync::Arc;
use std::time::Duration;

use guard::{Clock, Deadline};
use http::Extensions;
use http::request::Parts as RequestParts;
use store::{Catalogue, LiveTuning, Shared, Stream, Tuning, TuningFile, Users};
use web::{AdminGuard, Problem, Shell, Signer};

use crate::doors::Doors;

/// Longest time for a request, its body's arrival included.
const REQUEST_BUDGET: Duration = Duration::from_secs(5);

/// What an [`App`] is made of.
pub struct Parts {
    /// Takes events.
    pub stream: Arc<dyn Stream>,
    /// Takes videos.
    pub catalogue: Arc<Catalogue>,
    /// Forgets users.
    pub users: Users,
    /// Learns that a user changed, and counts what users are admitted, where there is one.
    pub shared: Option<Shared>,
    /// Checks item tokens; the key is that of `recommend`.
    pub signer: Signer,
    /// Who may use admin routes.
    pub admin: AdminGuard,
    /// The hot document: how often events may be sent by everybody, from one network, by one user.
    pub tuning: Arc<LiveTuning>,
    /// Where it comes from, if requests are to look; none where somebody else does.
    pub tuning_file: Option<TuningFile>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Request ids follow from it (see [`web::system_seed`]).
    pub seed: u64,
}

/// The function: what handlers share.
pub struct App {
    pub(crate) stream: Arc<dyn Stream>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) users: Users,
    pub(crate) shared: Option<Shared>,
    pub(crate) signer: Signer,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shell: Arc<Shell>,
    pub(crate) doors: Doors,
    tuning: Arc<LiveTuning>,
    tuning_file: Option<TuningFile>,
    admin: AdminGuard,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        if let Some(shared) = &parts.shared {
            shared.follow(Arc::clone(&parts.tuning));
        }
        Arc::new(Self {
            doors: Doors::new(
                &parts.tuning.snapshot().guard.limits,
                parts.shared.clone(),
                &parts.clock,
            ),
            tuning: parts.tuning,
            tuning_file: parts.tuning_file,
            shell: Arc::new(Shell::new(Arc::clone(&parts.clock), parts.seed)),
            stream: parts.stream,
            catalogue: parts.catalogue,
            users: parts.users,
            shared: parts.shared,
            signer: parts.signer,
            admin: parts.admin,
            clock: parts.clock,
        })
    }

    /// The deadline of a request, within the host's if it named one.
    pub(crate) fn deadline(&self, extensions: &Extensions) -> Deadline {
        match extensions.get::<Deadline>() {
            Some(host) => host.child(REQUEST_BUDGET),
            None => Deadline::after(Arc::clone(&self.clock), REQUEST_BUDGET),
        }
    }

    /// The tuning in force, at most a second behind its file.
    pub(crate) async fn tuning(&self, deadline: &Deadline) -> Arc<Tuning> {
        if let Some(file) = &self.tuning_file
            && let Err(error) = file.refresh_if_due(deadline).await
        {
            tracing::error!(error = %error, "the tuning file was not applied, the last good one stays");
        }
        self.tuning.snapshot()
    }

    /// Checks that the caller may use admin routes.
    pub(crate) fn admit(&self, parts: &RequestParts) -> Result<(), Problem> {
        self.admin.check(&parts.headers, &parts.extensions)
    }
}
