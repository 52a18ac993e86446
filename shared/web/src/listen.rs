//! A router on a socket.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;

/// Serves a router on a socket until `stop` resolves and what is under way has been answered.
/// Handlers find the peer's address in their requests.
///
/// # Errors
/// What the operating system says of the socket.
pub fn listen(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> BoxFuture<'static, io::Result<()>> {
    let served = router.into_make_service_with_connect_info::<SocketAddr>();
    // Both boxed: so all of the server is compiled here, and optimised as this crate is.
    let stop = stop.boxed();
    async move {
        axum::serve(listener, served)
            .with_graceful_shutdown(stop)
            .await
    }
    .boxed()
}
