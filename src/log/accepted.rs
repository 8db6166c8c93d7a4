//! What is accepted, and its place: what ingestion hands in, what the log keeps, what the engine takes.

use bytes::Bytes;
use compact_str::CompactString;
use dataflows::model::{Event, Position, Tick};

/// An event that ingestion found to be in order.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The keyed hash of (source, message id): one of them counts once.
    pub message: u128,
    /// The name of its source.
    pub source: CompactString,
    /// The event as it was sent (JSON), for the log.
    pub raw: Bytes,
    /// The event as the dataflow takes it; its timestamp is not yet cut to the tick.
    pub event: Event,
}

/// The place of an event in what this process accepted: how far a destination that is sent events has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset {
    /// Its tick.
    pub tick: Tick,
    /// Its place among the events of that tick, as the log has them.
    pub index: u32,
}

/// The event of a tick as it counts there, at its place in the order of the log, if that is known.
pub fn placed(event: Event, tick: Tick, position: Position) -> Event {
    Event { position, ..event.not_after(tick) }
}
