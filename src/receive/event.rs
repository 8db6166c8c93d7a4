//! A forwarded event as a receiver reads it. Its own type, not the sender's: so the two check each other.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

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
