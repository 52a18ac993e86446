//! Jobs that a schedule starts.

use std::sync::Arc;

use guard::{Clock, Deadline};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::hosting::{Error, serve};

/// Runs a job for each invocation, with the schedule's input and Lambda's own deadline.
///
/// A job that fails, or panics, fails the invocation: Lambda tries it again, then sends it to the
/// function's on-failure destination.
///
/// # Errors
/// When the Lambda runtime interface cannot be reached.
pub async fn schedule<I, R, E, F>(
    job: impl Fn(I, Deadline) -> F + 'static,
    clock: Arc<dyn Clock>,
) -> Result<(), Error>
where
    I: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    E: std::fmt::Display + Send + 'static,
    F: Future<Output = Result<R, E>> + Send + 'static,
{
    let handler = service_fn(move |event: LambdaEvent<I>| {
        let deadline = crate::budget::deadline(&clock, event.context.deadline);
        let run = job(event.payload, deadline);
        async move {
            run.await.map_err(|error| Diagnostic {
                error_type: "JobFailed".to_owned(),
                error_message: error.to_string(),
            })
        }
    });
    serve(handler).await
}
