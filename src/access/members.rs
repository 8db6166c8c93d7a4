//! The members of an audience, page by page.

use axum::response::Response;
use dataflows::definitions::AudienceId;
use dataflows::model::{Found, Profile, ProfileId, Question, Text};
use serde::{Deserialize, Serialize};

use super::routes::{Reads, ok, unexpected};
use super::wait::Wait;
use crate::http::Problem;
use crate::limits::PAGE_DEFAULT;

/// Which page.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Page {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Members at most.
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Member<'a> {
    id: String,
    identifiers: &'a [Text],
}

impl<'a> From<&'a Profile> for Member<'a> {
    fn from(profile: &'a Profile) -> Self {
        Member { id: profile.id.to_string(), identifiers: &profile.identifiers }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    as_of: u64,
    members: Vec<Member<'a>>,
    next: Option<String>,
}

/// One page of members, by profile id. Pages of one listing may be of different ticks: each says its own.
pub(super) async fn page(reads: &Reads, audience: AudienceId, page: Page, wait: Wait) -> Result<Response, Problem> {
    let limit = page.limit.unwrap_or(PAGE_DEFAULT).clamp(1, reads.limits.page_max.max(1));
    let after: Option<ProfileId> = page.cursor.map(|cursor| cursor.parse()).transpose().map_err(|_| {
        Problem::bad_request("bad_cursor", "`cursor` is not one: expected what `next` of the page before says")
    })?;
    // One more than is shown tells whether there is a next page.
    let question = Question::Members { audience, after, limit: limit + 1 };
    let answered = wait.ask(&reads.handle, &reads.limits, question).await?;
    let Found::Profiles(profiles) = &answered.found else { return Err(unexpected()) };
    let shown = &profiles[..profiles.len().min(limit)];
    let last = shown.last().filter(|_| profiles.len() > limit);
    Ok(ok(&Body {
        as_of: answered.as_of.as_ms(),
        members: shown.iter().map(Member::from).collect(),
        next: last.map(|profile| profile.id.to_string()),
    }))
}
