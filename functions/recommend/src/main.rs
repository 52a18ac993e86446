//! The Lambda function: settings, telemetry, one [`App`], hand over.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use aws::{Aws, AwsSettings, Service};
use guard::{Clock, Deadline, Tasks};
use lambda::{Drain, Edge};
use ops::RealClock;
use recommend::{App, Dependency, Parts};
use store::{Serving, ServingSettings};
use web::Signer;

/// Lambda gives init ten seconds.
const INIT_BUDGET: Duration = Duration::from_secs(8);

fn main() -> anyhow::Result<()> {
    lambda::runtime()?.block_on(serve())
}

async fn serve() -> anyhow::Result<()> {
    let (signer, edge, (aws, serving)) = lambda::start(|reader| {
        let stores = (AwsSettings::read(reader), ServingSettings::read(reader));
        (Signer::read(reader), Edge::read(reader), stores)
    })?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let tasks = Tasks::new();
    let init = Deadline::after(Arc::clone(&clock), INIT_BUDGET);
    let aws = Aws::connect(&aws).await;
    let (serving, ()) = tokio::join!(
        Serving::open(aws.ports(), &serving, &clock, &tasks, &tasks, &init),
        aws.warm(&[Service::Tables, Service::Stream], &init),
    );
    let serving = serving?;
    let drain = Drain::of_outbox(Arc::clone(&clock), Arc::clone(&serving.outbox), tasks);
    let app = App::new(Parts {
        tiered: serving.tiered,
        catalogue: serving.catalogue,
        users: serving.users,
        generations: serving.generations,
        tuning: serving.tuning,
        upkeep: Some(serving.upkeep),
        outbox: serving.outbox,
        signer,
        dependencies: Dependency::all(serving.shared, serving.breaker),
        clock: Arc::clone(&clock),
        seed: web::system_seed(clock.now().wall_ms.unsigned_abs()),
    });
    let served = lambda::http(recommend::router(app), caller, edge, clock, drain).await;
    served.map_err(anyhow::Error::from_boxed)
}

fn caller(caller: lambda::Caller) -> web::Caller {
    web::Caller {
        subject: caller.subject.map(Into::into),
        admin: caller.signed_by_iam,
    }
}
