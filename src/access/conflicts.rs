//! `GET /v1/identity/conflicts`: the identifiers that are at a limit of identity, as far as a page shows them.
//!
//! For admins only: who sends an event must not see whose links do not count.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use dataflows::limits::Limit;
use dataflows::model::{Identifier, IdentifierId, Tick};
use dataflows::relations::{IdentityLimits, ProfileRef, Profiles};
use futures_util::StreamExt;
use futures_util::stream::iter;
use serde::Serialize;

use super::routes::{ReadParameters, Reads, ok};
use super::wait::{Wait, problem, scan_problem};
use crate::engine::ScanOptions;
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
    let (mut list, mut has_more, mut shown) = (None, false, Vec::new());
    for limit in Limit::OF_IDENTITY {
        let (as_of, mut of_one) = reads.at_limit(wait, limit, list).await?;
        list = Some(as_of);
        has_more |= of_one.len() > SHOWN_MAX;
        of_one.truncate(SHOWN_MAX);
        shown.extend(of_one);
    }
    let looked_up = iter(shown).map(|(limit, id)| reads.conflict(wait, limit, id)).buffered(READS_AT_A_TIME);
    let conflicts: Vec<Result<Conflict, Problem>> = looked_up.collect().await;
    let conflicts = conflicts.into_iter().collect::<Result<_, _>>()?;
    Ok(ok(&ConflictsBody { as_of: list.unwrap_or_default().as_ms(), conflicts, has_more }))
}

impl Reads {
    /// The first identifiers at one limit, one more than are shown; as of the tick of `list`, if there is one.
    async fn at_limit(
        &self,
        wait: Wait,
        limit: Limit,
        list: Option<Tick>,
    ) -> Result<(Tick, Vec<(Limit, IdentifierId)>), Problem> {
        let scan = ScanOptions {
            rows_max: SHOWN_MAX + 1,
            list,
            ..ScanOptions::range(
                (limit, IdentifierId::default()),
                limit.next().map(|next| (next, IdentifierId::default())),
                wait.options(&self.limits),
            )
        };
        let scanning = self.handle.scan::<IdentityLimits>(scan).await.map_err(scan_problem)?;
        let answered = scanning.collect().await.map_err(scan_problem)?;
        Ok((answered.as_of, answered.found.into_iter().map(|(key, ())| key).collect()))
    }

    async fn conflict(&self, wait: Wait, limit: Limit, id: IdentifierId) -> Result<Conflict, Problem> {
        let read = self.handle.look_up::<Profiles>(ProfileRef::Identifier(id), wait.options(&self.limits));
        let profile = read.await.map_err(problem)?.found;
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
