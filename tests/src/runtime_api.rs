//! Runs a function's binary as Lambda does, through a local Runtime API.
//!
//! ```text
//! spawn ─▶ the binary starts, registers its extension, asks for the first event: initialised
//! invoke ─▶ event to the runtime and its extensions ─▶ response
//!            └─ when all of them have asked for the next event, the environment would freeze
//! ```

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use guard::Clock;
use ops::RealClock;
use serde_json::Value;

use crate::host::Host;
use environment::{Delivery, Outcome, Shared};

mod environment;
mod server;

/// How long a function may take to ask for its first event.
const INIT_MAX: Duration = Duration::from_secs(60);
/// How long after an answer everybody must have asked for the next event.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// What an invocation may take when nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running function: one execution environment. Killed when dropped.
#[derive(Debug)]
pub struct Function {
    shared: Arc<Shared>,
    child: Child,
    log: tempfile::NamedTempFile,
    init: Duration,
    timeout: Duration,
    invocations: u64,
    _host: Host,
}

/// What came of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What the function answered, or the error object it reported.
    pub result: Result<Value, Value>,
    /// From handing over the event to the answer.
    pub took: Duration,
}

impl Function {
    /// Spawns a binary with nothing in its environment but Lambda's variables and `environment`,
    /// and waits until it asks for its first event.
    ///
    /// # Errors
    /// When it cannot be spawned, reports a failed start, or ends; with its last lines of output.
    pub async fn spawn(binary: &Path, environment: &[(String, String)]) -> anyhow::Result<Self> {
        let host = Host::start("runtime-api")?;
        let clock = RealClock::new();
        let concurrency = environment
            .iter()
            .find(|(name, _)| name == "AWS_LAMBDA_MAX_CONCURRENCY")
            .map_or(Ok(1), |(_, most)| most.parse())?;
        let shared = Arc::new(Shared::new(clock, concurrency));
        let addr = host.serve(server::router(Arc::clone(&shared)))?;
        let name = binary
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or("function");
        let log = tempfile::NamedTempFile::new().context("a file for the function's log")?;
        let (out, err) = (log.reopen()?, log.reopen()?);
        let spawned = clock.now().mono;
        let child = Command::new(binary)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", addr.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "local")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(append(out))
            .stderr(append(err))
            .spawn()
            .with_context(|| format!("spawn {}", binary.display()))?;
        let mut function = Self {
            shared,
            child,
            log,
            init: Duration::ZERO,
            timeout: TIMEOUT,
            invocations: 0,
            _host: host,
        };
        let first = tokio::time::timeout(INIT_MAX, function.initialised()).await;
        let first = first.unwrap_or_else(|_| bail!("it did not ask for an event in {INIT_MAX:?}"));
        let first = first.with_context(|| format!("{name} said: {}", function.last_words()))?;
        function.init = first.saturating_sub(spawned);
        Ok(function)
    }

    /// From spawning to the first question for an event.
    #[must_use]
    pub fn init(&self) -> Duration {
        self.init
    }

    /// Sets what an invocation may take: the function's configured timeout.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Hands over one event, once the environment has settled, and waits for the answer.
    ///
    /// # Errors
    /// When the function has ended, does not settle, or does not answer in its time; with its last
    /// lines of output.
    pub async fn invoke(&mut self, event: &Value) -> anyhow::Result<Answer> {
        let mut answers = self.invoke_all(std::slice::from_ref(event)).await?;
        answers.pop().context("an answer")
    }

    /// Hands over events at once, no more than the environment takes, and waits for all answers.
    ///
    /// # Errors
    /// As [`Self::invoke`].
    pub async fn invoke_all(&mut self, events: &[Value]) -> anyhow::Result<Vec<Answer>> {
        self.settled().await?;
        let mut waiting = Vec::new();
        for event in events {
            self.invocations += 1;
            let id = format!("00000000-0000-4000-8000-{:012}", self.invocations);
            let delivery = Delivery::new(id, event, self.shared.clock.now().wall_ms, self.timeout);
            waiting.push(self.shared.deliver(delivery)?);
        }
        let all = try_join_all(waiting);
        let answered = tokio::select! {
            answered = tokio::time::timeout(self.timeout, all) => answered,
            ended = ended(&mut self.child) => {
                bail!("the function ended ({ended:?}): {}", self.last_words())
            }
        };
        let answers = match answered {
            Ok(Ok(answers)) => answers,
            Ok(Err(_)) => bail!("the runtime api ended"),
            Err(_) => bail!("no answer in {:?}: {}", self.timeout, self.last_words()),
        };
        let answer = |(handed, result, at): Outcome| Answer {
            result,
            took: at.saturating_sub(handed),
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    /// Tells the function to stop, as Lambda does before it ends an environment, and waits.
    ///
    /// # Errors
    /// When it cannot be told or does not end.
    pub async fn stop(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        let told = Command::new("kill").arg(self.pid().to_string()).status()?;
        anyhow::ensure!(told.success(), "it cannot be told to stop");
        let ended = tokio::time::timeout(SETTLE_MAX, ended(&mut self.child)).await;
        ended.ok().flatten().context("it did not end")
    }

    /// Waits until the runtime and all extensions have asked for the next event, which is when
    /// Lambda would freeze the environment; returns how long after the last answer that was.
    ///
    /// # Errors
    /// When they do not within five seconds.
    pub async fn settled(&self) -> anyhow::Result<Duration> {
        match tokio::time::timeout(SETTLE_MAX, self.shared.settled()).await {
            Ok(span) => Ok(span),
            Err(_) => bail!("not settled within {SETTLE_MAX:?}: {}", self.last_words()),
        }
    }

    /// The names of the extensions that have registered.
    #[must_use]
    pub fn extensions(&self) -> Vec<String> {
        self.shared.extensions()
    }

    /// Everything it has written to its output.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    async fn initialised(&mut self) -> anyhow::Result<Duration> {
        tokio::select! {
            first = self.shared.initialised() => first,
            ended = ended(&mut self.child) => bail!("it ended ({ended:?})"),
        }
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A binary of this workspace, from the folder that the running test was built into.
///
/// # Errors
/// When it has not been built; the error says what to run.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("the path of the running test")?;
    // target/<profile>/deps/suite-0123456789abcdef
    let folder = test
        .parent()
        .and_then(Path::parent)
        .context("the target folder")?;
    let path = folder.join(name);
    if !path.is_file() {
        bail!(
            "{} is not there: run `cargo build --workspace --bins`",
            path.display()
        );
    }
    Ok(path)
}

fn append(file: std::fs::File) -> Stdio {
    Stdio::from(file)
}

/// Waits until a child has ended; polls, because nothing tells.
async fn ended(child: &mut Child) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
            Ok(status) => return status,
            Err(_) => return None,
        }
    }
}
