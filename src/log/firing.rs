//! The record of a firing: what a trigger sends, as the log has it.
//!
//! It is an event of a source of the engine's own, which no sender can have: so it has a tick and a place, is in checkpoints and in the history,
//! counts once under its message id, and is a fact of whoever its identifier belongs to.

use std::borrow::Cow;

use bytes::Bytes;
use compact_str::CompactString;
use dataflows::definitions::{Definitions, Occasion, Trigger};
use dataflows::model::{EventOrder, EventSpan, Firing, IdentifierId, Text, Tick, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json::{ObjectJson, TimeText, ValueJson};

/// The name of the source. It begins with a sign that no name of a source has.
pub const FIRINGS: &str = ":firings";

/// The text of the record of what was decided at a tick, among these definitions.
///
/// `holder` is the id of whom it is of: of a schedule, many people have a firing at one time.
pub fn firing_record(firing: &Firing, holder: IdentifierId, decided: Tick, definitions: &Definitions) -> Bytes {
    let trigger = &definitions.triggers[firing.trigger.index()];
    let to = firing.to.iter().map(|id| definitions.destinations[id.index()].name.as_str()).collect();
    let name = trigger.fired();
    let record = WrittenRecord {
        kind: "track",
        event: name.derived().unwrap_or_default(),
        message_id: message_id(trigger, &firing.span, holder),
        timestamp: TimeText(decided).to_string(),
        context: WrittenContext {
            firing: WrittenFiring {
                trigger: &trigger.name,
                cause: &trigger.cause,
                holder: &firing.holder,
                span: firing.span.to_string(),
                same: firing.same.as_ref().map(ValueJson),
                due: firing.due.as_ms(),
                to,
                requires_consent: trigger.requires_consent.as_deref(),
            },
        },
        properties: ObjectJson(
            firing.payload.iter().map(|(name, value): &(CompactString, Value)| (name.as_str(), value)),
        ),
    };
    serde_json::to_vec(&record).expect("texts and numbers are JSON").into()
}

/// What tells a message from all others, in every run over the same log.
fn message_id(trigger: &Trigger, span: &EventSpan, holder: IdentifierId) -> String {
    let EventOrder { at, position } = span.last;
    let name = &trigger.name;
    match trigger.on {
        // An event that goes to somebody else may be the last of what that one completes.
        Occasion::Completion(_) if position.is_known() => format!("{name}/{}/{holder}", span.last),
        _ if position.is_known() => format!("{name}/{}", span.last),
        // Of events whose place is not known, and of times, there may be one for each person.
        _ => format!("{name}/{at}/{holder}"),
    }
}

#[derive(Serialize)]
struct WrittenRecord<'a, P> {
    #[serde(rename = "type")]
    kind: &'static str,
    event: &'a str,
    #[serde(rename = "messageId")]
    message_id: String,
    timestamp: String,
    context: WrittenContext<'a>,
    properties: P,
}

#[derive(Serialize)]
struct WrittenContext<'a> {
    firing: WrittenFiring<'a>,
}

#[derive(Serialize)]
struct WrittenFiring<'a> {
    trigger: &'a str,
    cause: &'a str,
    holder: &'a Text,
    span: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    same: Option<ValueJson<'a>>,
    due: u64,
    to: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_consent: Option<&'a str>,
}

/// A record, as it is read.
#[derive(Debug, Deserialize)]
pub struct FiringRecord<'a> {
    /// What tells the message from all others.
    #[serde(borrow, rename = "messageId")]
    pub message_id: Cow<'a, str>,
    #[serde(borrow)]
    context: RecordContext<'a>,
    /// What is in the message, as JSON.
    #[serde(borrow)]
    pub properties: &'a RawValue,
}

#[derive(Debug, Deserialize)]
struct RecordContext<'a> {
    #[serde(borrow)]
    firing: RecordFiring<'a>,
}

/// What a record says of the firing.
#[derive(Debug, Deserialize)]
pub struct RecordFiring<'a> {
    /// The trigger.
    #[serde(borrow)]
    pub trigger: Cow<'a, str>,
    /// What it was on.
    #[serde(borrow)]
    cause: Cow<'a, str>,
    /// Whose it is, `type:value`.
    #[serde(borrow)]
    pub holder: Cow<'a, str>,
    /// The events for which it fires.
    #[serde(borrow)]
    span: Cow<'a, str>,
    /// When it was due.
    pub due: Tick,
    /// Where the message goes; nowhere where it is an event of the engine's own, and no message.
    #[serde(borrow)]
    pub to: Vec<Cow<'a, str>>,
    /// The purpose to which the person must consent when it is sent.
    #[serde(borrow, default)]
    pub requires_consent: Option<Cow<'a, str>>,
}

impl<'a> FiringRecord<'a> {
    /// Reads a record; nothing where it is none.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// What it says of the firing.
    pub fn firing(&self) -> &RecordFiring<'a> {
        &self.context.firing
    }
}

impl RecordFiring<'_> {
    /// Whether it is an event of the engine's own, of which there is no message.
    pub fn is_event(&self) -> bool {
        self.to.is_empty()
    }

    /// What it is on, as definitions call it.
    pub fn cause_name(&self) -> &str {
        &self.cause
    }

    /// Why it fires.
    pub fn cause(&self) -> WrittenCause<'_> {
        let span: Option<EventSpan> = self.span.parse().ok();
        WrittenCause { on: &self.cause, first: span.map(|span| span.first.at), last: span.map(|span| span.last.at) }
    }
}

/// Why a trigger fires, as messages have it.
#[derive(Debug, Serialize)]
pub struct WrittenCause<'a> {
    /// What it is on.
    on: &'a str,
    /// The time of the first event.
    first: Option<Tick>,
    /// That of the last one.
    last: Option<Tick>,
}
