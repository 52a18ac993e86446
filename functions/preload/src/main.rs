//! The Lambda function: settings, telemetry, one [`Job`], hand over.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use aws::{Aws, AwsSettings};
use guard::{Clock, Deadline, Tasks};
use lake::Lake;
use ops::RealClock;
use preload::{Job, Options, Parts};
use serde::de::IgnoredAny;
use store::{Control, Error, ErrorKind, Generations, Serving, ServingSettings};

/// Lambda gives init ten seconds.
const INIT_BUDGET: Duration = Duration::from_secs(8);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (aws, serving, region, owner) = lambda::start(|reader| {
        let (aws, serving) = (AwsSettings::read(reader), ServingSettings::read(reader));
        let owner = reader.text("AWS_LAMBDA_LOG_STREAM_NAME", "lambda");
        (aws, serving, reader.text("AWS_REGION", "local"), owner)
    })?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let init = Deadline::after(Arc::clone(&clock), INIT_BUDGET);
    let ports = Aws::connect(&aws).await.ports();
    let tasks = Tasks::new();
    let serving = Serving::open(ports.clone(), &serving, &clock, &tasks, &tasks, &init).await?;
    let job = Arc::new(Job::new(Parts {
        tiered: Arc::new(serving.tiered),
        generations: serving.generations,
        published: Generations::new(Arc::clone(&ports.objects)),
        lake: Arc::new(Lake::new(ports.objects)),
        control: Arc::new(Control::new(ports.tables, Arc::clone(&clock))),
        owner,
        clock: Arc::clone(&clock),
    }));
    let run = move |_: IgnoredAny, deadline| {
        let (job, region) = (Arc::clone(&job), region.clone());
        async move {
            // Always goes on where the last run stopped, also when Lambda tries again.
            let options = Options {
                region,
                resume: true,
                ..Options::default()
            };
            let report = job.run(&options, &|_| (), &deadline).await?;
            let unfinished = || Error::new(ErrorKind::Timeout, "preload is not done yet");
            if report.done {
                Ok(report)
            } else {
                Err(unfinished())
            }
        }
    };
    lambda::schedule(run, clock)
        .await
        .map_err(anyhow::Error::from_boxed)
}
