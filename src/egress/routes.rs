//! What operators see of destinations, and what they may do to them, over HTTP. For admins only: the names of profiles and what
//! an endpoint answered are not for everybody.
//!
//! An order is answered when it is safe on the disk; how far it has got is in the status.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use dataflows::model::Tick;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::forward::EventLetter;
use super::outbox::{self, Order};
use super::{DeadLetter, Egress, EventStatus, Status};
use crate::clock::Now;
use crate::http::{Admission, Problem, Role, json, method_not_allowed};

/// What the routes work with.
struct Desk {
    egress: Egress,
    now: Now,
}

type Named = Result<Path<String>, PathRejection>;

/// The routes of destinations.
pub fn router(admission: &Admission, egress: Egress, now: Now) -> Router {
    let order = |order| {
        let ordered = move |State(desk): State<Arc<Desk>>, name: Named| async move { desk.order(name, order).await };
        post(ordered).fallback(method_not_allowed)
    };
    let forget = |State(desk): State<Arc<Desk>>, name: Named| async move { desk.order(name, Order::Forget).await };
    let letters = get(dead_letters).delete(forget).fallback(method_not_allowed);
    let router = Router::new()
        .route("/v1/destinations", get(all).fallback(method_not_allowed))
        .route("/v1/destinations/{name}", get(one).fallback(method_not_allowed))
        .route("/v1/destinations/{name}/pause", order(Order::Pause))
        .route("/v1/destinations/{name}/resume", order(Order::Resume))
        .route("/v1/destinations/{name}/resync", order(Order::Resync))
        .route("/v1/destinations/{name}/dead-letters", letters)
        .route("/v1/destinations/{name}/dead-letters/retry", order(Order::Retry))
        .with_state(Arc::new(Desk { egress, now }));
    Role::Admin.guard(router, admission)
}

/// A destination as JSON. Rows are (audience, identifier).
#[derive(Serialize)]
struct StatusJson {
    name: String,
    state: String,
    desired: usize,
    acknowledged: usize,
    pending: usize,
    resync: usize,
    oldest_pending_ms: Option<u64>,
    frontier: u64,
    dead_letters: usize,
    dead_deletes: usize,
    failed_calls: u64,
    given_up: u64,
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<EventsJson>,
}

/// The same of its events.
#[derive(Serialize)]
struct EventsJson {
    pending: usize,
    oldest_pending_ms: Option<u64>,
    acknowledged: u64,
    dead_letters: usize,
    failed_calls: u64,
    given_up: u64,
    withheld: u64,
    dead_letters_lost: u64,
    last_error: Option<String>,
}

impl Desk {
    /// The destination of a name, by position.
    fn find(&self, name: Named) -> Result<usize, Problem> {
        let found = name.ok().and_then(|Path(name)| self.egress.position(&name));
        let message = "there is no destination of this name: GET /v1/destinations lists them";
        found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "unknown_destination", message))
    }

    fn json(&self, status: Status) -> StatusJson {
        let Status { destination, backlog, changes, parked, events } = status;
        let now = (self.now)();
        let age_ms = |since: Tick| now.as_ms().saturating_sub(since.as_ms());
        StatusJson {
            name: destination.into(),
            state: if parked.is_some() && backlog.state == outbox::State::Delivering {
                "parked".to_owned()
            } else {
                backlog.state.to_string()
            },
            desired: backlog.desired,
            acknowledged: backlog.rows,
            pending: backlog.pending,
            resync: backlog.resync,
            oldest_pending_ms: backlog.oldest_pending.map(age_ms),
            frontier: backlog.frontier.as_ms(),
            dead_letters: backlog.refused,
            dead_deletes: backlog.refused_deletes,
            failed_calls: changes.failed_calls,
            given_up: changes.given_up,
            last_error: changes.last_error,
            events: events.map(|EventStatus { pending, dead_letters, counts }| EventsJson {
                pending: pending.events,
                oldest_pending_ms: pending.oldest.map(age_ms),
                acknowledged: counts.acknowledged,
                dead_letters,
                failed_calls: counts.failed_calls,
                given_up: counts.given_up + pending.overflowed,
                withheld: pending.withheld,
                dead_letters_lost: pending.lost,
                last_error: counts.last_error,
            }),
        }
    }

    fn status(&self, index: usize) -> Result<Response, Problem> {
        Ok(json(StatusCode::OK, &self.json(self.egress.status_of(index))))
    }

    /// Carries out an order; answers with the status after it.
    async fn order(&self, name: Named, order: Order) -> Result<Response, Problem> {
        let index = self.find(name)?;
        let egress = self.egress.clone();
        match spawn_blocking(move || egress.order(index, order)).await {
            Ok(Ok(())) => self.status(index),
            // The process ends.
            Ok(Err(_)) | Err(_) => {
                let message = "it cannot be written down, and may have been done or not: the engine stops";
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_written", message))
            }
        }
    }
}

/// `GET /v1/destinations`
async fn all(State(desk): State<Arc<Desk>>) -> Response {
    #[derive(Serialize)]
    struct Body {
        destinations: Vec<StatusJson>,
    }
    let destinations = desk.egress.status().into_iter().map(|status| desk.json(status)).collect();
    json(StatusCode::OK, &Body { destinations })
}

/// `GET /v1/destinations/{name}`
async fn one(State(desk): State<Arc<Desk>>, name: Named) -> Result<Response, Problem> {
    desk.status(desk.find(name)?)
}

/// `GET /v1/destinations/{name}/dead-letters`
async fn dead_letters(State(desk): State<Arc<Desk>>, name: Named) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Body {
        dead_letters: Vec<DeadLetter>,
        #[serde(skip_serializing_if = "Option::is_none")]
        events: Option<Vec<EventLetter>>,
    }
    let index = desk.find(name)?;
    let (dead_letters, events) = (desk.egress.dead_letters(index), desk.egress.dead_events(index));
    Ok(json(StatusCode::OK, &Body { dead_letters, events }))
}
