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
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use super::forward::EventLetter;
use super::outbox::{self, OperatorCommand};
use super::{DeadLetter, Egress, EventStatus, HoldReason, Instance, Status};
use crate::clock::Now;
use crate::http::{Admission, Problem, Role, json, method_not_allowed};

/// What the routes work with.
struct EgressState {
    egress: Egress,
    now: Now,
    /// Whose the data folder is, where there is one.
    instance: Option<Instance>,
    tellers: Tellers,
}

/// Which process tells each destination what changes.
#[derive(Clone, Debug)]
pub struct Tellers {
    /// This process.
    pub own: usize,
    /// By destination.
    pub of: Vec<usize>,
}

type NameInPath = Result<Path<String>, PathRejection>;

type TwoNames = Result<Path<(String, String)>, PathRejection>;

/// The routes of destinations.
pub fn router(admission: &Admission, egress: Egress, now: Now, instance: Option<Instance>, tellers: Tellers) -> Router {
    let order = |order| {
        let ordered = move |State(egress_state): State<Arc<EgressState>>, name: NameInPath| async move {
            egress_state.order(name, order).await
        };
        post(ordered).fallback(method_not_allowed)
    };
    let answer_moved = |order| {
        let ordered = move |State(egress_state): State<Arc<EgressState>>, name: NameInPath| async move {
            egress_state.answer_moved(name, order).await
        };
        post(ordered).fallback(method_not_allowed)
    };
    let forget = |State(egress_state): State<Arc<EgressState>>, name: NameInPath| async move {
        egress_state.order(name, OperatorCommand::Forget).await
    };
    let letters = get(dead_letters).delete(forget).fallback(method_not_allowed);
    let router = Router::new()
        .route("/v1/destinations", get(all).fallback(method_not_allowed))
        .route("/v1/destinations/{name}", get(one).fallback(method_not_allowed))
        .route("/v1/destinations/{name}/pause", order(OperatorCommand::Pause))
        .route("/v1/destinations/{name}/resume", order(OperatorCommand::Resume))
        .route("/v1/destinations/{name}/resync", order(OperatorCommand::Resync))
        .route("/v1/destinations/{name}/retire", order(OperatorCommand::Retire))
        .route("/v1/destinations/{name}/unretire", order(OperatorCommand::Unretire))
        .route("/v1/destinations/{name}/as-new", answer_moved(OperatorCommand::AsNew))
        .route("/v1/destinations/{name}/as-moved", answer_moved(OperatorCommand::AsMoved))
        .route("/v1/destinations/{name}/skip", post(skip).fallback(method_not_allowed))
        .route("/v1/destinations/{name}/dead-letters", letters)
        .route("/v1/destinations/{name}/dead-letters/{id}", get(dead_letter).fallback(method_not_allowed))
        .route("/v1/destinations/{name}/dead-letters/retry", order(OperatorCommand::Retry))
        .route("/v1/take-over", post(take_over).fallback(method_not_allowed))
        .with_state(Arc::new(EgressState { egress, now, instance, tellers }));
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
    held: Option<String>,
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
    skipped_history: u64,
    skipped_too_old: u64,
    skipped_integrations: u64,
    last_error: Option<String>,
}

impl EgressState {
    /// The destination of a name, by position.
    fn find<E>(&self, name: Result<Path<String>, E>) -> Result<usize, Problem> {
        let found = name.ok().and_then(|Path(name)| self.egress.position(&name));
        let message = "there is no destination of this name: GET /v1/destinations lists them";
        found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "unknown_destination", message))
    }

    fn json(&self, status: Status) -> StatusJson {
        let Status { destination, backlog, changes, parked, held, events, connector: _ } = status;
        let now = (self.now)();
        let age_ms = |since: Tick| now.as_ms().saturating_sub(since.as_ms());
        StatusJson {
            name: destination.into(),
            state: match backlog.state {
                outbox::DeliveryState::Delivering if held.is_some() => "held".to_owned(),
                outbox::DeliveryState::Delivering if parked.is_some() => "parked".to_owned(),
                state => state.to_string(),
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
            held: held.map(|held| held.to_string()),
            events: events.map(|EventStatus { pending, dead_letters, counts, skipped }| EventsJson {
                pending: pending.events,
                oldest_pending_ms: pending.oldest.map(age_ms),
                acknowledged: counts.acknowledged,
                dead_letters,
                failed_calls: counts.failed_calls,
                given_up: counts.given_up + pending.overflowed,
                withheld: pending.withheld,
                dead_letters_lost: pending.lost,
                skipped_history: skipped.history,
                skipped_too_old: skipped.too_old,
                skipped_integrations: skipped.integrations,
                last_error: counts.last_error,
            }),
        }
    }

    /// Refuses what is up to another process of the cluster: each destination is told by one of them.
    fn tells(&self, index: usize) -> Result<(), Problem> {
        let teller = self.tellers.of[index];
        if teller == self.tellers.own {
            return Ok(());
        }
        let message = format!("process {teller} of the cluster tells this destination: order it there");
        Err(Problem::new(StatusCode::CONFLICT, "other_process", message))
    }

    /// Carries out what somebody says of a destination with another address.
    async fn answer_moved(&self, name: NameInPath, order: OperatorCommand) -> Result<Response, Problem> {
        let index = self.find(name.as_ref().map(|Path(name)| Path(name.clone())).map_err(|_| ()))?;
        self.tells(index)?;
        if !self.egress.is_moved(index) {
            let message = "its address is the one that was told what is on record: there is nothing to be said of it";
            return Err(Problem::new(StatusCode::CONFLICT, "not_moved", message));
        }
        self.order(name, order).await
    }

    fn status(&self, index: usize) -> Result<Response, Problem> {
        Ok(json(StatusCode::OK, &self.json(self.egress.status_of(index))))
    }

    /// Carries out an order; answers with the status after it.
    async fn order(&self, name: NameInPath, order: OperatorCommand) -> Result<Response, Problem> {
        let index = self.find(name)?;
        let is_of_changes = matches!(
            order,
            OperatorCommand::Resync
                | OperatorCommand::Retire
                | OperatorCommand::Unretire
                | OperatorCommand::AsNew
                | OperatorCommand::AsMoved
        );
        if is_of_changes || !self.egress.is_sent_events(index) {
            self.tells(index)?;
        }
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

/// `POST /v1/destinations/{name}/skip`
async fn skip(State(egress_state): State<Arc<EgressState>>, name: NameInPath) -> Result<Response, Problem> {
    let index = egress_state.find(name)?;
    if egress_state.egress.skip(index) == 0 {
        let message = "no call to it that failed waits to be repeated: there is nothing to skip";
        return Err(Problem::new(StatusCode::CONFLICT, "nothing_fails", message));
    }
    egress_state.status(index)
}

/// `GET /v1/destinations/{name}/dead-letters/{id}`
async fn dead_letter(State(egress_state): State<Arc<EgressState>>, path: TwoNames) -> Result<Response, Problem> {
    let unknown = || {
        let message = "there is no dead letter of this id: GET /v1/destinations/NAME/dead-letters lists them";
        Problem::new(StatusCode::NOT_FOUND, "unknown_dead_letter", message)
    };
    let Path((name, id)) = path.map_err(|_| unknown())?;
    let index = egress_state.find(Ok::<_, ()>(Path(name)))?;
    if let Ok(id) = id.parse::<u64>() {
        let letter = egress_state.egress.dead_letters(index).into_iter().find(|letter| letter.id == id);
        return letter.map(|letter| json(StatusCode::OK, &letter)).ok_or_else(unknown);
    }
    #[derive(Serialize)]
    struct EventLetterBody {
        #[serde(flatten)]
        letter: EventLetter,
        sent: Box<RawValue>,
    }
    let (as_of, place) = id.split_once('-').ok_or_else(unknown)?;
    let (Ok(as_of), Ok(place)) = (as_of.parse(), place.parse()) else { return Err(unknown()) };
    let egress = egress_state.egress.clone();
    let found = spawn_blocking(move || egress.dead_event(index, as_of, place)).await;
    let (letter, sent) = found.ok().and_then(Result::ok).flatten().ok_or_else(unknown)?;
    let sent = String::from_utf8(sent.into()).ok().and_then(|sent| RawValue::from_string(sent).ok());
    Ok(json(StatusCode::OK, &EventLetterBody { letter, sent: sent.ok_or_else(unknown)? }))
}

/// `POST /v1/take-over`
async fn take_over(State(egress_state): State<Arc<EgressState>>) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct HoldBody {
        was_held: bool,
    }
    let was_held = match (egress_state.egress.held(), &egress_state.instance) {
        (None, _) => false,
        (Some(HoldReason::Copied { .. }), Some(instance)) => {
            let instance = instance.clone();
            let taken = spawn_blocking(move || instance.take_over()).await;
            if let Err(error) = taken.map_err(std::io::Error::other).flatten() {
                let message = format!("it cannot be written down whose the data folder is: {error}");
                return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_written", message));
            }
            tracing::info!("an operator's order: this engine delivers from now on");
            egress_state.egress.release();
            true
        }
        (Some(held), _) => return Err(Problem::new(StatusCode::CONFLICT, "held", held.to_string())),
    };
    Ok(json(StatusCode::OK, &HoldBody { was_held }))
}

/// `GET /v1/destinations`
async fn all(State(egress_state): State<Arc<EgressState>>) -> Response {
    #[derive(Serialize)]
    struct DestinationsBody {
        destinations: Vec<StatusJson>,
    }
    let destinations = egress_state.egress.status().into_iter().map(|status| egress_state.json(status)).collect();
    json(StatusCode::OK, &DestinationsBody { destinations })
}

/// `GET /v1/destinations/{name}`
async fn one(State(egress_state): State<Arc<EgressState>>, name: NameInPath) -> Result<Response, Problem> {
    egress_state.status(egress_state.find(name)?)
}

/// `GET /v1/destinations/{name}/dead-letters`
async fn dead_letters(State(egress_state): State<Arc<EgressState>>, name: NameInPath) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct DeadLettersBody {
        dead_letters: Vec<DeadLetter>,
        #[serde(skip_serializing_if = "Option::is_none")]
        events: Option<Vec<EventLetter>>,
    }
    let index = egress_state.find(name)?;
    let (dead_letters, events) = (egress_state.egress.dead_letters(index), egress_state.egress.dead_events(index));
    Ok(json(StatusCode::OK, &DeadLettersBody { dead_letters, events }))
}
