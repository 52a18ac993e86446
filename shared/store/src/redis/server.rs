//! A real Redis for tests, on a free port, gone when dropped.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use guard::{Clock, Deadline, Tasks};

use super::{RedisSettings, Shared};

/// How long a server may take to listen.
const START_TRIES: u32 = 500;

pub struct RedisServer {
    addr: SocketAddr,
    options: Vec<String>,
    child: Option<Child>,
    dir: tempfile::TempDir,
}

impl RedisServer {
    /// Starts a server with further options of its command line.
    pub async fn start(options: &[&str]) -> Self {
        let addr = free_addr();
        let options = options.iter().map(ToString::to_string).collect();
        let dir = tempfile::tempdir().unwrap();
        let mut server = Self {
            addr,
            options,
            child: None,
            dir,
        };
        server.restart().await;
        server
    }

    /// Starts it again on its port, empty.
    pub async fn restart(&mut self) {
        self.kill();
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
            .args(["--dir", self.dir.path().to_str().unwrap()])
            .args(
                self.options
                    .iter()
                    .map(|option| option.replace("{port}", &port)),
            )
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is on the path");
        self.child = Some(child);
        for _ in 0..START_TRIES {
            if TcpStream::connect(self.addr).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not listen");
    }

    /// How often the server was sent each of these commands.
    pub async fn calls(&self, commands: &[&str]) -> u64 {
        let mut client = self.client().await;
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut client)
            .await
            .unwrap();
        let of = |command: &&str| {
            let start = format!("cmdstat_{command}:calls=");
            let line = stats.lines().find_map(|line| line.strip_prefix(&start));
            line.map_or(0, |line| {
                line.split(',').next().unwrap().parse::<u64>().unwrap()
            })
        };
        commands.iter().map(of).sum()
    }

    /// Kills it, as an outage does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Freezes it (`STOP`) or lets it go on (`CONT`): connections stay open, nothing is answered.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// A client of its own, for looking and for meddling.
    pub async fn client(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    pub async fn shared(&self, clock: &Arc<dyn Clock>) -> Shared {
        connect(&RedisSettings::new(&self.url()), clock).await
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address that nobody listens on.
pub fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

pub async fn connect(settings: &RedisSettings, clock: &Arc<dyn Clock>) -> Shared {
    let deadline = Deadline::after(Arc::clone(clock), Duration::from_secs(2));
    Shared::connect(settings, Arc::clone(clock), Tasks::new(), &deadline)
        .await
        .unwrap()
}
