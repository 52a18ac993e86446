//! A `redis-server` of a benchmark's own, and its counters.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use guard::{Clock, Deadline, Tasks};
use store::{RedisSettings, Shared};

/// How long it may take to listen, in tries of 10 ms.
const START_TRIES: u32 = 1_000;

/// A server on a free port, gone when dropped.
pub struct Redis {
    addr: SocketAddr,
    child: Option<Child>,
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// When `redis-server` is not on the path or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut redis = Self { addr, child: None };
        redis.restart().await?;
        Ok(redis)
    }

    /// Starts it again on its port, empty.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        let port = self.addr.port().to_string();
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(["--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"])
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server is on the path")?;
        self.child = Some(child);
        for _ in 0..START_TRIES {
            if self.info("server").is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("redis-server does not answer")
    }

    /// Kills it, as an outage does.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// A connection of the store's.
    ///
    /// # Errors
    /// When the settings can never work.
    pub async fn shared(&self, clock: &Arc<dyn Clock>, tasks: &Tasks) -> anyhow::Result<Shared> {
        let settings = RedisSettings::new(&format!("redis://{}", self.addr));
        let deadline = Deadline::after(Arc::clone(clock), Duration::from_secs(2));
        let shared = Shared::connect(&settings, Arc::clone(clock), tasks.clone(), &deadline);
        Ok(shared.await?)
    }

    /// How often it was sent a command.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn calls(&self, command: &str) -> anyhow::Result<u64> {
        let stats = self.info("commandstats")?;
        let start = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&start));
        let count = line.and_then(|line| line.split(',').next());
        Ok(count.map_or(Ok(0), str::parse)?)
    }

    fn info(&self, section: &str) -> anyhow::Result<String> {
        let mut connection = TcpStream::connect(self.addr)?;
        connection.set_read_timeout(Some(Duration::from_secs(2)))?;
        connection.write_all(format!("INFO {section}\r\nQUIT\r\n").as_bytes())?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.kill();
    }
}
