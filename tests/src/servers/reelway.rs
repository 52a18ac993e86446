//! The local process as a server: `reelway serve`, killed with everything else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use super::process::{Process, Signal};
use crate::client::Client;

/// A running `reelway serve`.
#[derive(Debug)]
pub struct Reelway {
    process: Process,
}

impl Reelway {
    /// Starts a binary with nothing in its environment but `environment`, on a free port, and
    /// waits until it is warm.
    ///
    /// # Errors
    /// When it does not come up; with its last lines of output.
    pub async fn start(binary: &Path, environment: &[(String, String)]) -> anyhow::Result<Self> {
        Self::start_by(&[], binary, environment).await
    }

    /// The same on one core, so that whoever loads it has the others.
    ///
    /// # Errors
    /// As [`Reelway::start`].
    pub async fn start_on_one_core(
        binary: &Path,
        environment: &[(String, String)],
    ) -> anyhow::Result<Self> {
        Self::start_by(&["taskset", "-c", "0"], binary, environment).await
    }

    async fn start_by(
        by: &[&str],
        binary: &Path,
        environment: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let ask = b"GET /health/ready HTTP/1.0\r\n\r\n";
        let process = super::start("reelway", ask, b"HTTP/1.0 200", |port| {
            let addr = format!("REELWAY_ADDR=127.0.0.1:{port}");
            let given = environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            let env = ["env".to_owned(), "-i".to_owned(), addr];
            let binary = binary.display().to_string();
            let by = by.iter().map(|&word| word.to_owned());
            env.into_iter()
                .chain(given)
                .chain(by)
                .chain([binary])
                .collect()
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

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process.signal(signal)
    }

    /// How many files and sockets it holds open.
    ///
    /// # Errors
    /// When it is gone, or the system does not tell.
    pub fn descriptors(&self) -> anyhow::Result<usize> {
        let pid = self.process.pid().context("reelway is not running")?;
        Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
    }

    /// Its metrics, each by its name and labels as they are printed.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let reply = Client::new(self.addr()).get("/metrics").await?;
        let text = String::from_utf8(reply.body)?;
        let value = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(value)
            .collect())
    }
}
