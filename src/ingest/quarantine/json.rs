//! How callers say which entries they mean, and how entries are shown to them.

use compact_str::CompactString;
use dataflows::model::Tick;
use serde::{Deserialize, Serialize};

use super::entry::EntryHead;
use super::{EntryFilter, EntryId, QuarantineEntry, RejectedPart};
use crate::http::Problem;
use crate::json::TimeText;
use crate::limits::QUARANTINE_CALL_ENTRIES_MAX;

/// Which entries, as it is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntrySelection {
    /// These.
    pub ids: Option<Vec<EntryId>>,
    /// All.
    #[serde(default)]
    pub all: bool,
    /// Those after this one.
    pub after: Option<EntryId>,
    /// Those up to this one.
    pub until: Option<EntryId>,
    /// Those before this one.
    pub before: Option<EntryId>,
    /// Those of this code.
    pub code: Option<CompactString>,
}

impl EntrySelection {
    /// Somebody who names nothing means nothing: never all.
    pub fn which(self) -> Result<EntryFilter, Problem> {
        let until = self.until.or(self.before.map(EntryId::previous));
        let wrong = |message: String| Problem::bad_request("bad_selection", message);
        match self.ids {
            Some(ids) if ids.len() > QUARANTINE_CALL_ENTRIES_MAX => {
                Err(wrong(format!("there are more than {QUARANTINE_CALL_ENTRIES_MAX} ids: name fewer at once")))
            }
            Some(ids) if !self.all && until.is_none() && self.after.is_none() && self.code.is_none() => {
                Ok(EntryFilter::Ids(ids))
            }
            None if self.all || until.is_some() || self.code.is_some() => Ok(EntryFilter::Range {
                after: self.after.unwrap_or_default(),
                until: until.unwrap_or(EntryId::MAX),
                code: self.code,
            }),
            _ => Err(wrong("expected `ids`, or else `all`, `before` or `code`".to_owned())),
        }
    }
}

/// An entry in an answer.
#[derive(Serialize)]
pub(super) struct EntryJson<'a> {
    id: EntryId,
    at: String,
    source: &'a str,
    what: RejectedPart,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<&'a str>,
    code: &'a str,
    message: &'a str,
    bytes: usize,
    cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

impl<'a> EntryJson<'a> {
    /// The entry with what was sent.
    pub fn whole(entry: &'a QuarantineEntry) -> Self {
        EntryJson { context: entry.head.context.as_deref(), text: Some(&entry.text), ..EntryJson::of(entry) }
    }

    /// The entry without what was sent.
    pub fn of(QuarantineEntry { id, head, .. }: &'a QuarantineEntry) -> Self {
        let EntryHead { at, source, what, call, sent_at, code, message, hash, bytes, is_cut, .. } = head;
        let time = |ms: u64| TimeText(Tick::from_ms(ms)).to_string();
        EntryJson {
            id: *id,
            at: time(*at),
            source,
            what: *what,
            call: call.as_deref(),
            code,
            message,
            bytes: *bytes,
            cut: *is_cut,
            hash: hash.as_deref(),
            sent_at: sent_at.map(time),
            context: None,
            text: None,
        }
    }
}
