//! A runtime of its own for each part of the kit.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

/// Runs one part of the kit beside the test: a test that pauses time, blocks its thread or ends
/// neither stops nor outlives it. Dropping it ends every task and connection at once.
#[derive(Debug)]
pub(crate) struct Host {
    runtime: Option<Runtime>,
}

impl Host {
    pub(crate) fn start(name: &str) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(name)
            .enable_all()
            .build()
            .with_context(|| format!("start a runtime for {name}"))?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(work);
        }
    }

    /// Takes a free loopback port for as long as the listener lives.
    pub(crate) fn listen(&self) -> anyhow::Result<(tokio::net::TcpListener, SocketAddr)> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = self.runtime.as_ref().context("the host has ended")?;
        let _inside = runtime.enter();
        Ok((tokio::net::TcpListener::from_std(listener)?, addr))
    }

    /// Serves a router on a free loopback port.
    pub(crate) fn serve(&self, router: axum::Router) -> anyhow::Result<SocketAddr> {
        let (listener, addr) = self.listen()?;
        self.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "a server of the test kit ended");
            }
        });
        Ok(addr)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
