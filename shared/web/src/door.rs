//! Turns requests away while they wait too long before anybody reads them.
//!
//! They stand in sockets and among the runtime's ready tasks then, and nobody there knows how long. So
//! something of our own waits with them, again and again, on behalf of a thread that serves nothing: a
//! byte that has to be read from a socket as theirs are, then a task that has to be begun. The byte goes
//! the way of what is woken by a socket, the task to the end of the queue that such tasks overflow into
//! when they are many, and that the runtime comes to last. The wait is the sum of both.
//!
//! What waited while a thread that serves slept stood in no queue (decision 0024); it may be another
//! program that wanted the processor. The runtime sleeps, if only for a moment, whenever no task is ready,
//! and looks at sockets after 61 tasks at the latest: a queue of fewer connections than that is not seen,
//! and takes a few milliseconds.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::Response;
use guard::{Clock, Shedder, Tasks};
use http::Request;
use ops::metric::LIMITED;
use store::LiveTuning;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::Notify;

use crate::shell::Shell;

/// How long it is until the next one waits, and how often it is noted how long one has waited so far.
const EVERY: Duration = Duration::from_millis(5);
/// So long it is measured after somebody asked, and until the queue is gone; then somebody has to ask
/// again. A process that nobody asks sleeps.
const ROUND: Duration = Duration::from_secs(1);

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

    /// Measures for as long as it is awaited, by a thread that serves nothing. Without a socket for it
    /// everybody is let in.
    pub(crate) async fn watch(&self, tasks: &Tasks) -> Infallible {
        let Err(error) = self.watch_by_socket(tasks).await;
        tracing::error!(%error, "how long requests wait is not known, so none is turned away");
        self.shedder.note(Duration::ZERO);
        pending().await
    }

    async fn watch_by_socket(&self, tasks: &Tasks) -> io::Result<Infallible> {
        let (mut here, there) = UnixStream::pair()?;
        tasks.spawn(echo(there));
        let serving = Serving(Handle::current().metrics());
        let mut waited = Duration::ZERO;
        loop {
            self.asked.store(false, Ordering::Relaxed);
            self.again.notified().await;
            let until = self.clock.now().mono + ROUND;
            while self.clock.now().mono < until || waited > EVERY {
                tokio::time::sleep(EVERY).await;
                self.shedder.tune(self.tuning.snapshot().guard.shedder);
                let wait = queue(&mut here, tasks);
                waited = self.measure(wait, waited, &serving).await?;
            }
        }
    }

    /// Says how long a wait was, and until it ends what is known of it.
    async fn measure(
        &self,
        wait: impl Future<Output = io::Result<()>>,
        before: Duration,
        serving: &Serving,
    ) -> io::Result<Duration> {
        let (began, naps) = (self.clock.now().mono, serving.naps());
        let mut wait = pin!(wait);
        loop {
            let over = tokio::time::timeout(EVERY, &mut wait).await;
            let waited = if naps.is_some() && serving.naps() == naps {
                self.clock.now().mono.saturating_sub(began)
            } else {
                Duration::ZERO
            };
            self.shedder.note(match over {
                Err(_) => so_far(waited, before),
                Ok(_) => waited,
            });
            if let Ok(over) = over {
                return over.map(|()| waited);
            }
        }
    }
}

/// What a wait that is not over says: it will be this long at least, and as long as the one before it
/// unless the queue was gone meanwhile.
fn so_far(waited: Duration, before: Duration) -> Duration {
    if waited.is_zero() {
        waited
    } else {
        waited.max(before)
    }
}

/// Gives every byte back; it ends with the other end.
async fn echo(mut there: UnixStream) -> io::Result<u64> {
    let (mut from, mut to) = there.split();
    tokio::io::copy(&mut from, &mut to).await
}

/// Waits in both queues, one after the other.
async fn queue(here: &mut UnixStream, tasks: &Tasks) -> io::Result<()> {
    here.write_all(&[0]).await?;
    here.read_exact(&mut [0]).await?;
    // A task that did not end says that the runtime does.
    let _ = tasks.spawn(async {}).await;
    Ok(())
}

/// The threads that serve.
struct Serving(RuntimeMetrics);

impl Serving {
    /// How often they had nothing to do, so far; none if one has nothing to do now, or had so until at most
    /// 61 tasks ago: so late it tells that it woke up.
    fn naps(&self) -> Option<u64> {
        let counts =
            (0..self.0.num_workers()).map(|thread| self.0.worker_park_unpark_count(thread));
        // Odd while it sleeps.
        counts.map(|count| (count % 2 == 0).then_some(count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::AtomicUsize;

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

    fn one_thread() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    }

    /// A process of one thread that serves; it stops with the sender.
    async fn house() -> (SocketAddr, oneshot::Sender<()>) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (listens, listening) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let runtime = one_thread();
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

    #[test]
    fn a_wait_that_is_not_over_lowers_nothing_while_the_queue_stands() {
        let ms = Duration::from_millis;
        assert_eq!(so_far(ms(5), ms(40)), ms(40));
        assert_eq!(so_far(ms(45), ms(40)), ms(45));
        assert_eq!(so_far(ms(0), ms(40)), ms(0));
    }

    /// What a door says after a wait: beside a thread that serves nothing, or one with much to do.
    fn after_a_wait(tasks_of_a_millisecond: u32, wait: Duration) -> bool {
        let runtime = one_thread();
        runtime.block_on(async {
            let (tasks, clock) = (Tasks::new(), RealClock::new());
            let (mut here, there) = UnixStream::pair().unwrap();
            tasks.spawn(echo(there));
            let shared: Arc<dyn Clock> = Arc::new(clock);
            let shell = Arc::new(Shell::new(Arc::clone(&shared), 1));
            let door = Door::new(shell, Arc::default(), shared);
            for _ in 0..tasks_of_a_millisecond {
                tasks.spawn(async move {
                    let began = clock.now().mono;
                    while clock.now().mono < began + Duration::from_millis(1) {}
                });
            }
            let serving = Serving(Handle::current().metrics());
            // Tokio tells that a thread woke up at its next maintenance, up to 61 tasks later.
            for _ in 0..tasks_of_a_millisecond {
                if serving.naps().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let wait = async {
                tokio::time::sleep(wait).await;
                queue(&mut here, &tasks).await
            };
            door.measure(wait, Duration::ZERO, &serving).await.unwrap();
            (0..10).any(|_| door.shedder.turns_away())
        })
    }

    #[test]
    fn who_waits_beside_a_thread_that_sleeps_stands_in_no_queue() {
        assert!(!after_a_wait(0, Duration::from_millis(300)));
        assert!(after_a_wait(600, Duration::ZERO));
    }

    #[test]
    fn what_waits_stands_behind_the_overflow_of_what_was_ready_before_it() {
        const READY: usize = 2_000;
        /// A thread has so many next to it, which it may come to later.
        const AT_HAND: usize = 256;
        let runtime = one_thread();
        let begun = Arc::new(AtomicUsize::new(0));
        let waited_for = runtime.block_on(async {
            let (tasks, clock) = (Tasks::new(), RealClock::new());
            let (mut here, there) = UnixStream::pair().unwrap();
            tasks.spawn(echo(there));
            for _ in 0..READY {
                let (begun, clock) = (Arc::clone(&begun), clock);
                tasks.spawn(async move {
                    begun.fetch_add(1, Ordering::Relaxed);
                    let began = clock.now().mono;
                    while clock.now().mono < began + WORK / 10 {}
                });
            }
            queue(&mut here, &tasks).await.unwrap();
            begun.load(Ordering::Relaxed)
        });
        assert!(waited_for + AT_HAND >= READY, "{waited_for}");
    }

    #[tokio::test]
    async fn who_comes_alone_is_let_in() {
        let (addr, _stop) = house().await;
        for _ in 0..500 {
            assert!(ask(addr, "/fine").await.starts_with("HTTP/1.1 200"));
        }
    }
}
