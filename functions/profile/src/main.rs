//! The Lambda function: settings, telemetry, one [`Job`], hand over.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;

use aws::{Aws, AwsSettings};
use guard::Clock;
use lake::Lake;
use ops::RealClock;
use profile::{Input, Job, Parts};
use store::{Catalogue, Control, Generations, Users};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (aws, work_dir, owner) = lambda::start(|reader| {
        let work_dir = PathBuf::from(reader.text("REELWAY_WORK_DIR", "/tmp/reelway-work"));
        let owner = reader.text("AWS_LAMBDA_LOG_STREAM_NAME", "lambda");
        (AwsSettings::read(reader), work_dir, owner)
    })?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let ports = Aws::connect(&aws).await.ports();
    let parts = Parts {
        lake: Arc::new(Lake::new(Arc::clone(&ports.objects))),
        catalogue: Arc::new(Catalogue::new(
            Arc::clone(&ports.tables),
            Arc::clone(&clock),
        )),
        users: Arc::new(Users::new(Arc::clone(&ports.tables))),
        generations: Arc::new(Generations::new(Arc::clone(&ports.objects))),
        objects: ports.objects,
        control: Arc::new(Control::new(ports.tables, Arc::clone(&clock))),
        work_dir,
        owner,
        clock: Arc::clone(&clock),
    };
    let run = move |input: Input, deadline| {
        let job = Job::new(parts.clone(), input.options());
        async move { job.run(input.date, &deadline).await }
    };
    lambda::schedule(run, clock)
        .await
        .map_err(anyhow::Error::from_boxed)
}
