//! `GET /v1/cluster`: who of the cluster is there, as the process sees it that is asked.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::members::{ClusterMembers, MemberState};
use crate::clock::SteadyClock;
use crate::engine::Handle;
use crate::http::{Admission, Role, json, method_not_allowed};

/// A process, in an answer.
#[derive(Serialize)]
struct ProcessRow {
    process: usize,
    /// Nothing for a process on its own.
    #[serde(skip_serializing_if = "String::is_empty")]
    address: String,
    state: MemberState,
    version: String,
    workers: usize,
    frontier: u64,
    heard_ms_ago: u64,
    /// How far its clock is ahead of that of process 0: at that of all, at the others of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    skew_ms: Option<i64>,
}

#[derive(Serialize)]
struct ClusterBody {
    /// The one that answers.
    process: usize,
    processes: usize,
    members: Vec<ProcessRow>,
}

/// The route.
pub fn router(admission: &Admission, members: ClusterMembers, handle: Handle, clock: Arc<SteadyClock>) -> Router {
    let router = Router::new()
        .route("/v1/cluster", get(shown).fallback(method_not_allowed))
        .with_state(Arc::new((members, handle, clock)));
    Role::Admin.guard(router, admission)
}

async fn shown(State(state): State<Arc<(ClusterMembers, Handle, Arc<SteadyClock>)>>) -> Response {
    let (members, handle, clock) = &*state;
    let row = |(process, member): (usize, super::ClusterMember)| {
        let is_own = process == members.own();
        let heard_ms_ago = if is_own { 0 } else { member.quiet_ms() };
        let frontier = if is_own { handle.frontier() } else { member.frontier }.as_ms();
        let super::ClusterMember { address, state, version, workers, skew_ms, .. } = member;
        let skew_ms = if is_own { clock.standing().skew_ms() } else { skew_ms };
        ProcessRow { process, address, state, version, workers, frontier, heard_ms_ago, skew_ms }
    };
    let all: Vec<ProcessRow> = members.all().into_iter().enumerate().map(row).collect();
    json(StatusCode::OK, &ClusterBody { process: members.own(), processes: all.len(), members: all })
}
