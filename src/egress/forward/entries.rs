//! What a queue is made of, and where it is kept: in memory or in the data folder.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dataflows::model::Tick;

use crate::engine::Position;
use crate::log::StoreError;

/// An event on its way, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// Its text.
    pub json: Bytes,
}

/// What is written beside the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The events of all ticks before this one were taken in.
    pub produced: Tick,
    /// The last event of the batch in flight.
    pub in_flight: Option<Position>,
}

/// Entries in order.
pub type EntriesIter<'a> = Box<dyn Iterator<Item = Result<Entry, StoreError>> + 'a>;

/// Where the entries of one destination are kept.
pub trait Entries: Send {
    /// What was written last; nothing where this destination is new.
    fn cursor(&self) -> Result<Option<Cursor>, StoreError>;

    /// The entries behind a place, or all of them.
    fn after(&self, position: Option<Position>) -> EntriesIter<'_>;

    /// Makes all these changes or none. With `told`, they survive the end of the process once this returns.
    fn write(&mut self, add: &[Entry], remove: &[Position], cursor: Cursor, told: bool) -> Result<(), StoreError>;
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimit {
    /// Events at most.
    pub events: usize,
    /// Bytes of their JSON at most.
    pub bytes: usize,
}

/// Events that travel in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The events, at least one.
    pub entries: Vec<Entry>,
    /// When they arrived, as far as that is remembered.
    pub received: Vec<Instant>,
}

/// A batch in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// The events.
    pub batch: Arc<Batch>,
    /// How often it was refused already, itself or what it is a piece of; a restart forgets it.
    pub refusals: u32,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Events, those in flight included.
    pub events: usize,
    /// Bytes of those that wait.
    pub bytes: usize,
    /// The tick of the oldest.
    pub oldest: Option<Tick>,
    /// Events that were given up because too many waited, since the start.
    pub overflowed: u64,
}
