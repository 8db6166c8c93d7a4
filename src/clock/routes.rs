//! `/v1/clock`: how ticks and the clock of the machine stand, and the order to follow it. For admins.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Of;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use dataflows::model::Tick;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::SteadyClock;
use super::course::ClockState;
use super::steady::ClockStanding;
use super::words::moment;
use crate::http::{Admission, Problem, Role, json, method_not_allowed};

/// The routes.
pub fn router(admission: &Admission, clock: Arc<SteadyClock>, process: usize) -> Router {
    let accept = move |clock| async move { if process == 0 { accept(clock).await } else { Err(of_process_0()) } };
    let router = Router::new()
        .route("/v1/clock", get(look).fallback(method_not_allowed))
        .route("/v1/clock/accept", post(accept).fallback(method_not_allowed))
        .with_state(clock);
    Role::Admin.guard(router, admission)
}

/// The clock of a cluster is that of its first process.
fn of_process_0() -> Problem {
    let message = "the clock of a cluster is that of process 0: order it there";
    Problem::new(StatusCode::CONFLICT, "other_process", message)
}

/// Ticks and the clock, as JSON.
#[derive(Serialize)]
struct ClockBody {
    state: &'static str,
    /// What it means, for people.
    message: String,
    /// The tick of now, in milliseconds since 1970, and the same in words.
    tick: u64,
    ticks: String,
    wall: String,
    /// How far the clock on the wall is ahead of ticks; behind them where negative.
    ahead_ms: i64,
    /// Where ticks go slow: until they and the clock are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    caught_up_in_ms: Option<u64>,
    /// Where they are apart: until ticks follow, if the clock stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    follows_in_ms: Option<u64>,
    /// Where ticks go by the clock of process 0: how far that of this machine is ahead of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    skew_ms: Option<i64>,
    /// Where ticks were set forward, the oldest first.
    jumps: Vec<JumpBody>,
    /// By how much they were, by this order.
    #[serde(skip_serializing_if = "Option::is_none")]
    jumped_ms: Option<u64>,
}

#[derive(Serialize)]
struct JumpBody {
    at: u64,
    by_ms: u64,
}

impl ClockBody {
    fn of(clock: &SteadyClock, standing: ClockStanding, jumped_ms: Option<u64>) -> Self {
        let ms = |us: i64| u64::try_from(us / 1_000).unwrap_or_default();
        let (state, caught_up_in_ms, follows_in_ms) = match standing.state {
            ClockState::Agreed => ("agreed", None, None),
            ClockState::Slow { left_us } => ("slow", Some(ms(left_us)), None),
            ClockState::Apart { follows_in_us, .. } => ("apart", None, follows_in_us.map(ms)),
        };
        let jump = |(at, by_ms): (Tick, u64)| JumpBody { at: at.as_ms(), by_ms };
        ClockBody {
            state,
            message: standing.to_string(),
            tick: standing.ticks.as_ms(),
            ticks: moment(standing.ticks),
            wall: moment(standing.wall),
            ahead_ms: standing.ahead_ms(),
            caught_up_in_ms,
            follows_in_ms,
            skew_ms: standing.skew_ms(),
            jumps: clock.jumps().all().into_iter().map(jump).collect(),
            jumped_ms,
        }
    }
}

/// `GET /v1/clock`
async fn look(Of(clock): Of<Arc<SteadyClock>>) -> Response {
    json(StatusCode::OK, &ClockBody::of(&clock, clock.standing(), None))
}

/// `POST /v1/clock/accept`
async fn accept(Of(clock): Of<Arc<SteadyClock>>) -> Result<Response, Problem> {
    let of = clock.clone();
    let accepted = spawn_blocking(move || of.accept()).await.map_err(std::io::Error::other).flatten();
    let accepted = accepted.map_err(|error| {
        let message = format!("how far ticks are set forward cannot be written down, so they are not: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_written", message)
    })?;
    Ok(json(StatusCode::OK, &ClockBody::of(&clock, accepted.now, Some(accepted.jumped_ms))))
}
