//! The addresses of reads.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;
use dataflows::definitions::{AudienceId, Definitions};
use dataflows::model::{Identifier, IdentifierKey};
use dataflows::primary::Primaries;
use dataflows::relations::{ProfileRef, Profiles, Sizes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::conflicts::conflicts;
use super::members::{self, PageParameters};
use super::wait::{Wait, problem, scan_problem};
use crate::engine::{Handle, ReadAnswer, ScanOptions};
use crate::http::{Admission, Problem, Role, json, method_not_allowed};
use crate::identifiers::{normal_kind, normal_value};
use crate::json::ProfileJson;
use crate::limits::Limits;
use crate::project::Project;

/// What reads work with.
pub(super) struct Reads {
    pub handle: Handle,
    pub limits: Limits,
    definitions: Arc<Definitions>,
    pub identifier_key: IdentifierKey,
    primaries: Primaries,
}

/// The routes of reads.
pub fn router(project: &Project, admission: &Admission, handle: Handle) -> Router {
    let reads = Arc::new(Reads {
        handle,
        limits: project.limits,
        definitions: project.definitions.clone(),
        identifier_key: project.identifier_key,
        primaries: Primaries::new(&project.definitions.identity),
    });
    let router = Router::new()
        .route("/v1/profiles/{identifier}", get(profile).fallback(method_not_allowed))
        .route("/v1/audiences", get(audiences).fallback(method_not_allowed))
        .route("/v1/audiences/{name}", get(audience).fallback(method_not_allowed))
        .route("/v1/audiences/{name}/members", get(members).fallback(method_not_allowed))
        .with_state(reads.clone());
    let of_admins =
        Router::new().route("/v1/identity/conflicts", get(conflicts).fallback(method_not_allowed)).with_state(reads);
    Role::Reader.guard(router, admission).merge(Role::Admin.guard(of_admins, admission))
}

/// `GET /v1/profiles/{type}:{value}`
async fn profile(
    State(reads): State<Arc<Reads>>,
    AudienceName(identifier): AudienceName,
    ReadParameters(wait): ReadParameters<Wait>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct ProfileBody<'a> {
        as_of: u64,
        profile: ProfileJson<'a>,
    }
    let identifier = reads.identifier(&identifier)?;
    let of = ProfileRef::Identifier(identifier.id());
    let read = reads.handle.look_up::<Profiles>(of, wait.options(&reads.limits));
    let ReadAnswer { as_of, found } = read.await.map_err(problem)?;
    let as_of = as_of.as_ms();
    match &found {
        Some(profile) => {
            Ok(ok(&ProfileBody { as_of, profile: ProfileJson { profile, definitions: &reads.definitions } }))
        }
        None => {
            let message = if reads.primaries.is_usable(&identifier) {
                "no event had this identifier"
            } else {
                "this value stands for nobody (`blocked` of [identity]): events with it have no profile by it"
            };
            let body = serde_json::json!({
                "success": false, "code": "unknown_identifier", "message": message, "as_of": as_of,
            });
            Ok(json(StatusCode::NOT_FOUND, &body))
        }
    }
}

#[derive(Serialize)]
struct Size<'a> {
    name: &'a str,
    size: u64,
}

/// `GET /v1/audiences`
async fn audiences(
    State(reads): State<Arc<Reads>>,
    ReadParameters(wait): ReadParameters<Wait>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct AudiencesBody<'a> {
        as_of: u64,
        audiences: Vec<Size<'a>>,
    }
    let (as_of, sizes) = reads.sizes(wait).await?;
    let names = reads.definitions.audiences.iter().map(|audience| audience.name.as_str());
    let audiences = names.zip(sizes).map(|(name, size)| Size { name, size }).collect();
    Ok(ok(&AudiencesBody { as_of, audiences }))
}

/// `GET /v1/audiences/{name}`
async fn audience(
    State(reads): State<Arc<Reads>>,
    AudienceName(name): AudienceName,
    ReadParameters(wait): ReadParameters<Wait>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct AudienceBody<'a> {
        as_of: u64,
        #[serde(flatten)]
        size: Size<'a>,
    }
    let audience = reads.audience(&name)?;
    let (as_of, sizes) = reads.sizes(wait).await?;
    let size = sizes[audience.index()];
    Ok(ok(&AudienceBody { as_of, size: Size { name: &name, size } }))
}

/// `GET /v1/audiences/{name}/members`
async fn members(
    State(reads): State<Arc<Reads>>,
    AudienceName(name): AudienceName,
    ReadParameters(page): ReadParameters<PageParameters>,
    ReadParameters(wait): ReadParameters<Wait>,
) -> Result<Response, Problem> {
    members::page(&reads, reads.audience(&name)?, page, wait).await
}

impl Reads {
    /// The identifier `type:value` in the form in which ingestion keeps it.
    fn identifier(&self, written: &str) -> Result<Identifier, Problem> {
        let normal = written.split_once(':').and_then(|(kind, value)| {
            let kind = normal_kind(kind)?;
            let value = normal_value(&kind, value)?;
            Some(Identifier::new(&self.identifier_key, &kind, &value))
        });
        let expected = "expected `type:value`, such as `user_id:42`, with the value URL-encoded";
        normal.ok_or_else(|| Problem::bad_request("bad_identifier", expected))
    }

    fn audience(&self, name: &str) -> Result<AudienceId, Problem> {
        self.definitions.audience(name).ok_or_else(|| {
            let message = "there is no audience of this name: GET /v1/audiences lists them";
            Problem::new(StatusCode::NOT_FOUND, "unknown_audience", message)
        })
    }

    async fn sizes(&self, wait: Wait) -> Result<(u64, Vec<u64>), Problem> {
        let scanning = self.handle.scan::<Sizes>(ScanOptions::all(wait.options(&self.limits)));
        let scanning = scanning.await.map_err(scan_problem)?;
        let ReadAnswer { as_of, found } = scanning.collect().await.map_err(scan_problem)?;
        // Who has no member has no row.
        let mut sizes = vec![0; self.definitions.audiences.len()];
        found.into_iter().for_each(|(audience, size)| sizes[audience.index()] = size);
        Ok((as_of.as_ms(), sizes))
    }
}

pub(super) fn ok(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}

/// The one parameter in the path.
struct AudienceName(String);

impl<S: Send + Sync> FromRequestParts<S> for AudienceName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let bad = |_| Problem::bad_request("bad_path", "the path is not URL-encoded UTF-8");
        Ok(AudienceName(named.map_err(bad)?.0))
    }
}

/// Parameters of the query.
pub(super) struct ReadParameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ReadParameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let asked: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let expected = "a parameter is wrong: expected numbers in `after`, `wait_ms` and `limit`, a text in `cursor`";
        Ok(ReadParameters(asked.map_err(|_| Problem::bad_request("bad_query", expected))?.0))
    }
}
