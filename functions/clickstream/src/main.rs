//! The Lambda function: settings, telemetry, one [`Clickstream`], hand over.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use aws::{Aws, AwsSettings, Service};
use clickstream::{Clickstream, Parts};
use guard::{Clock, Deadline, Tasks};
use ops::RealClock;
use store::{DeadLetters, RedisSettings, Users, serving};

/// Lambda gives init ten seconds.
const INIT_BUDGET: Duration = Duration::from_secs(8);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (aws, redis) =
        lambda::start(|reader| (AwsSettings::read(reader), RedisSettings::read(reader)))?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let tasks = Tasks::new();
    let init = Deadline::after(Arc::clone(&clock), INIT_BUDGET);
    let aws = Aws::connect(&aws).await;
    let (shared, ()) = tokio::join!(
        serving::connect(redis.as_ref(), &clock, &tasks, &init),
        aws.warm(&[Service::Tables], &init),
    );
    let ports = aws.ports();
    let consumer = Clickstream::new(Parts {
        users: Arc::new(Users::new(Arc::clone(&ports.tables))),
        counters: ports.tables,
        dead: DeadLetters::new(ports.objects, Clickstream::NAME),
        shared: shared?.map(Arc::new),
        clock: Arc::clone(&clock),
    });
    let served = lambda::batch(Arc::new(consumer), clock).await;
    served.map_err(anyhow::Error::from_boxed)
}
