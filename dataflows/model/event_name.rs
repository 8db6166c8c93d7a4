//! What definitions call an event by.

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// The calls that are named by what they are. Track calls have names of their own.
const CALLS: [&str; 5] = ["identify", "page", "screen", "group", "alias"];

/// What stands before the name of a track call where it would be taken for another event.
const TRACK: &str = "track:";

/// What stands before the name of an event that the engine made.
const DERIVED: &str = "derived:";

/// What definitions call an event by: a call, such as `page`, or the name of a track call's event, such as `Order Completed`.
///
/// The two never meet: a track call whose event is named like a call is `track:page`. A definition may write that before any
/// name; one that begins with `track:` itself needs it.
///
/// ```
/// use dataflows::model::EventName;
/// assert_ne!(EventName::of_track("page"), EventName::of_call("page"));
/// assert_eq!(EventName::from("page"), EventName::of_call("page"));
/// assert_eq!(EventName::from("track:page"), EventName::of_track("page"));
/// assert_eq!(EventName::from("Order Completed"), EventName::of_track("Order Completed"));
/// assert_eq!(EventName::from("track:Order Completed"), EventName::of_track("Order Completed"));
/// assert_eq!(EventName::from("track:track:x"), EventName::of_track("track:x"));
/// assert_ne!(EventName::of_derived("visit ended"), EventName::of_track("visit ended"));
/// assert_ne!(EventName::of_derived("visit ended"), EventName::of_track("derived:visit ended"));
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventName(CompactString);

impl EventName {
    /// That of track calls whose `event` is this.
    pub fn of_track(event: impl Into<CompactString>) -> Self {
        let event = event.into();
        if CALLS.contains(&event.as_str()) || event.starts_with(TRACK) || event.starts_with(DERIVED) {
            return EventName([TRACK, event.as_str()].into_iter().collect());
        }
        EventName(event)
    }

    /// That of all calls of this type, which is not `track`.
    pub fn of_call(call: &str) -> Self {
        debug_assert!(CALLS.contains(&call), "a call other than track");
        EventName(call.into())
    }

    /// That of an event that the engine made. No sender has one.
    pub fn of_derived(event: &str) -> Self {
        EventName([DERIVED, event].into_iter().collect())
    }

    /// What is derived, where the engine made it.
    pub fn derived(&self) -> Option<&str> {
        self.0.strip_prefix(DERIVED)
    }

    /// As definitions write it, without `track:` where it can be done without.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for EventName {
    /// Reads what a definition writes.
    fn from(written: &str) -> Self {
        match written.strip_prefix(TRACK) {
            Some(event) => EventName::of_track(event),
            None => EventName(written.into()),
        }
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
