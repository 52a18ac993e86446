//! What survives between requests.

use std::sync::Arc;
use std::time::Duration;

use guard::{Clock, Deadline, tuning::Limits};
use http::Extensions;
use http::request::Parts as RequestParts;
use store::{Catalogue, Shared, Stream, Users};
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
    /// Learns that a user changed, where there is one.
    pub shared: Option<Shared>,
    /// Checks item tokens; the key is that of `recommend`.
    pub signer: Signer,
    /// Who may use admin routes.
    pub admin: AdminGuard,
    /// How often events may be sent, by everybody and from one network.
    pub limits: Limits,
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
    admin: AdminGuard,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            doors: Doors::new(&parts.limits, &parts.clock),
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

    /// Checks that the caller may use admin routes.
    pub(crate) fn admit(&self, parts: &RequestParts) -> Result<(), Problem> {
        self.admin.check(&parts.headers, &parts.extensions)
    }
}
