//! The addresses of the quarantine, for those with an admin token: its entries hold what people sent.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::json::{EntryJson, EntrySelection};
use super::retry::Retry;
use super::{EntryFilter, EntryId, Quarantine};
use crate::engine::Handle;
use crate::http::{Admission, Problem, Role, json, method_not_allowed};
use crate::ingest::BatchDecoder;
use crate::ingest::{Attempt, IngestCounters};
use crate::limits::{PAGE_DEFAULT, QUARANTINE_CALL_ENTRIES_MAX};
use crate::project::Project;

struct QuarantineState {
    quarantine: Quarantine,
    retry: Retry,
    page_max: usize,
}

/// The routes of the quarantine.
pub fn router(
    project: &Project,
    admission: &Admission,
    handle: Handle,
    counters: Arc<IngestCounters>,
    quarantine: Quarantine,
) -> Router {
    let retry = Retry {
        quarantine: quarantine.clone(),
        decoder: BatchDecoder::new(project).within(counters.names().clone(), Attempt::Again),
        handle,
        counters,
        sources: project.sources.iter().map(|source| source.name.clone()).collect(),
    };
    let state = Arc::new(QuarantineState {
        quarantine,
        retry,
        page_max: project.limits.page_max.min(QUARANTINE_CALL_ENTRIES_MAX),
    });
    let router = Router::new()
        .route("/v1/quarantine", get(list).delete(purge).fallback(method_not_allowed))
        .route("/v1/quarantine/retry", post(retry_some).fallback(method_not_allowed))
        .route("/v1/quarantine/{id}", get(show).fallback(method_not_allowed))
        // Ids take 20 bytes each at most.
        .layer(DefaultBodyLimit::max(32 * QUARANTINE_CALL_ENTRIES_MAX))
        .with_state(state);
    Role::Admin.guard(router, admission)
}

#[derive(Debug, Deserialize)]
struct QuarantinePage {
    after: Option<EntryId>,
    limit: Option<usize>,
    code: Option<CompactString>,
}

/// `GET /v1/quarantine?after=&limit=&code=`
async fn list(
    State(state): State<Arc<QuarantineState>>,
    page: Result<Query<QuarantinePage>, QueryRejection>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct QuarantineBody<'a> {
        total: u64,
        entries: Vec<EntryJson<'a>>,
        next: Option<EntryId>,
    }
    let Query(QuarantinePage { after, limit, code }) = page.map_err(|error| bad_query(&error))?;
    let which = EntryFilter::Range { after: after.unwrap_or_default(), until: EntryId::MAX, code };
    let limit = limit.unwrap_or(PAGE_DEFAULT).clamp(1, state.page_max);
    let (ids, is_more) = state.quarantine.select(which, limit).await?;
    let next = ids.last().copied().filter(|_| is_more);
    let entries = state.quarantine.get(ids).await?;
    let total = state.quarantine.held().entries;
    Ok(json(StatusCode::OK, &QuarantineBody { total, entries: entries.iter().map(EntryJson::of).collect(), next }))
}

/// `GET /v1/quarantine/{id}`
async fn show(State(state): State<Arc<QuarantineState>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let unknown = || {
        let message =
            "there is no such entry: it may have been retried, purged, or the oldest when there were too many";
        Problem::new(StatusCode::NOT_FOUND, "unknown_entry", message)
    };
    let id: EntryId = id.parse().map_err(|_| unknown())?;
    let entry = state.quarantine.get(vec![id]).await?.pop().ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, &EntryJson::whole(&entry)))
}

/// `POST /v1/quarantine/retry` with `{"ids": […]}`, `{"all": true}` or `{"code": …}`
async fn retry_some(
    State(state): State<Arc<QuarantineState>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let wrong = |message: String| Problem::bad_request("bad_selection", message);
    let body = body.map_err(|error| wrong(error.body_text()))?;
    let wanted: EntrySelection = serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
    let outcome = state.retry.retry(wanted.which()?).await?;
    Ok(json(StatusCode::OK, &outcome))
}

/// What is asked for in a query: ids with commas between them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Purged {
    ids: Option<String>,
    #[serde(default)]
    all: bool,
    before: Option<EntryId>,
    code: Option<CompactString>,
}

/// `DELETE /v1/quarantine?ids=1,2`, `?before=ID`, `?code=…` or `?all=true`
async fn purge(
    State(state): State<Arc<QuarantineState>>,
    purged: Result<Query<Purged>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Purged { ids, all, before, code }) = purged.map_err(|error| bad_query(&error))?;
    let parse = |ids: String| ids.split(',').map(str::parse).collect::<Result<Vec<EntryId>, _>>();
    let ids = ids.map(parse).transpose();
    let ids = ids.map_err(|_| Problem::bad_request("bad_query", "`ids` are numbers with commas between them"))?;
    let mut which = EntrySelection { ids, all, before, code, ..EntrySelection::default() }.which()?;
    if let EntryFilter::Range { until, .. } = &mut which {
        // What comes while this is under way was not meant.
        let newest = state.quarantine.newest().await?;
        *until = newest.min(*until);
    }
    let mut removed = 0;
    loop {
        let (ids, is_more) = state.quarantine.select(which.clone(), QUARANTINE_CALL_ENTRIES_MAX).await?;
        removed += state.quarantine.remove(ids).await?;
        if !is_more {
            break;
        }
    }
    Ok(json(StatusCode::OK, &serde_json::json!({ "removed": removed })))
}

fn bad_query(error: &QueryRejection) -> Problem {
    Problem::bad_request("bad_query", error.body_text())
}
