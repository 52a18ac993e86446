//! A server as a child process that cannot be left behind.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{READY_EVERY, READY_MAX};

/// Runs the server beside a reader of our pipe. The pipe ends when we drop it and when we are
/// killed; then the server is killed, too. Its process id is the first line of output.
const KEEPER: &str = r#"
log=$1; shift
"$@" >"$log" 2>&1 </dev/null & server=$!
echo "$server"
cat >/dev/null
kill -9 "$server"; wait "$server"
rm -f "$log"
"#;
/// One question to a server that is coming up.
const ASK_MAX: Duration = Duration::from_secs(2);

/// What a server can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Stand still: it keeps its port and answers nothing.
    Freeze,
    /// Go on.
    Thaw,
    /// End in order.
    Terminate,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) addr: SocketAddr,
    name: &'static str,
    command: Vec<String>,
    ask: &'static [u8],
    expect: &'static [u8],
    log: tempfile::NamedTempFile,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    keeper: Child,
    /// Held so that the keeper waits; `None` once it has been told to end.
    pipe: Option<ChildStdin>,
    server: u32,
}

impl Process {
    /// Starts `command` and waits until `ask`, sent to `addr`, is answered with `expect`.
    pub(super) async fn start(
        name: &'static str,
        addr: SocketAddr,
        command: Vec<String>,
        ask: &'static [u8],
        expect: &'static [u8],
    ) -> anyhow::Result<Self> {
        let log = tempfile::NamedTempFile::new().context("a file for a server's log")?;
        let mut process = Self {
            addr,
            name,
            command,
            ask,
            expect,
            log,
            running: None,
        };
        process.restart().await?;
        Ok(process)
    }

    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(self.log.path())
            .args(&self.command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        let pipe = keeper.stdin.take();
        let mut line = String::new();
        let output = keeper.stdout.take().context("the keeper's output")?;
        BufReader::new(output).read_line(&mut line)?;
        let server = line.trim().parse().context("the server's process id")?;
        self.running = Some(Running {
            keeper,
            pipe,
            server,
        });
        if tokio::time::timeout(READY_MAX, self.ready()).await.is_err() {
            bail!(
                "{} did not answer within {READY_MAX:?}: {}",
                self.name,
                self.last_words()
            );
        }
        Ok(())
    }

    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        drop(running.pipe.take());
        let ended = tokio::task::spawn_blocking(move || running.keeper.wait());
        ended
            .await?
            .with_context(|| format!("stop {}", self.name))?;
        Ok(())
    }

    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let running = self.running.as_ref().context("it is not running")?;
        let name = match signal {
            Signal::Freeze => "-STOP",
            Signal::Thaw => "-CONT",
            Signal::Terminate => "-TERM",
        };
        let sent = Command::new("kill")
            .args([name, &running.server.to_string()])
            .status()?;
        ensure!(sent.success(), "{} is gone", self.name);
        Ok(())
    }

    /// The server's own process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.server)
    }

    async fn ready(&self) {
        loop {
            if let Ok(Ok(true)) = tokio::time::timeout(ASK_MAX, self.answers()).await {
                return;
            }
            tokio::time::sleep(READY_EVERY).await;
        }
    }

    async fn answers(&self) -> std::io::Result<bool> {
        let mut connection = TcpStream::connect(self.addr).await?;
        connection.write_all(self.ask).await?;
        let mut answer = vec![0; self.expect.len()];
        connection.read_exact(&mut answer).await?;
        Ok(answer == self.expect)
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log.path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // Waiting is short: the keeper kills and ends. Without it, it would stay a zombie.
        let _ = self.keeper.wait();
    }
}
