//! What is served while the engine starts: who asks is told at once what it waits for.

use axum::Router;
use axum::routing::{any, get};

use crate::cluster::Awaited;
use crate::http::{Problem, browsers};

/// It is alive, and does nothing else yet.
pub(super) fn router(awaited: Awaited) -> Router {
    let of_all = awaited.clone();
    let ready = move || async move { Problem::not_ready(awaited.reason()) };
    let other = move || async move { Problem::starting(of_all.reason()) };
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .fallback_service(any(other).layer(browsers()))
}
