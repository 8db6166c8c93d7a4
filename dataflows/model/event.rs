//! What the dataflow is fed with.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{EventName, Identifiers, Position, Tick, Value};
use crate::definitions::FieldId;

/// One accepted fact, as far as the dataflow needs it: of the properties only those that some definition reads.
///
/// It has 128 bytes: what is larger is moved by a call of its own, several times on the way of each event.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Event {
    /// The event's own time, corrected for the sender's clock, and never after its tick.
    pub timestamp: Tick,
    /// Its place in the order of the log, which decides among events of equal time.
    pub position: Position,
    /// What definitions call it by.
    pub name: EventName,
    /// Its identifiers; blocked ones included.
    pub identifiers: Identifiers,
    /// Values of the fields that definitions read, sorted by field; a missing value has no entry.
    pub fields: Vec<(FieldId, Value)>,
    /// Attributes that it sets on the person, each name once, sorted; `None` takes an attribute away.
    pub attributes: Box<[(CompactString, Option<Value>)]>,
    /// Consent that it gives or withdraws, by purpose, each once, sorted.
    pub consent: Box<[(CompactString, bool)]>,
}

impl Event {
    /// The event as it counts at its tick: nothing is from the future, so one that claims to be happened when it arrived.
    pub fn not_after(mut self, tick: Tick) -> Self {
        self.timestamp = self.timestamp.min(tick);
        self
    }

    /// The value of a field, where the event has it.
    pub fn field(&self, field: FieldId) -> Option<&Value> {
        let at = self.fields.binary_search_by_key(&field, |(id, _)| *id).ok()?;
        Some(&self.fields[at].1)
    }
}

// Where it grows, something else has to shrink.
const _: () = assert!(size_of::<Event>() <= 128);
