//! The members of an audience, page by page: all pages of a list are of the tick of the first.

use std::fmt;
use std::str::FromStr;

use axum::http::StatusCode;
use axum::response::Response;
use dataflows::definitions::AudienceId;
use dataflows::limits::LIST_KEPT_MS;
use dataflows::model::{Found, Member, ProfileId, Question, Text, Tick};
use serde::{Deserialize, Serialize};

use super::routes::{Reads, ok, unexpected};
use super::wait::Wait;
use crate::http::Problem;
use crate::limits::PAGE_DEFAULT;

/// Which page.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct PageParameters {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Members at most.
    limit: Option<usize>,
}

/// Where a list goes on: `TICK.PROFILE`. A tick is the same in all processes of a cluster, so any of them can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ListCursor {
    /// The tick of the list.
    as_of: Tick,
    /// The last member that was shown.
    after: ProfileId,
}

impl fmt::Display for ListCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.as_of.as_ms(), self.after)
    }
}

impl FromStr for ListCursor {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let parts = text.split_once('.');
        let cursor = parts.and_then(|(tick, after)| {
            Some(ListCursor { as_of: Tick::from_ms(tick.parse().ok()?), after: after.parse().ok()? })
        });
        let expected = "`cursor` is not one: expected what `next` of the page before says";
        cursor.ok_or_else(|| Problem::bad_request("bad_cursor", expected))
    }
}

#[derive(Serialize)]
struct MemberJson<'a> {
    id: String,
    identifiers: &'a [Text],
}

impl<'a> From<&'a Member> for MemberJson<'a> {
    fn from(member: &'a Member) -> Self {
        MemberJson { id: member.id.to_string(), identifiers: &member.identifiers }
    }
}

#[derive(Serialize)]
struct MembersBody<'a> {
    as_of: u64,
    members: Vec<MemberJson<'a>>,
    next: Option<String>,
}

/// One page of members, by profile id.
pub(super) async fn page(
    reads: &Reads,
    audience: AudienceId,
    page: PageParameters,
    wait: Wait,
) -> Result<Response, Problem> {
    let limit = page.limit.unwrap_or(PAGE_DEFAULT).clamp(1, reads.limits.page_max.max(1));
    let cursor: Option<ListCursor> = page.cursor.map(|cursor| cursor.parse()).transpose()?;
    let question = |as_of, after, limit| Question::Members { audience, as_of, after, limit };
    // One more than is shown tells whether there is a next page.
    let asked = question(cursor.map(|cursor| cursor.as_of), cursor.map(|cursor| cursor.after), limit + 1);
    let answered = wait.ask(&reads.handle, &reads.limits, asked).await?;
    let members = match &answered.found {
        Found::Members(members) => members,
        Found::Gone => return Err(gone()),
        _ => return Err(unexpected()),
    };
    let as_of = cursor.map_or(answered.as_of, |cursor| cursor.as_of);
    let shown = &members[..members.len().min(limit)];
    let last = shown.last().filter(|_| members.len() > limit);
    if last.is_some() && cursor.is_none() {
        // A list that has a second page is kept until it is asked for. If it is not any more, that page says so.
        wait.ask(&reads.handle, &reads.limits, question(Some(as_of), None, 0)).await?;
    }
    Ok(ok(&MembersBody {
        as_of: as_of.as_ms(),
        members: shown.iter().map(MemberJson::from).collect(),
        next: last.map(|member| ListCursor { as_of, after: member.id }.to_string()),
    }))
}

fn gone() -> Problem {
    let message = format!(
        "the list that this page is of is not kept any more: begin again without `cursor`. A list is kept for {} s after its latest \
         page, less where much happens, and not over a restart; with a larger `limit` it takes fewer pages",
        LIST_KEPT_MS / 1_000
    );
    Problem::new(StatusCode::GONE, "list_gone", message)
}
