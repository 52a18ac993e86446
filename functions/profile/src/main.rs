//! The Lambda function: settings, telemetry, one [`Job`], hand over.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;

use aws::{Aws, AwsSettings};
use guard::Clock;
use jiff::civil::Date;
use lake::Lake;
use ops::RealClock;
use profile::{Job, Options, Parts};
use serde::Deserialize;
use store::{Catalogue, Control, Generations, Users};

/// The schedule's input.
#[derive(Deserialize)]
struct Input {
    /// The newest day to build from; the newest in the lake when absent.
    date: Option<Date>,
    /// Publishes also from a day that is far thinner than the one before it.
    #[serde(default)]
    force: bool,
    /// Leaves the pointer to the preload job.
    #[serde(default)]
    preloads: bool,
}

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
        let Input {
            date,
            force,
            preloads,
        } = input;
        let options = Options {
            force,
            preloads,
            ..Options::default()
        };
        let job = Job::new(parts.clone(), options);
        async move { job.run(date, &deadline).await }
    };
    lambda::schedule(run, clock)
        .await
        .map_err(anyhow::Error::from_boxed)
}
