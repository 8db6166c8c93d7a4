//! The members of an audience, page by page: all pages of a list are of the tick of the first.

use std::fmt;
use std::str::FromStr;

use axum::response::Response;
use dataflows::definitions::AudienceId;
use dataflows::model::{ProfileId, Text, Tick};
use dataflows::relations::{Members, ScanFrom};
use serde::{Deserialize, Serialize};

use super::routes::{Reads, ok};
use super::wait::{Wait, scan_problem};
use crate::engine::ScanOptions;
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
    let from = match cursor {
        Some(ListCursor { after, .. }) => ScanFrom::After((audience, after)),
        None => ScanFrom::At((audience, ProfileId::default())),
    };
    let scan = ScanOptions {
        from,
        end: Some((AudienceId::new(audience.index() + 1), ProfileId::default())),
        // One more than is shown tells whether there is a next page.
        rows_max: limit + 1,
        list: cursor.map(|cursor| cursor.as_of),
        ..ScanOptions::all(wait.options(&reads.limits))
    };
    let mut scanning = reads.handle.scan::<Members>(scan).await.map_err(scan_problem)?;
    let as_of = scanning.as_of();
    let mut members = Vec::new();
    while let Some(rows) = scanning.next().await.map_err(scan_problem)? {
        members.extend(rows.into_iter().map(|((_, id), identifiers)| (id, identifiers)));
    }
    let shown = &members[..members.len().min(limit)];
    let last = shown.last().filter(|_| members.len() > limit);
    if last.is_some() && cursor.is_none() {
        // A list that has a second page is kept until it is asked for. If it is not any more, that page says so.
        scanning.hold_on().await.map_err(scan_problem)?;
    }
    Ok(ok(&MembersBody {
        as_of: as_of.as_ms(),
        members: shown.iter().map(|(id, identifiers)| MemberJson { id: id.to_string(), identifiers }).collect(),
        next: last.map(|(after, _)| ListCursor { as_of, after: *after }.to_string()),
    }))
}
