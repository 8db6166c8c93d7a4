//! `GET /v1/catalogue`: the definitions in force, with their ids and versions.
//!
//! For admins only: conditions may name people.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::{Catalogue, DefinitionId, DefinitionKind};
use crate::http::{Admission, Role, json, method_not_allowed};

/// A definition, in an answer.
#[derive(Serialize)]
struct DefinitionRow<'a> {
    kind: DefinitionKind,
    name: &'a str,
    id: DefinitionId,
    version: u32,
}

#[derive(Serialize)]
struct CatalogueBody<'a> {
    /// By kind and name.
    definitions: Vec<DefinitionRow<'a>>,
}

/// The route.
pub fn router(admission: &Admission, catalogue: Catalogue) -> Router {
    let router =
        Router::new().route("/v1/catalogue", get(shown).fallback(method_not_allowed)).with_state(Arc::new(catalogue));
    Role::Admin.guard(router, admission)
}

async fn shown(State(catalogue): State<Arc<Catalogue>>) -> Response {
    let row = |(kind, name, of): (DefinitionKind, _, super::Catalogued)| DefinitionRow {
        kind,
        name,
        id: of.id,
        version: of.version,
    };
    json(StatusCode::OK, &CatalogueBody { definitions: catalogue.iter().map(row).collect() })
}
