//! The functions' libraries, wired together over one backend.

use std::sync::Arc;
use std::time::Duration;

use guard::breaker::BreakerState;
use guard::{Clock, Deadline, Tasks};
use lake::Lake;
use ops::{RealClock, metric};
use store::serving::{Serving, ServingSettings};
use store::{Control, DeadLetters, Generations};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use web::Signer;

use crate::backend::Backend;
use crate::jobs::{self, Jobs};
use crate::pump::{self, Pump, Route};
use crate::settings::{Settings, Storage};
use crate::{admin, import, signing};

/// How long the start may wait for stores that are not there.
const START_BUDGET: Duration = Duration::from_secs(10);

/// Everything a command or the server works with.
pub struct Service {
    /// The ports, and the hold on the data folder.
    pub backend: Backend,
    /// What answers questions for slates.
    pub serving: Serving,
    /// Leases and checkpoints.
    pub control: Arc<Control>,
    /// The event lake.
    pub lake: Arc<Lake>,
    /// Where generations are published.
    pub generations: Arc<Generations>,
    /// Signs cursors and tokens.
    pub signer: Signer,
    /// Who holds leases.
    pub owner: String,
    /// The real clock.
    pub clock: Arc<dyn Clock>,
    /// Everything that runs on its own.
    pub tasks: Tasks,
    /// The same account, for slates and what keeps them fresh: on threads of their own in a process
    /// that serves.
    pub slates: Tasks,
    /// The same account, for what nobody waits for: `served` events, consumers and jobs, on others
    /// again.
    pub background: Tasks,
}

/// The threads of a process that serves, besides those that read requests.
#[derive(Debug, Clone)]
pub struct Threads {
    /// Slates are computed here.
    pub slates: Handle,
    /// `served` events, consumers and jobs run here.
    pub background: Handle,
}

impl Service {
    /// Opens the stores, reads the tuning and maps the current generation.
    ///
    /// # Errors
    /// When the data folder is taken, a store does not open, or a key cannot be used.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        Self::open_on(settings, None).await
    }

    /// As [`Self::open`]; what computes does so on threads of its own, if there are any.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_on(settings: &Settings, threads: Option<Threads>) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let tasks = Tasks::new();
        let (slates, background) = match threads {
            Some(threads) => (tasks.on(threads.slates), tasks.on(threads.background)),
            None => (tasks.clone(), tasks.clone()),
        };
        let backend = Backend::open(settings).await?;
        let signer = signing::signer(settings)?;
        let deadline = Deadline::after(Arc::clone(&clock), START_BUDGET);
        let ports = backend.ports.clone();
        let serving = ServingSettings {
            index_dir: settings.folder("generations"),
            ..settings.serving.clone()
        };
        let serving =
            Serving::open(ports.clone(), &serving, &clock, &tasks, &slates, &deadline).await?;
        Ok(Self {
            owner: owner(&settings.storage, clock.as_ref()),
            control: Arc::new(Control::new(ports.tables, Arc::clone(&clock))),
            lake: Arc::new(Lake::new(Arc::clone(&ports.objects))),
            generations: Arc::new(Generations::new(ports.objects)),
            backend,
            serving,
            signer,
            clock,
            tasks,
            slates,
            background,
        })
    }

    /// A deadline from now.
    #[must_use]
    pub fn deadline(&self, budget: Duration) -> Deadline {
        Deadline::after(Arc::clone(&self.clock), budget)
    }

    /// Writes down what is running, where the breakers stand, and what the log lost.
    pub fn measure(&self) {
        metrics::gauge!(metric::TASKS).set(self.tasks.running() as f64);
        metrics::gauge!(metric::FLIGHTS).set(self.serving.tiered.in_flight() as f64);
        let redis = self.serving.shared.as_ref().map(store::Shared::state);
        let users = Some(self.serving.breaker.state());
        for (name, state) in [("redis", redis), ("users", users)] {
            let Some(state) = state else { continue };
            let level = match state {
                BreakerState::Closed => 0.0,
                BreakerState::HalfOpen => 1.0,
                BreakerState::Open => 2.0,
            };
            metrics::gauge!(metric::BREAKER_STATE, "breaker" => name).set(level);
        }
        if let Some(log) = self.backend.log() {
            metrics::counter!(metric::LOG_LOST).absolute(log.lost());
        }
        let counts = self.serving.breaker.counts();
        metrics::counter!(metric::BREAKER_OPENED, "breaker" => "users").absolute(counts.opened);
        metrics::counter!(metric::BREAKER_REFUSED, "breaker" => "users").absolute(counts.refused);
    }

    /// The T+1 job over this service.
    #[must_use]
    pub fn profile_job(&self, settings: &Settings) -> profile::Job {
        let parts = profile::Parts {
            lake: Arc::clone(&self.lake),
            catalogue: Arc::clone(&self.serving.catalogue),
            users: Arc::new(self.serving.users.clone()),
            generations: Arc::clone(&self.generations),
            objects: Arc::clone(&self.backend.ports.objects),
            control: Arc::clone(&self.control),
            work_dir: settings.folder("work"),
            owner: self.owner.clone(),
            clock: Arc::clone(&self.clock),
        };
        profile::Job::new(parts, profile::Options::default())
    }

    /// The consumer that keeps states and counters.
    #[must_use]
    pub fn clickstream(&self) -> clickstream::Clickstream {
        clickstream::Clickstream::new(clickstream::Parts {
            users: Arc::new(self.serving.users.clone()),
            counters: Arc::clone(&self.backend.ports.tables),
            dead: self.dead_letters(clickstream::Clickstream::NAME),
            shared: self.serving.shared.clone().map(Arc::new),
            clock: Arc::clone(&self.clock),
        })
    }

    /// The consumer that writes the lake.
    #[must_use]
    pub fn archive(&self) -> archive::Archive {
        archive::Archive::new(archive::Parts {
            lake: Arc::clone(&self.lake),
            dead: self.dead_letters(archive::Archive::NAME),
            clock: Arc::clone(&self.clock),
        })
    }

    fn dead_letters(&self, consumer: &'static str) -> DeadLetters {
        DeadLetters::new(Arc::clone(&self.backend.ports.objects), consumer)
    }

    /// Starts the consumers on this service's stream.
    #[must_use]
    pub fn start_pump(&self, stop: &CancellationToken) -> Pump {
        let (clickstream, archive) = (self.clickstream(), self.archive());
        let parts = pump::Parts {
            stream: Arc::clone(&self.backend.ports.stream),
            control: Arc::clone(&self.control),
            clock: Arc::clone(&self.clock),
        };
        let routes = vec![
            Route::prompt(clickstream::Clickstream::NAME, Arc::new(clickstream)),
            Route::wide(archive::Archive::NAME, Arc::new(archive)),
        ];
        Pump::start(&parts, routes, &self.background, stop)
    }

    /// The nightly jobs over this service.
    #[must_use]
    pub fn jobs(&self, settings: &Settings, pump: Option<Pump>) -> Jobs {
        let preload = self
            .serving
            .shared
            .is_some()
            .then(|| (self.preload_job(), preload::Options::default()));
        Jobs::new(jobs::Parts {
            pump,
            profile: self.profile_job(settings),
            reader: Arc::clone(&self.serving.generations),
            published: Arc::clone(&self.generations),
            preload,
            clock: Arc::clone(&self.clock),
        })
    }

    /// Where imports end up.
    #[must_use]
    pub fn import_stores(&self) -> import::Stores {
        import::Stores {
            catalogue: Arc::clone(&self.serving.catalogue),
            objects: Arc::clone(&self.backend.ports.objects),
            clock: Arc::clone(&self.clock),
        }
    }

    /// The reading function.
    #[must_use]
    pub fn recommend_app(&self) -> Arc<recommend::App> {
        recommend::App::new(recommend::Parts {
            tiered: self.serving.tiered.clone(),
            catalogue: Arc::clone(&self.serving.catalogue),
            users: self.serving.users.clone(),
            generations: Arc::clone(&self.serving.generations),
            tuning: Arc::clone(&self.serving.tuning),
            // A timer does it here, so that nothing is due when a request comes.
            upkeep: None,
            outbox: Arc::clone(&self.serving.outbox),
            signer: self.signer.clone(),
            dependencies: recommend::Dependency::all(
                self.serving.shared.clone(),
                self.serving.breaker.clone(),
            ),
            clock: Arc::clone(&self.clock),
            seed: self.seed(),
        })
    }

    /// The writing function.
    #[must_use]
    pub fn ingest_app(&self, settings: &Settings) -> Arc<ingest::App> {
        ingest::App::new(ingest::Parts {
            stream: Arc::clone(&self.backend.ports.stream),
            catalogue: Arc::clone(&self.serving.catalogue),
            users: self.serving.users.clone(),
            shared: self.serving.shared.clone(),
            signer: self.signer.clone(),
            admin: admin::guard(settings),
            tuning: Arc::clone(&self.serving.tuning),
            tuning_file: None,
            clock: Arc::clone(&self.clock),
            seed: self.seed(),
        })
    }

    /// What surrounds every request of this process.
    #[must_use]
    pub fn shell(&self) -> Arc<web::Shell> {
        Arc::new(web::Shell::new(Arc::clone(&self.clock), self.seed()))
    }

    fn seed(&self) -> u64 {
        web::system_seed(self.clock.now().wall_ms.unsigned_abs())
    }

    /// The preload job over this service.
    #[must_use]
    pub fn preload_job(&self) -> preload::Job {
        preload::Job::new(preload::Parts {
            tiered: Arc::new(self.serving.tiered.clone()),
            generations: Arc::clone(&self.serving.generations),
            published: Generations::clone(&self.generations),
            lake: Arc::clone(&self.lake),
            control: Arc::clone(&self.control),
            owner: self.owner.clone(),
            clock: Arc::clone(&self.clock),
        })
    }
}

/// A data folder has one process at a time, so that the next one goes on at once where it died;
/// tables on AWS may have several.
#[cfg_attr(not(feature = "aws"), expect(unused_variables))]
fn owner(storage: &Storage, clock: &dyn Clock) -> String {
    match storage {
        Storage::Embedded => "local".to_owned(),
        #[cfg(feature = "aws")]
        Storage::Aws(_) => format!("local-{}-{}", std::process::id(), clock.now().wall_ms),
    }
}
