//! A record: what the log has at a tick.

use bytes::Bytes;
use compact_str::CompactString;
use dataflows::model::{Position, Tick};

/// An event as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The keyed hash of (source, message id).
    pub message: u128,
    /// The name of the source that sent it; nothing where an earlier version wrote it.
    pub source: Option<CompactString>,
    /// The text of the event, complete in itself.
    pub raw: Bytes,
}

/// What the log has at a tick: something that changes what is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogRecord {
    /// Accepted events, in the order in which they came.
    Events(Vec<Stored>),
}

/// Whether the order of what shares an entry is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryOrder {
    /// It is not data: entries that data folders of formats 1 and 2 had.
    Unknown,
    /// It is that of the record.
    Known,
}

/// A record at its tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The tick.
    pub tick: Tick,
    /// What is known of the order in it.
    pub order: EntryOrder,
    /// What is there.
    pub record: LogRecord,
}

impl Logged {
    /// How many events it has.
    pub fn events(&self) -> usize {
        match &self.record {
            LogRecord::Events(events) => events.len(),
        }
    }

    /// The place in the order of all logs of the event at `index`, if this is from the log of that process.
    pub fn position(&self, process: u16, index: u32) -> Position {
        self.order.position(self.tick, process, index)
    }
}

impl EntryOrder {
    /// The place of an event at `index` of a record, under what is known of the order in that.
    pub fn position(self, tick: Tick, process: u16, index: u32) -> Position {
        match self {
            EntryOrder::Unknown => Position::UNKNOWN,
            EntryOrder::Known => Position { tick, process, index },
        }
    }
}
