//! A router on a socket.
//!
//! Every connection goes to hyper as it is: what the router's own server puts between the two, for
//! protocols and upgrades that nobody speaks here, costs every request a copy of the service and boxes
//! for an empty body.

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use axum::serve::Listener;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either};
use guard::Tasks;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::door::Door;

/// How often it is looked whether the last connection has ended; the host bounds the waiting.
const LOOK: Duration = Duration::from_secs(1);

/// Serves a router on a socket until `stop` resolves and what is under way has been answered.
/// Handlers find the peer's address in their requests; what the door, if there is one, turns away
/// reaches none of them.
///
/// # Errors
/// What the operating system says of the socket.
pub fn listen(
    listener: TcpListener,
    router: Router,
    door: Option<Arc<Door>>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> BoxFuture<'static, io::Result<()>> {
    // Both boxed: so all of the server is compiled here, and optimised as this crate is.
    let stop = stop.boxed();
    serve(listener, House { router, door }, stop).boxed()
}

/// Where requests go.
#[derive(Clone)]
struct House {
    router: Router,
    door: Option<Arc<Door>>,
}

async fn serve(
    mut listener: TcpListener,
    house: House,
    mut stop: BoxFuture<'static, ()>,
) -> io::Result<()> {
    listener.local_addr()?;
    let (tasks, stopping) = (Tasks::new(), CancellationToken::new());
    {
        let mut watch = match &house.door {
            Some(door) => door.watch(&tasks).boxed(),
            None => pending().boxed(),
        };
        loop {
            // What cannot be accepted is tried again after a pause.
            let (stream, peer) = tokio::select! {
                biased;
                () = &mut stop => break,
                never = &mut watch => match never {},
                accepted = Listener::accept(&mut listener) => accepted,
            };
            tasks.spawn(connection(stream, peer, house.clone(), stopping.clone()));
        }
    }
    drop(listener);
    stopping.cancel();
    while !tasks.drain(LOOK).await {}
    Ok(())
}

/// Answers what comes over one connection; when it is to stop, what is under way.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    house: House,
    stopping: CancellationToken,
) {
    // An answer is written whole: holding it back for more would only delay it.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| house.answer(peer, request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    // How a connection ends is its client's affair.
    tokio::select! {
        biased;
        _ = served.as_mut() => return,
        () = stopping.cancelled() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

impl House {
    fn answer(
        &self,
        peer: SocketAddr,
        request: http::Request<Incoming>,
    ) -> Either<Ready<Result<Response, Infallible>>, RouteFuture<Infallible>> {
        let refusal = self.door.as_ref().and_then(|door| door.turn_away(&request));
        if let Some(refusal) = refusal {
            return Either::Left(ready(Ok(refusal)));
        }
        let mut request: Request = request.map(|body| {
            if body.is_end_stream() {
                Body::empty()
            } else {
                Body::new(body)
            }
        });
        request.extensions_mut().insert(ConnectInfo(peer));
        Either::Right(self.router.clone().call(request))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{Notify, oneshot};

    use super::*;

    /// Serves until the sender is used or dropped.
    async fn served(
        router: Router,
    ) -> (
        SocketAddr,
        oneshot::Sender<()>,
        BoxFuture<'static, io::Result<()>>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = listen(listener, router, None, async move {
            let _ = stopped.await;
        });
        (addr, stop, serving)
    }

    /// Everything that comes back until the server hangs up.
    pub(crate) async fn ask(addr: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn handlers_find_the_peer_and_the_body() {
        let peer =
            |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() };
        let router = Router::new()
            .route("/peer", get(peer))
            .route("/echo", post(|body: String| async { body }));
        let (addr, _stop, serving) = served(router).await;
        let asked = async {
            let text = "GET /peer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
            assert!(ask(addr, text).await.ends_with("\r\n\r\n127.0.0.1"));
            let text = "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";
            assert!(ask(addr, text).await.ends_with("\r\n\r\nhello"));
        };
        tokio::select! {
            () = asked => {}
            _ = serving => panic!("nobody said stop"),
        }
    }

    #[tokio::test]
    async fn what_is_under_way_is_answered_before_it_stops() {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, waits) = (Arc::clone(&begun), Arc::clone(&go_on));
        let slow = || async move {
            begins.notify_one();
            waits.notified().await;
            "done"
        };
        let (addr, stop, serving) = served(Router::new().route("/slow", get(slow))).await;
        let asked = async {
            // Kept alive by the client: it is the server who hangs up.
            let answer = ask(addr, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
                "{answer}"
            );
        };
        let stopping = async {
            begun.notified().await;
            stop.send(()).unwrap();
            while TcpStream::connect(addr).await.is_ok() {
                tokio::task::yield_now().await;
            }
            go_on.notify_one();
        };
        let (served, (), ()) = tokio::join!(serving, asked, stopping);
        assert!(served.is_ok());
    }
}
