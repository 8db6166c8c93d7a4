//! What a trigger fires.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{EventOrder, Position, Text, Tick, Value};
use crate::definitions::{DestinationId, TriggerId};

/// A trigger fires: it was decided, at the tick at which this comes, that a message is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Firing {
    /// Which trigger.
    pub trigger: TriggerId,
    /// What is to hold it as a fact: the person's strongest identifier, `type:value`.
    pub holder: Text,
    /// The events for which it fires.
    pub span: EventSpan,
    /// What is the same in all of these, where it is on a sequence that asks for that; or the identifier whose session it was, where each has
    /// sessions of its own.
    pub same: Option<Value>,
    /// When that was due.
    pub due: Tick,
    /// Where the message is to go.
    pub to: Vec<DestinationId>,
    /// What is in it.
    pub payload: Vec<(CompactString, Value)>,
}

/// Events in their order, from the first to the last one.
///
/// ```
/// use dataflows::model::{EventOrder, EventSpan, Position, Tick};
///
/// let event = |ms, index| {
///     let position = Position { tick: Tick::from_ms(ms + 2), process: 1, index };
///     EventOrder { at: Tick::from_ms(ms), position }
/// };
/// let span = EventSpan { first: event(5, 0), last: event(7, 3) };
/// assert_eq!(span.to_string(), "5-7.1.0..7-9.1.3");
/// assert_eq!("5-7.1.0..7-9.1.3".parse(), Ok(span));
/// assert!(span.contains(event(5, 1)) && !span.contains(event(7, 4)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventSpan {
    /// The first one.
    pub first: EventOrder,
    /// The last one.
    pub last: EventOrder,
}

impl EventSpan {
    /// Whether an event lies within.
    pub fn contains(&self, event: EventOrder) -> bool {
        (self.first..=self.last).contains(&event)
    }

    /// Whether some place in the order lies within both.
    pub fn overlaps(&self, other: &EventSpan) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for EventSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}

/// A text is no span of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASpan;

impl fmt::Display for NotASpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected two events, such as 5-7.1.0..7-9.1.3")
    }
}

impl std::error::Error for NotASpan {}

impl FromStr for EventSpan {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let order = |text: &str| {
            let (at, position) = text.split_once('-')?;
            let mut parts = position.splitn(3, '.');
            let tick = Tick::from_ms(parts.next()?.parse().ok()?);
            let (process, index) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Some(EventOrder { at: Tick::from_ms(at.parse().ok()?), position: Position { tick, process, index } })
        };
        let (first, last) = text.split_once("..").ok_or(NotASpan)?;
        let span = order(first).zip(order(last)).map(|(first, last)| EventSpan { first, last });
        span.ok_or(NotASpan)
    }
}
