//! `GET /v1/events` and `GET /v1/events/{name}`: which events come in, and how they fit the definitions.
//!
//! For admins only: it is about how senders work. There are no values in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use dataflows::model::EventName;
use serde::Serialize;

use super::{NotSeen, SeenEvent};
use crate::clock::Now;
use crate::http::{Admission, Problem, Role, json, method_not_allowed};
use crate::ingest::IngestCounters;

/// What the routes work with.
struct SeenState {
    counters: Arc<IngestCounters>,
    now: Now,
    since: u64,
}

#[derive(Serialize)]
struct SeenBody {
    /// When counting began.
    since: u64,
    events: Vec<SeenRow>,
    left_out: LeftOutJson,
}

#[derive(Serialize)]
struct LeftOutJson {
    events: u64,
    values: u64,
}

#[derive(Serialize)]
struct SeenRow {
    source: String,
    name: String,
    count: u64,
    per_minute: f64,
    first: u64,
    last: u64,
    /// Values that a definition expected to be of another type, of events of this name from all sources.
    other_type: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    looked_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<FieldRow>>,
}

#[derive(Serialize)]
struct FieldRow {
    field: String,
    /// How often a value was of each type, in the events that were looked at.
    types: BTreeMap<&'static str, u32>,
    /// What definitions expect of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expected: Vec<ExpectedType>,
}

#[derive(Serialize)]
struct ExpectedType {
    #[serde(rename = "type")]
    kind: String,
    /// How often it was of another type.
    other_type: u64,
}

/// The routes.
pub fn router(admission: &Admission, counters: Arc<IngestCounters>, now: Now) -> Router {
    let since = now().as_ms();
    let state = SeenState { counters, now, since };
    let router = Router::new()
        .route("/v1/events", get(events).fallback(method_not_allowed))
        .route("/v1/events/{name}", get(event).fallback(method_not_allowed))
        .with_state(Arc::new(state));
    Role::Admin.guard(router, admission)
}

async fn events(State(state): State<Arc<SeenState>>) -> Response {
    let (seen, left_out) = state.counters.seen().all((state.now)(), None);
    state.answer(seen.into_iter().map(|seen| state.row(seen)).collect(), left_out)
}

async fn event(
    State(state): State<Arc<SeenState>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let bad = |_| Problem::bad_request("bad_path", "the path is not URL-encoded UTF-8");
    let name = EventName::from(name.map_err(bad)?.0.as_str());
    let (seen, left_out) = state.counters.seen().all((state.now)(), Some(&name));
    if seen.is_empty() {
        let message = "no event of this name came in since the start: GET /v1/events lists those that did";
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown_event", message));
    }
    let row = |mut seen: SeenEvent| {
        let fields = std::mem::take(&mut seen.fields);
        let looked_at = Some(seen.looked_at);
        let mut rows: BTreeMap<String, FieldRow> = BTreeMap::new();
        for (field, types) in fields {
            let types = types.into_iter().map(|(of, count)| (of.name(), count)).collect();
            rows.insert(field.clone(), FieldRow { field, types, expected: Vec::new() });
        }
        for (field, kind, other_type) in state.counters.fits().expected(&name) {
            let new = || FieldRow { field: field.clone(), types: BTreeMap::new(), expected: Vec::new() };
            let expected = ExpectedType { kind: kind.to_string(), other_type };
            rows.entry(field.clone()).or_insert_with(new).expected.push(expected);
        }
        SeenRow { looked_at, fields: Some(rows.into_values().collect()), ..state.row(seen) }
    };
    Ok(state.answer(seen.into_iter().map(row).collect(), left_out))
}

impl SeenState {
    fn answer(&self, events: Vec<SeenRow>, NotSeen { events: of_names, values }: NotSeen) -> Response {
        let left_out = LeftOutJson { events: of_names, values };
        json(StatusCode::OK, &SeenBody { since: self.since, events, left_out })
    }

    fn row(&self, seen: SeenEvent) -> SeenRow {
        let expected = self.counters.fits().expected(&seen.name);
        SeenRow {
            source: seen.source.into(),
            name: seen.name.to_string(),
            count: seen.count,
            // Nobody needs more of it.
            per_minute: (seen.per_minute * 10.0).round() / 10.0,
            first: seen.first.as_ms(),
            last: seen.last.as_ms(),
            other_type: expected.into_iter().map(|(_, _, other_type)| other_type).sum(),
            looked_at: None,
            fields: None,
        }
    }
}
