//! The loop around a handler, and what happens between its answer and the freeze.
//!
//! ```text
//! INVOKE ─► handler ─► answer posted ─► extension: drain ≤ 100 ms ─► both ask for the next event
//!                                                                    └─► freeze
//! ```
//!
//! On Managed Instances an environment works on several invocations at once and never freezes: a task
//! drains twenty times a second.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use guard::{Clock, Deadline, Tasks};
use lambda_runtime::{Diagnostic, LambdaEvent, LambdaInvocation, Runtime, Service};
use ops::settings::{Environment, Reader};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::Outbox;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tower::Layer;
use tracing::Instrument;

/// How long the work after an answer may hold up the freeze.
pub const DRAIN_MAX: Duration = Duration::from_millis(100);
/// How often an environment that never freezes drains.
const PASS_EVERY: Duration = Duration::from_millis(50);
/// How long such a drain may take; nobody waits for it.
const PASS_MAX: Duration = Duration::from_secs(5);
/// How long answers under way are waited for at the end. With the drain, of the 500 ms that Lambda
/// gives an internal extension.
const ANSWERS_MAX: Duration = Duration::from_millis(300);
/// How long Lambda may take to register the extension.
const REGISTER_MAX: Duration = Duration::from_secs(2);
/// The extension's name in Lambda's logs.
const EXTENSION_NAME: &str = "reelway-drain";

/// What ends the process: the runtime interface cannot be reached or refuses to go on.
pub type Error = lambda_runtime::Error;

/// When a drain happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// An answer has left; the environment will freeze, and probably thaw.
    Answered,
    /// Time has passed in an environment that never freezes.
    Passed,
    /// The environment ends: what does not leave now is lost.
    Ending,
}

/// Work that follows an answer: what is buffered leaves, what is detached finishes.
#[derive(Clone)]
pub struct Drain {
    clock: Arc<dyn Clock>,
    work: Arc<dyn Fn(Moment, Deadline) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Drain {
    /// Work to do at each [`Moment`]; it gets [`DRAIN_MAX`], and 5 s while time just passes.
    pub fn new<F>(
        clock: Arc<dyn Clock>,
        work: impl Fn(Moment, Deadline) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            clock,
            work: Arc::new(move |moment, deadline| work(moment, deadline).boxed()),
        }
    }

    /// Sends what the outbox holds when it is due, or the environment ends, and waits for detached
    /// tasks.
    #[must_use]
    pub fn of_outbox(clock: Arc<dyn Clock>, outbox: Arc<Outbox>, tasks: Tasks) -> Self {
        Self::new(clock, move |moment, deadline| {
            let (outbox, tasks) = (Arc::clone(&outbox), tasks.clone());
            async move {
                let flush = async {
                    match moment {
                        Moment::Answered if outbox.due() => drop(outbox.flush(&deadline).await),
                        Moment::Answered => {}
                        Moment::Passed => outbox.tend(&deadline).await,
                        Moment::Ending => drop(outbox.finish(&deadline).await),
                    }
                };
                tokio::join!(flush, settle(&tasks, moment, &deadline));
            }
        })
    }

    /// Nothing follows an answer but detached tasks.
    #[must_use]
    pub fn of_tasks(clock: Arc<dyn Clock>, tasks: Tasks) -> Self {
        Self::new(clock, move |moment, deadline| {
            let tasks = tasks.clone();
            async move { settle(&tasks, moment, &deadline).await }
        })
    }

    /// Does the work or abandons it. Its panic is not the next invocation's.
    pub(crate) async fn run(&self, moment: Moment) {
        let budget = match moment {
            Moment::Answered | Moment::Ending => DRAIN_MAX,
            Moment::Passed => PASS_MAX,
        };
        let deadline = Deadline::after(Arc::clone(&self.clock), budget);
        let work =
            AssertUnwindSafe(async { (self.work)(moment, deadline.clone()).await }).catch_unwind();
        match deadline.limit(work).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!("the drain panicked"),
            Err(_) => tracing::warn!("the drain was abandoned"),
        }
    }
}

/// Detached tasks finish by themselves where nothing freezes.
async fn settle(tasks: &Tasks, moment: Moment, deadline: &Deadline) {
    if moment != Moment::Passed {
        tasks.drain(deadline.remaining()).await;
    }
}

/// How many invocations an environment works on at once: one, but on Managed Instances. What cannot be
/// read counts as one, as it does for `lambda_runtime`.
#[must_use]
pub fn concurrency() -> usize {
    let most = Reader::new(&Environment).text("AWS_LAMBDA_MAX_CONCURRENCY", "1");
    most.parse().unwrap_or(1)
}

/// A runtime for a function: of one thread, or of all cores where it works on several invocations.
///
/// # Errors
/// What the operating system says.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    use tokio::runtime::Builder;
    let mut builder = match concurrency() {
        0 | 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

/// Serves invocations one after another.
pub(crate) async fn serve<P, R, S>(service: S) -> Result<(), Error>
where
    P: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    S: Service<LambdaEvent<P>, Response = R> + 'static,
    S::Future: Future<Output = Result<R, S::Error>> + Send + 'static,
    S::Error: Into<Diagnostic> + Debug + 'static,
{
    Runtime::new(service)
        .layer(Following(After::Nothing))
        .run()
        .await
}

/// Serves invocations, as many at once as Lambda hands over, until the process is told to stop.
///
/// Where the environment freezes, registers an internal extension; Lambda then waits for its drain
/// before it does. Where that is refused (some emulators), the runtime itself drains before it asks
/// for the next event: the answer has left by then, too. Where it never freezes, the extension only
/// makes Lambda tell of the end.
pub(crate) async fn serve_and_drain<P, R, S>(service: S, drain: Drain) -> Result<(), Error>
where
    P: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    S: Service<LambdaEvent<P>, Response = R> + Clone + Send + 'static,
    S::Future: Future<Output = Result<R, S::Error>> + Send + 'static,
    S::Error: Into<Diagnostic> + Debug + 'static,
{
    let working = TaskTracker::new();
    let freezes = concurrency() <= 1;
    let answered = Arc::new(Notify::new());
    let extension = if freezes {
        register(&["INVOKE"], drain.clone(), Arc::clone(&answered)).await
    } else {
        register(&[], drain.clone(), Arc::clone(&answered)).await
    };
    match (freezes, &extension) {
        (_, Some(_)) => {}
        (true, None) => tracing::info!("drains before the next event"),
        (false, None) => tracing::warn!("will not be told of the end: what waits then is lost"),
    }
    let after = match (freezes, &extension) {
        (true, Some(_)) => After::Tell(answered),
        (true, None) => After::Drain(drain.clone()),
        (false, _) => After::Count(working.clone()),
    };
    let runtime = Runtime::new(service)
        .layer(Following(after))
        .run_concurrent();
    let extension = async {
        match extension {
            Some(extension) => extension.await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = runtime => ended,
        // Lambda waits for an extension it knows: without one, every invocation would hang.
        ended = extension => ended,
        () = pass(&drain), if !freezes => Ok(()),
        () = told_to_stop() => {
            working.close();
            let _ = tokio::time::timeout(ANSWERS_MAX, working.wait()).await;
            drain.run(Moment::Ending).await;
            Ok(())
        }
    }
}

/// Drains as time passes.
async fn pass(drain: &Drain) {
    let mut every = tokio::time::interval(PASS_EVERY);
    loop {
        every.tick().await;
        drain.run(Moment::Passed).await;
    }
}

type Extension = BoxFuture<'static, Result<(), Error>>;

async fn register(events: &[&str], drain: Drain, answered: Arc<Notify>) -> Option<Extension> {
    let drains = lambda_extension::service_fn(move |_: lambda_extension::LambdaEvent| {
        let (drain, answered) = (drain.clone(), Arc::clone(&answered));
        async move {
            answered.notified().await;
            drain.run(Moment::Answered).await;
            Ok::<(), Error>(())
        }
    });
    let registration = lambda_extension::Extension::new()
        .with_extension_name(EXTENSION_NAME)
        // Internal extensions hear of invocations only; the end is a SIGTERM.
        .with_events(events)
        .with_events_processor(drains)
        .register();
    match tokio::time::timeout(REGISTER_MAX, registration).await {
        Ok(Ok(extension)) => Some(extension.run().boxed()),
        Ok(Err(error)) => {
            tracing::info!(%error, "no extension here");
            None
        }
        Err(_) => {
            tracing::info!("no extension here in time");
            None
        }
    }
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut stop) => {
            stop.recv().await;
        }
        Err(error) => {
            tracing::warn!(%error, "cannot hear of the end");
            std::future::pending::<()>().await;
        }
    }
}

/// What follows an answer.
#[derive(Clone)]
enum After {
    Nothing,
    Tell(Arc<Notify>),
    Drain(Drain),
    /// Only that it is counted until then.
    Count(TaskTracker),
}

/// Puts an invocation into a span and does what follows it once its answer is posted.
#[derive(Clone)]
struct Following(After);

impl<S> Layer<S> for Following {
    type Service = Followed<S>;

    fn layer(&self, inner: S) -> Followed<S> {
        Followed {
            inner,
            after: self.0.clone(),
        }
    }
}

#[derive(Clone)]
struct Followed<S> {
    inner: S,
    after: After,
}

impl<S> Service<LambdaInvocation> for Followed<S>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = Error;
    type Future = BoxFuture<'static, Result<(), Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let span = tracing::info_span!("invocation", request.id = %invocation.context.request_id);
        let answer = span.in_scope(|| self.inner.call(invocation));
        let after = self.after.clone();
        let counted = match &after {
            After::Count(working) => Some(working.token()),
            After::Nothing | After::Tell(_) | After::Drain(_) => None,
        };
        let work = async move {
            let _counted = counted;
            answer.await?;
            match after {
                After::Nothing | After::Count(_) => {}
                After::Tell(answered) => answered.notify_one(),
                After::Drain(drain) => drain.run(Moment::Answered).await,
            }
            Ok(())
        };
        Box::pin(work.instrument(span))
    }
}

#[cfg(test)]
mod tests;
