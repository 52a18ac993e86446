//! A TCP proxy that misbehaves on request.
//!
//! ```text
//! client ──▶ 127.0.0.1:free ──▶ upstream
//!                 │ mode: pass, refuse, reset, stall, latency, bandwidth, slice, close after,
//!                 │       answer in the server's place; swallow replies; count
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use guard::Clock;
use ops::RealClock;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use crate::host::Host;

mod connection;
mod resp;

/// How long a switch of modes may take.
const SWITCH_MAX: Duration = Duration::from_secs(5);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// What the proxy does with connections and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Carries everything.
    Pass,
    /// Nobody listens, and what was connected is closed: a server that was stopped.
    Refuse,
    /// What was connected is reset, and so is what connects: a server that crashed.
    Reset,
    /// Accepts and reads, and carries nothing until the mode changes; then carries what it held:
    /// a server, or a path to it, that is frozen.
    Stall,
    /// Carries replies later: by `each`, give or take up to `jitter`. Order is kept, and replies
    /// do not wait for each other.
    Latency {
        /// Added to every reply.
        each: Duration,
        /// Largest deviation from it.
        jitter: Duration,
    },
    /// Carries replies no faster than this.
    Bandwidth {
        /// Of one connection; at least 1.
        bytes_per_s: u32,
    },
    /// Carries replies in small parts.
    Slice {
        /// Of one part; at least 1.
        bytes: u32,
        /// Between two parts.
        every: Duration,
    },
    /// Closes each connection once so many bytes of replies were carried over it in this mode.
    CloseAfter {
        /// Of replies; what is beyond is lost.
        bytes: u32,
    },
    /// Answers every Redis command itself, whatever it is, and carries nothing: a server that is
    /// loading, was demoted, or moved its slots.
    Answer(&'static str),
}

/// What has passed so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections accepted since the start.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Bytes from clients, carried or held.
    pub bytes_up: u64,
    /// Bytes to clients, carried, held or swallowed.
    pub bytes_down: u64,
    /// How often a client spoke after the server had: the round trips of a connection that is
    /// used by one at a time; requests sent together count as one.
    pub round_trips: u64,
    /// Replies swallowed.
    pub swallowed: u64,
}

/// A proxy in front of one server. Ends, with all its connections, when dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _host: Host,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    clock: RealClock,
    mode: watch::Sender<Mode>,
    /// Whether somebody listens.
    listening: watch::Sender<bool>,
    open: watch::Sender<u64>,
    /// Replies still to be swallowed.
    swallow: AtomicU32,
    connections: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    round_trips: AtomicU64,
    swallowed: AtomicU64,
}

impl Proxy {
    /// A passing proxy in front of `upstream`, which need not be there yet.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let host = Host::start("fault-proxy")?;
        let (listener, addr) = host.listen()?;
        let shared = Arc::new(Shared {
            upstream,
            clock: RealClock::new(),
            mode: watch::Sender::new(Mode::Pass),
            listening: watch::Sender::new(true),
            open: watch::Sender::new(0),
            swallow: AtomicU32::new(0),
            connections: AtomicU64::new(0),
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
            round_trips: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        host.spawn(async move {
            if let Err(error) = serve(&serving, listener, addr).await {
                tracing::error!(%error, "the fault proxy ended");
            }
        });
        Ok(Self {
            addr,
            shared,
            _host: host,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Switches the mode. When this returns, new connections meet the new mode, and those that it
    /// cuts are closed.
    ///
    /// # Errors
    /// When the switch does not take effect within five seconds.
    pub async fn set(&self, mode: Mode) -> anyhow::Result<()> {
        self.shared.mode.send_replace(mode);
        let (mut listening, mut open) = (
            self.shared.listening.subscribe(),
            self.shared.open.subscribe(),
        );
        let switched = async {
            listening
                .wait_for(|listening| *listening == (mode != Mode::Refuse))
                .await?;
            if matches!(mode, Mode::Refuse | Mode::Reset) {
                open.wait_for(|open| *open == 0).await?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(SWITCH_MAX, switched)
            .await
            .context("switch the fault proxy")?
    }

    /// Swallows the next `replies`: pieces of what the server sends, as they are read. With one
    /// request under way, a piece is its reply.
    pub fn swallow(&self, replies: u32) {
        self.shared.swallow.fetch_add(replies, Ordering::AcqRel);
    }

    /// What has passed so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Counters {
            connections: read(&self.shared.connections),
            open: *self.shared.open.borrow(),
            bytes_up: read(&self.shared.bytes_up),
            bytes_down: read(&self.shared.bytes_down),
            round_trips: read(&self.shared.round_trips),
            swallowed: read(&self.shared.swallowed),
        }
    }
}

async fn serve(
    shared: &Arc<Shared>,
    mut listener: TcpListener,
    addr: SocketAddr,
) -> anyhow::Result<()> {
    let mut mode = shared.mode.subscribe();
    let tasks = guard::Tasks::new();
    loop {
        if *mode.borrow_and_update() == Mode::Refuse {
            drop(listener);
            // Bound without listening: the port stays ours, and connecting to it is refused.
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            shared.listening.send_replace(false);
            mode.wait_for(|mode| *mode != Mode::Refuse).await?;
            listener = socket.listen(BACKLOG)?;
            shared.listening.send_replace(true);
        }
        tokio::select! {
            changed = mode.changed() => changed?,
            accepted = listener.accept() => {
                let (client, _) = accepted?;
                shared.connections.fetch_add(1, Ordering::AcqRel);
                shared.open.send_modify(|open| *open += 1);
                let open = Open(Arc::clone(shared));
                tasks.spawn(async move { connection::carry(&open.0, client).await });
            }
        }
    }
}

/// Counts a connection as open until dropped.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

impl Shared {
    /// What `mode` adds to a reply; `number` seeds the jitter, so that runs repeat.
    fn latency(&self, number: u64) -> Duration {
        let Mode::Latency { each, jitter } = *self.mode.borrow() else {
            return Duration::ZERO;
        };
        // A multiplicative hash, of which the top 16 bits are evenly spread.
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        let jitter_ns = u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX);
        let deviation = Duration::from_nanos((jitter_ns / 65_535).saturating_mul(2 * spread));
        (each + deviation).saturating_sub(jitter)
    }

    fn now(&self) -> Duration {
        self.clock.now().mono
    }
}
