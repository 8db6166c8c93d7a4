//! A forwarded event, and the message of a trigger, as a receiver reads them. Their own types, not the sender's: so the two check each
//! other.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// What comes among the events of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum ReceivedEntry {
    /// An event.
    Event(ForwardedEvent),
    /// A message.
    Message(TriggerMessage),
}

/// The message of a trigger.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerMessage {
    /// The trigger.
    pub trigger: String,
    /// What tells it from all other messages.
    pub message_id: String,
    /// What is in it.
    pub payload: Map<String, Value>,
    /// Why it was sent.
    pub cause: MessageCause,
    /// Whose it is.
    pub profile_id: Option<String>,
    /// `type:value`, of the listed types.
    pub identifiers: Vec<String>,
    /// The purpose to which the person consented.
    pub requires_consent: Option<String>,
    /// The tick of the decision.
    pub decided: u64,
    /// The tick of its record.
    pub as_of: u64,
    /// The place within that tick.
    pub index: u32,
}

/// Why a message was sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageCause {
    /// What the trigger is on.
    pub on: String,
    /// The time of the first event, in milliseconds since the Unix epoch.
    pub first: u64,
    /// That of the last one.
    pub last: u64,
}

impl TriggerMessage {
    /// The message on one line: `message cart_reminder  email:ann@example.org  {…}  as_of 1700000000123`.
    pub fn line(&self) -> String {
        let (trigger, identifiers) = (&self.trigger, self.identifiers.join(" "));
        let payload = Value::Object(self.payload.clone());
        format!("message {trigger}  {identifiers}  {payload}  as_of {}", self.as_of)
    }
}

impl<'de> Deserialize<'de> for ReceivedEntry {
    /// Reads what it is by whether it names a trigger, so that what is wrong with it is told.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let read = Map::deserialize(from)?;
        let (is_message, read) = (read.contains_key("trigger"), Value::Object(read));
        let entry = match is_message {
            true => serde_json::from_value(read).map(ReceivedEntry::Message),
            false => serde_json::from_value(read).map(ReceivedEntry::Event),
        };
        entry.map_err(D::Error::custom)
    }
}

impl ReceivedEntry {
    /// It on one line.
    pub fn line(&self) -> String {
        match self {
            ReceivedEntry::Event(event) => event.line(),
            ReceivedEntry::Message(message) => message.line(),
        }
    }
}

/// An event, and what goes with it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardedEvent {
    /// The event in the words in which it was sent.
    pub event: Map<String, Value>,
    /// Whose it is; nothing for nobody's.
    pub profile_id: Option<String>,
    /// `type:value`, of the listed types.
    pub identifiers: Vec<String>,
    /// Traits by name.
    pub traits: Map<String, Value>,
    /// Decisions by purpose.
    pub consent: BTreeMap<String, bool>,
    /// The tick of the event.
    pub as_of: u64,
    /// Its place within that tick.
    pub index: u32,
}

impl ForwardedEvent {
    /// The name of a track call's event; of other calls, the call.
    pub fn name(&self) -> &str {
        let text = |key: &str| self.event.get(key).and_then(Value::as_str);
        text("event").or_else(|| text("type")).unwrap_or_default()
    }

    /// The event on one line: `event   Order Completed  user_id:42  {…}  as_of 1700000000123`.
    pub fn line(&self) -> String {
        let (name, identifiers) = (self.name(), self.identifiers.join(" "));
        let traits = Value::Object(self.traits.clone());
        format!("event   {name}  {identifiers}  {traits}  as_of {}", self.as_of)
    }
}
