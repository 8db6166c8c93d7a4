//! The JSON in which the messages of triggers go to destinations.

use std::borrow::Cow;

use bytes::Bytes;
use dataflows::forwards::Enrichment;
use dataflows::model::{Text, Tick};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::envelope::NotJson;
use crate::json::TimeText;
use crate::log::{FiringRecord, Offset, WrittenCause};

/// What a message begins with: its first field, which no event has.
const MESSAGE_BEGINS: &[u8] = b"{\"trigger\":";

/// A message on one line, as docs/concepts/triggers.md has it.
pub fn message(
    record: &FiringRecord<'_>,
    decided: Tick,
    position: Offset,
    enrichment: &Enrichment,
    identifiers: &[Text],
) -> Result<Bytes, NotJson> {
    #[derive(Serialize)]
    struct Message<'a> {
        trigger: &'a str,
        message_id: &'a str,
        payload: &'a RawValue,
        cause: WrittenCause<'a>,
        profile_id: Option<String>,
        identifiers: &'a [Text],
        #[serde(skip_serializing_if = "Option::is_none")]
        requires_consent: Option<&'a str>,
        decided: u64,
        as_of: u64,
        index: u32,
    }
    let firing = record.firing();
    let message = Message {
        trigger: &firing.trigger,
        message_id: &record.message_id,
        payload: record.properties,
        cause: firing.cause(),
        profile_id: enrichment.profile.map(|id| id.to_string()),
        identifiers,
        requires_consent: firing.requires_consent.as_deref(),
        decided: decided.as_ms(),
        as_of: position.tick.as_ms(),
        index: position.index,
    };
    serde_json::to_vec(&message).map(Bytes::from).map_err(NotJson::from)
}

/// An event that the engine made, as a track call: what a sender would have sent.
pub fn derived_event(record: &FiringRecord<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct TrackCall<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        event: &'a str,
        #[serde(rename = "messageId")]
        message_id: &'a str,
        timestamp: String,
        properties: &'a RawValue,
    }
    let firing = record.firing();
    let call = TrackCall {
        kind: "track",
        event: firing.cause_name(),
        message_id: &record.message_id,
        timestamp: TimeText(firing.due).to_string(),
        properties: record.properties,
    };
    serde_json::to_vec(&call).expect("texts are JSON")
}

/// The purpose to which the person of a message must consent when it is sent; nothing where what is on its way asks for none.
pub fn purpose_of(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Purpose<'a> {
        #[serde(borrow, default)]
        requires_consent: Option<Cow<'a, str>>,
    }
    // Events, which are most of what goes, need not be read for that.
    if !json.starts_with(MESSAGE_BEGINS) {
        return None;
    }
    let Purpose { requires_consent } = serde_json::from_slice(json).ok()?;
    requires_consent.map(Cow::into_owned)
}
