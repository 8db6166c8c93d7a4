//! The HTTP server: connections with limits on their number and on the time that they can hold something.
//!
//! Not `axum::serve`, which has no limit on the time for the head of a request: a few thousand connections that send one byte
//! a minute would be enough to shut everybody else out.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::Peer;
use crate::faults;
use crate::limits::{BODY_READ_TIMEOUT, DRAIN_TIMEOUT, HEADER_READ_TIMEOUT, RECEIPT_TIMEOUT, REQUEST_HEAD_BYTES_MAX};

/// How long things may take. The defaults, with their reasons, are in [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The head of a request, or the rest between two.
    pub header_read: Duration,
    /// The body of a request.
    pub body_read: Duration,
    /// The receipt of the engine.
    pub receipt: Duration,
    /// Requests under way when the server stops.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            header_read: HEADER_READ_TIMEOUT,
            body_read: BODY_READ_TIMEOUT,
            receipt: RECEIPT_TIMEOUT,
            drain: DRAIN_TIMEOUT,
        }
    }
}

/// What is served: at first one router, and from some time on another one. Cheap to clone; clones turn together.
#[derive(Clone, Debug)]
pub struct Routes(Arc<(Router, OnceLock<Router>)>);

impl From<Router> for Routes {
    fn from(first: Router) -> Self {
        Routes(Arc::new((first, OnceLock::new())))
    }
}

impl Routes {
    /// From now on this is served, also on connections that are open. It can be said once.
    pub fn turn_to(&self, router: Router) {
        _ = self.0.1.set(router);
    }

    fn now(&self) -> Router {
        self.0.1.get().unwrap_or(&self.0.0).clone()
    }
}

/// Serves `routes` until `shutdown`; then takes no new connections and finishes the requests that are under way.
///
/// Beyond `connections_max` connections new ones wait in the queue of the operating system.
pub async fn serve(
    listener: TcpListener,
    routes: impl Into<Routes>,
    connections_max: usize,
    timeouts: Timeouts,
    shutdown: impl Future<Output = ()>,
) {
    let routes = routes.into();
    let mut http1 = http1::Builder::new();
    http1.timer(TokioTimer::new()).header_read_timeout(timeouts.header_read).max_buf_size(REQUEST_HEAD_BYTES_MAX);
    let slots = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        if faults::point("http") {
            return;
        }
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = &mut shutdown => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Answers are small and awaited: none of them is to wait for a full packet.
                let _ = stream.set_nodelay(true);
                let service = OfPeer { routes: routes.clone(), peer: Peer(peer.ip()) };
                let connection = connections.watch(http1.serve_connection(TokioIo::new(stream), service));
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    drop(slot);
                });
            }
            // Usually too many open files: it passes as connections close.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(timeouts.drain, connections.shutdown()).await.is_err() {
        tracing::warn!("requests are still under way: giving them up");
    }
}

/// Tells each request of a connection where it comes from.
struct OfPeer {
    routes: Routes,
    peer: Peer,
}

impl Service<Request<Incoming>> for OfPeer {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        TowerToHyperService::new(self.routes.now()).call(request)
    }
}
