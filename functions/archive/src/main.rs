//! The Lambda function: settings, telemetry, one [`Archive`], hand over.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use archive::{Archive, Parts};
use aws::{Aws, AwsSettings, Service};
use guard::{Clock, Deadline};
use lake::Lake;
use ops::RealClock;
use store::DeadLetters;

/// Lambda gives init ten seconds.
const INIT_BUDGET: Duration = Duration::from_secs(8);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let aws = lambda::start(AwsSettings::read)?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let init = Deadline::after(Arc::clone(&clock), INIT_BUDGET);
    let aws = Aws::connect(&aws).await;
    aws.warm(&[Service::Objects], &init).await;
    let objects = aws.ports().objects;
    let consumer = Archive::new(Parts {
        lake: Arc::new(Lake::new(Arc::clone(&objects))),
        dead: DeadLetters::new(objects, Archive::NAME),
        clock: Arc::clone(&clock),
    });
    let served = lambda::batch(Arc::new(consumer), clock).await;
    served.map_err(anyhow::Error::from_boxed)
}
