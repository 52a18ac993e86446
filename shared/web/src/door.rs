//! Turns requests away while they wait too long before anybody reads them.
//!
//! They stand in sockets and among the runtime's ready tasks then, first come, first served, so that all
//! are answered and all too late; nobody there knows how long. So something of our own goes the same
//! way: every few milliseconds a thread that serves nothing writes the time into a socket, and a task
//! among those of the connections reads it. What waited long while the threads that serve had hardly a
//! moment to spare stood in a queue (decision 0024); a wait alone may be another program's doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::Response;
use guard::{Clock, Shedder, Tasks};
use http::Request;
use ops::metric::LIMITED;
use store::LiveTuning;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::Notify;

use crate::shell::Shell;

/// How often the time is sent.
const EVERY: Duration = Duration::from_millis(5);
/// It is sent so often after somebody asked, about a second; then somebody has to ask again. A process
/// that nobody asks sleeps.
const ROUND: u32 = 200;
/// Part of their time that the serving threads must have worked for a wait to be a queue's.
const BUSY_MIN: f64 = 0.8;
/// That part is taken over this long.
const BUSY_OVER: Duration = Duration::from_millis(50);

/// Lets requests in, or a share of them.
#[derive(Debug)]
pub struct Door {
    shell: Arc<Shell>,
    shedder: Shedder,
    tuning: Arc<LiveTuning>,
    clock: Arc<dyn Clock>,
    /// Somebody asked since the last round began.
    asked: AtomicBool,
    again: Notify,
}

impl Door {
    /// Lets everybody in until a queue stands, as the document in force says; refusals look like the
    /// answers of this shell.
    #[must_use]
    pub fn new(shell: Arc<Shell>, tuning: Arc<LiveTuning>, clock: Arc<dyn Clock>) -> Self {
        let in_force = tuning.snapshot().guard.shedder;
        Self {
            shell,
            shedder: Shedder::new(in_force, Arc::clone(&clock)),
            tuning,
            clock,
            asked: AtomicBool::new(false),
            again: Notify::new(),
        }
    }

    /// The answer for who is turned away; none for who may go on. Who asks for the process itself
    /// always may.
    pub(crate) fn turn_away<B>(&self, request: &Request<B>) -> Option<Response> {
        if !self.asked.load(Ordering::Relaxed) {
            self.asked.store(true, Ordering::Relaxed);
            self.again.notify_one();
        }
        let path = request.uri().path();
        let about_us = ["/health/", "/metrics", "/admin/"];
        let is_about_us = about_us.iter().any(|start| path.starts_with(start));
        if is_about_us || !self.shedder.turns_away() {
            return None;
        }
        metrics::counter!(LIMITED, "level" => "process").increment(1);
        Some(self.shell.overloaded(request.headers()))
    }

    /// Measures for as long as it is awaited, by a thread that serves nothing.
    ///
    /// # Errors
    /// When there is no socket for it.
    pub(crate) async fn watch(self: &Arc<Self>, tasks: &Tasks) -> std::io::Result<()> {
        let (here, there) = UnixStream::pair()?;
        tasks.spawn(Arc::clone(self).measure(there));
        loop {
            self.asked.store(false, Ordering::Relaxed);
            self.again.notified().await;
            self.shedder.tune(self.tuning.snapshot().guard.shedder);
            for _ in 0..ROUND {
                tokio::time::sleep(EVERY).await;
                let sent = self.clock.now().mono.as_nanos() as u64;
                // No room: nothing has been read for long, and the oldest is the one that counts.
                let _ = here.try_write(&sent.to_le_bytes());
            }
        }
    }

    /// Reads the times; it ends with the socket.
    async fn measure(self: Arc<Self>, mut there: UnixStream) {
        let mut busy = Busy::new(Handle::current().metrics());
        let mut sent = [0; 1_024];
        while let Ok(1..) = there.read(&mut sent).await {
            let now = self.clock.now().mono;
            let oldest = sent
                .first_chunk()
                .map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let waited = if busy.is_busy(now) {
                now.saturating_sub(Duration::from_nanos(oldest))
            } else {
                Duration::ZERO
            };
            self.shedder.note(waited);
        }
    }
}

/// How much of their time a runtime's threads work.
struct Busy {
    runtime: RuntimeMetrics,
    at: Duration,
    worked: Duration,
    share: f64,
}

impl Busy {
    fn new(runtime: RuntimeMetrics) -> Self {
        Self {
            runtime,
            at: Duration::ZERO,
            worked: Duration::ZERO,
            share: 0.0,
        }
    }

    fn is_busy(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at);
        if passed >= BUSY_OVER {
            let threads = self.runtime.num_workers();
            let worked = (0..threads)
                .map(|thread| self.runtime.worker_total_busy_duration(thread))
                .sum::<Duration>();
            let more = worked.saturating_sub(self.worked);
            self.share = more.as_secs_f64() / (passed.as_secs_f64() * threads as f64);
            (self.at, self.worked) = (now, worked);
        }
        self.share >= BUSY_MIN
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::Router;
    use axum::routing::get;
    use futures_util::future::{join_all, select_all};
    use ops::RealClock;
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    use super::*;

    /// Every request takes so long of the one thread that serves.
    const WORK: Duration = Duration::from_micros(500);
    /// So many ask without a pause: each waits for all others.
    const CROWD: usize = 64;

    /// A process of one thread that serves; it stops with the sender.
    async fn house() -> (SocketAddr, oneshot::Sender<()>) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (listens, listening) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                listens.send(listener.local_addr().unwrap()).unwrap();
                let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
                let shell = Arc::new(Shell::new(Arc::clone(&clock), 1));
                let works = Arc::clone(&clock);
                let work = || async move {
                    let began = works.now().mono;
                    while works.now().mono < began + WORK {}
                };
                let routes = Router::new()
                    .route("/work", get(work))
                    .route("/fine", get(|| async {}))
                    .route("/health/live", get(|| async {}));
                let router = crate::host(routes, Vec::new(), Arc::clone(&shell));
                let door = Door::new(shell, Arc::default(), clock);
                let stopped = async {
                    let _ = stopped.await;
                };
                crate::listen(listener, router, Some(Arc::new(door)), stopped)
                    .await
                    .unwrap();
            });
        });
        (listening.await.unwrap(), stop)
    }

    async fn ask(addr: SocketAddr, path: &str) -> String {
        let text = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        crate::listen::tests::ask(addr, &text).await
    }

    #[tokio::test]
    async fn while_a_queue_stands_some_are_turned_away_and_the_process_answers_for_itself() {
        let (addr, _stop) = house().await;
        let one = async || loop {
            let answer = ask(addr, "/work").await;
            if !answer.starts_with("HTTP/1.1 200") {
                break answer;
            }
        };
        let crowd = select_all((0..CROWD).map(|_| Box::pin(one())));
        let refused = tokio::time::timeout(Duration::from_secs(30), crowd);
        let (refused, _, others) = refused.await.expect("a queue stands");
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        for part in ["retry-after: ", "x-request-id: ", r#""code":"overloaded""#] {
            assert!(refused.contains(part), "{refused}");
        }
        let ours = async {
            for _ in 0..10 {
                assert!(ask(addr, "/health/live").await.starts_with("HTTP/1.1 200"));
            }
        };
        tokio::select! {
            _ = join_all(others) => {}
            () = ours => {}
        }
    }

    #[tokio::test]
    async fn who_comes_alone_is_let_in() {
        let (addr, _stop) = house().await;
        for _ in 0..500 {
            assert!(ask(addr, "/fine").await.starts_with("HTTP/1.1 200"));
        }
    }
}
