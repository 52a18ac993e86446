//! Real servers on free ports: Redis, DynamoDB Local, moto.
//!
//! Each ends when its value is dropped, and when the test process ends, however that happens. The
//! `shared` ones are started once per test process, because they take seconds; tests keep out of
//! each other's way by names. Where they are found: `REELWAY_TEST_DYNAMODB_LOCAL` (folder of
//! jars) and `REELWAY_TEST_VENV` (Python environment), as `. scripts/setup --env` sets them;
//! `redis-server` and `java` on the path.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ops::settings::{Environment, Lookup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

mod process;
mod reelway;

use process::Process;
pub use process::Signal;
pub use reelway::Reelway;

/// What a failing test tells its reader to do.
const SETUP: &str = "run scripts/setup, then `. scripts/setup --env`, or scripts/test";
/// A port that was free may be taken before the server has it.
const STARTS_MAX: u32 = 3;

/// A `redis-server` without persistence.
#[derive(Debug)]
pub struct Redis {
    process: Process,
}

/// DynamoDB Local, in memory.
#[derive(Debug)]
pub struct DynamoDbLocal {
    process: Process,
}

/// moto, which stands in for Kinesis and S3.
#[derive(Debug)]
pub struct Moto {
    process: Process,
}

impl Redis {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed (the error says what to run) or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        let program = on_path("redis-server")?;
        let process = start("redis-server", b"PING\r\n", b"+PONG", |port| {
            let mut command = vec![program.clone()];
            let options = format!(
                "--port {port} --bind 127.0.0.1 --appendonly no --daemonize no --dir /tmp --save"
            );
            command.extend(options.split(' ').map(str::to_owned));
            command.push(String::new());
            command
        });
        Ok(Self {
            process: process.await?,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.process.addr
    }

    /// Its address as a setting.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.process.addr)
    }

    /// Kills it and starts another, empty one, at the same address.
    ///
    /// # Errors
    /// When it does not come up again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.restart().await
    }

    /// Kills it and waits until it is gone; [`Redis::restart`] brings it back.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.stop().await
    }

    /// Makes it forget every key.
    ///
    /// # Errors
    /// When it does not answer that it did.
    pub async fn empty(&self) -> anyhow::Result<()> {
        let mut connection = TcpStream::connect(self.process.addr).await?;
        connection.write_all(b"FLUSHALL\r\n").await?;
        let mut answer = [0; 5];
        connection.read_exact(&mut answer).await?;
        ensure!(&answer == b"+OK\r\n", "redis-server did not forget");
        Ok(())
    }

    /// Sends it a signal: frozen, it accepts connections and never answers.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process.signal(signal)
    }
}

impl DynamoDbLocal {
    /// The one of this test process.
    ///
    /// # Errors
    /// When it is not installed (the error says what to run) or does not come up.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<DynamoDbLocal> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed (the error says what to run) or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        let java = on_path("java")?;
        let variable = "REELWAY_TEST_DYNAMODB_LOCAL";
        let folder = Environment.get(variable).map(PathBuf::from);
        let folder = folder.with_context(|| format!("{variable} is not set: {SETUP}"))?;
        if !folder.is_dir() {
            bail!("{variable} is no folder: {SETUP}");
        }
        let folder = folder.display().to_string();
        let process = start(
            "DynamoDB Local",
            b"GET / HTTP/1.0\r\n\r\n",
            b"HTTP/1.",
            |port| {
                let main = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner";
                let mut command = vec![java.clone(), "-Xmx512m".to_owned()];
                command.push(format!("-Djava.library.path={folder}"));
                command.extend(["-cp".to_owned(), format!("{folder}/*"), main.to_owned()]);
                let options = format!("-inMemory -sharedDb -disableTelemetry -port {port}");
                command.extend(options.split(' ').map(str::to_owned));
                command
            },
        );
        Ok(Self {
            process: process.await?,
        })
    }

    /// Its endpoint as a setting.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.process.addr)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.process.addr
    }
}

impl Moto {
    /// The one of this test process.
    ///
    /// # Errors
    /// When it is not installed (the error says what to run) or does not come up.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Moto> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed (the error says what to run) or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        let program = match Environment.get("REELWAY_TEST_VENV") {
            Some(venv) => executable(Path::new(&venv).join("bin/moto_server"))
                .with_context(|| format!("no moto_server in REELWAY_TEST_VENV: {SETUP}"))?,
            None => on_path("moto_server")?,
        };
        let process = start("moto", b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.", |port| {
            let options = format!("-H 127.0.0.1 -p {port}");
            let options = options.split(' ').map(str::to_owned);
            std::iter::once(program.clone()).chain(options).collect()
        });
        Ok(Self {
            process: process.await?,
        })
    }

    /// Its endpoint as a setting.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.process.addr)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.process.addr
    }
}

/// Starts a server on a free port; `command` is made for the port that was found.
async fn start(
    name: &'static str,
    ask: &'static [u8],
    expect: &'static [u8],
    command: impl Fn(u16) -> Vec<String>,
) -> anyhow::Result<Process> {
    let mut tried = 1;
    loop {
        let addr = free_addr()?;
        match Process::start(name, addr, command(addr.port()), ask, expect).await {
            Err(error) if tried == STARTS_MAX => return Err(error),
            Err(error) => tracing::warn!(%error, "trying another port"),
            started => return started,
        }
        tried += 1;
    }
}

fn free_addr() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.local_addr().context("a free port")
}

fn on_path(program: &str) -> anyhow::Result<String> {
    let path = Environment.get("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find_map(|folder| executable(folder.join(program)));
    found.with_context(|| format!("{program} is not on the path: {SETUP}"))
}

fn executable(path: PathBuf) -> Option<String> {
    path.is_file().then(|| path.display().to_string())
}

/// How long a server may take to answer; a JVM on a busy machine takes its time.
const READY_MAX: Duration = Duration::from_secs(60);
/// How often it is asked.
const READY_EVERY: Duration = Duration::from_millis(20);
