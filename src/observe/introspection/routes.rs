//! `GET /v1/dataflow`: how the dataflow of this process is doing.
//!
//! For admins only: it is about how the engine works, and of no use to who reads profiles. There is no personal data in it.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::Introspection;
use super::figures::{MemoryHolder, Report, StageProgress};
use crate::http::{Admission, Problem, Role, json, method_not_allowed};
use crate::memory::resident_bytes;
use crate::observe::metrics::Readings;

/// What the route works with.
struct IntrospectionState<R> {
    introspection: Arc<Introspection>,
    readings: R,
    process: usize,
    processes: usize,
}

/// The parameters of the query.
#[derive(Deserialize)]
struct DataflowParameters {
    worker: Option<usize>,
}

/// The route.
pub fn router(
    admission: &Admission,
    introspection: Arc<Introspection>,
    (process, processes): (usize, usize),
    readings: impl Readings,
) -> Router {
    let state = IntrospectionState { introspection, readings, process, processes };
    let router =
        Router::new().route("/v1/dataflow", get(dataflow).fallback(method_not_allowed)).with_state(Arc::new(state));
    Role::Admin.guard(router, admission)
}

async fn dataflow<R: Readings>(
    State(state): State<Arc<IntrospectionState<R>>>,
    asked: Result<Query<DataflowParameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let wrong = |_| Problem::bad_request("bad_query", "expected the number of a worker in `worker`");
    let Query(DataflowParameters { worker }) = asked.map_err(wrong)?;
    let Some(figures) = state.introspection.figures(worker) else {
        let message = format!("this process has {} workers, counted from 0", state.introspection.workers());
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown_worker", message));
    };
    let report = Report {
        process: state.process,
        processes: state.processes,
        workers: state.introspection.workers(),
        worker,
        memory_bytes: resident_bytes(),
        memory: state
            .readings
            .memory()
            .into_iter()
            .map(|(of, bytes)| MemoryHolder { of: of.to_owned(), bytes })
            .collect(),
        ticks: state.introspection.ticks(),
        ticks_per_s: state.introspection.ticks_per_s(),
        stages: state.stages(),
        logged: state.introspection.is_logged(),
        figures,
    };
    Ok(json(StatusCode::OK, &report))
}

impl<R: Readings> IntrospectionState<R> {
    fn stages(&self) -> Vec<StageProgress> {
        let readings = &self.readings;
        let now = readings.now();
        let stage = |stage: &str, destination, frontier: dataflows::model::Tick, queued| StageProgress {
            stage: stage.to_owned(),
            destination,
            lag_ms: now.as_ms().saturating_sub(frontier.as_ms()),
            queued,
        };
        let mut stages = vec![
            stage("log", None, self.introspection.input(), None),
            stage("dataflow", None, readings.frontier(), Some(readings.engine().pending_events)),
        ];
        let events = readings.events();
        for of in readings.destinations() {
            let events = events.iter().find(|events| events.destination == of.destination);
            let queued = of.pending + events.map_or(0, |events| events.pending);
            stages.push(stage("egress", Some(of.destination), of.frontier, Some(queued)));
        }
        stages
    }
}
