//! `GET /v1/identity/conflicts`: the identifiers that are at a limit of identity, as far as a page shows them.
//!
//! For admins only: who sends an event must not see whose links do not count.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use dataflows::limits::Limit;
use dataflows::model::{Found, Identifier, IdentifierId, Question};
use futures_util::StreamExt;
use futures_util::stream::iter;
use serde::Serialize;

use super::routes::{ReadParameters, Reads, ok, unexpected};
use super::wait::Wait;
use crate::http::Problem;

/// Identifiers of each limit that are shown. Each costs a read.
const SHOWN_MAX: usize = 100;

/// Profiles that are read at a time.
const READS_AT_A_TIME: usize = 16;

/// An identifier at a limit.
#[derive(Serialize)]
struct Conflict {
    limit: &'static str,
    /// `type:value`, if it is among those that are read of its profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    /// The profile that it belongs to; its own where it is in none any more.
    profile: String,
}

#[derive(Serialize)]
struct ConflictsBody {
    as_of: u64,
    conflicts: Vec<Conflict>,
    /// Whether there are more of one limit than are shown.
    has_more: bool,
}

/// Answers with them. The profiles are as of later ticks than the list.
pub(super) async fn conflicts(
    State(reads): State<Arc<Reads>>,
    ReadParameters(wait): ReadParameters<Wait>,
) -> Result<Response, Problem> {
    let answered = wait.ask(&reads.handle, &reads.limits, Question::AtLimits(SHOWN_MAX + 1)).await?;
    let Found::AtLimits(found) = answered.found else { return Err(unexpected()) };
    let of_each = || found.chunk_by(|(a, _), (b, _)| a == b);
    let has_more = of_each().any(|of_one| of_one.len() > SHOWN_MAX);
    let shown: Vec<(Limit, IdentifierId)> =
        of_each().flat_map(|of_one| of_one.iter().take(SHOWN_MAX)).copied().collect();
    let looked_up = iter(shown).map(|(limit, id)| reads.conflict(wait, limit, id)).buffered(READS_AT_A_TIME);
    let conflicts: Vec<Result<Conflict, Problem>> = looked_up.collect().await;
    let conflicts = conflicts.into_iter().collect::<Result<_, _>>()?;
    Ok(ok(&ConflictsBody { as_of: answered.as_of.as_ms(), conflicts, has_more }))
}

impl Reads {
    async fn conflict(&self, wait: Wait, limit: Limit, id: IdentifierId) -> Result<Conflict, Problem> {
        let answered = wait.ask(&self.handle, &self.limits, Question::Profile(id)).await?;
        let Found::Profile(profile) = answered.found else { return Err(unexpected()) };
        let is_meant = |text: &str| {
            let (kind, value) = text.split_once(':').unwrap_or_default();
            Identifier::new(&self.identifier_key, kind, value).id() == id
        };
        let identifier = profile.iter().flat_map(|profile| &profile.identifiers).find(|text| is_meant(text));
        Ok(Conflict {
            limit: limit.name(),
            identifier: identifier.map(ToString::to_string),
            profile: profile.as_ref().map_or_else(|| id.to_string(), |profile| profile.id.to_string()),
        })
    }
}
