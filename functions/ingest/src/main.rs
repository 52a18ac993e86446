//! The Lambda function: settings, telemetry, one [`App`], hand over.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use aws::{Aws, AwsSettings, Service};
use guard::{Clock, Deadline, Tasks};
use ingest::{App, Parts};
use lambda::{Drain, Edge};
use ops::RealClock;
use store::{Catalogue, RedisSettings, TuningFile, Users, serving};
use web::{AdminGuard, Signer};

/// Lambda gives init ten seconds.
const INIT_BUDGET: Duration = Duration::from_secs(8);

fn main() -> anyhow::Result<()> {
    lambda::runtime()?.block_on(serve())
}

async fn serve() -> anyhow::Result<()> {
    let (signer, edge, aws, redis, tuning) = lambda::start(|reader| {
        let (aws, redis) = (AwsSettings::read(reader), RedisSettings::read(reader));
        let tuning = TuningFile::read_path(reader);
        (Signer::read(reader), Edge::read(reader), aws, redis, tuning)
    })?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let tasks = Tasks::new();
    let init = Deadline::after(Arc::clone(&clock), INIT_BUDGET);
    let aws = Aws::connect(&aws).await;
    let (shared, ()) = tokio::join!(
        serving::connect(redis.as_ref(), &clock, &tasks, &init),
        aws.warm(&[Service::Tables, Service::Stream], &init),
    );
    let ports = aws.ports();
    let (tuning, tuning_file) = TuningFile::follow(tuning, &clock);
    let app = App::new(Parts {
        stream: ports.stream,
        catalogue: Catalogue::new(Arc::clone(&ports.tables), Arc::clone(&clock)).into(),
        users: Users::new(ports.tables),
        shared: shared?,
        signer,
        admin: AdminGuard::new(None), // API Gateway lets through whom IAM knows; there is no key.
        tuning,
        tuning_file,
        clock: Arc::clone(&clock),
        seed: web::system_seed(clock.now().wall_ms.unsigned_abs()),
    });
    let drain = Drain::of_tasks(Arc::clone(&clock), tasks);
    let served = lambda::http(ingest::router(app), caller, edge, clock, drain).await;
    served.map_err(anyhow::Error::from_boxed)
}

fn caller(caller: lambda::Caller) -> web::Caller {
    web::Caller {
        subject: caller.subject.map(Into::into),
        admin: caller.signed_by_iam,
    }
}
