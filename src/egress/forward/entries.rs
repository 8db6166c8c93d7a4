//! What a queue is made of, and where it is kept: in memory or in the data folder.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dataflows::model::{IdentifierId, Tick};
use serde::{Deserialize, Serialize};

use crate::egress::letters::Refusal;
use crate::log::{Offset, StoreError};

/// An event on its way, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedEvent {
    /// Its place.
    pub position: Offset,
    /// The identifier that says whose it is, where consent is looked at again before it goes. Entries of earlier versions have
    /// none.
    pub whose: Option<IdentifierId>,
    /// Its text.
    pub json: Bytes,
}

/// What is written beside the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardCursor {
    /// The events of all ticks before this one were taken in.
    pub produced: Tick,
    /// The last event of the batch in flight.
    pub in_flight: Option<Offset>,
}

/// Entries in order.
pub type EntriesIter<'a> = Box<dyn Iterator<Item = Result<QueuedEvent, StoreError>> + 'a>;

/// Where the entries of one destination are kept.
pub trait ForwardStore: Send {
    /// What was written last; nothing where this destination is new.
    fn cursor(&self) -> Result<Option<ForwardCursor>, StoreError>;

    /// The entries behind a place, or all of them; not those that were refused.
    fn after(&self, position: Option<Offset>) -> EntriesIter<'_>;

    /// The letters of what was refused, in order.
    fn letters(&self) -> Result<Vec<EventLetter>, StoreError>;

    /// The text of what was refused.
    fn refused(&self, position: Offset) -> Result<QueuedEvent, StoreError>;

    /// Makes all these changes or none.
    fn write(&mut self, writes: EntryWrites<'_>, cursor: ForwardCursor, hold: Hold) -> Result<(), StoreError>;
}

/// What is to be written together.
#[derive(Clone, Copy, Debug, Default)]
pub struct EntryWrites<'a> {
    /// Entries that come.
    pub add: &'a [QueuedEvent],
    /// Entries that go.
    pub remove: &'a [Offset],
    /// What was refused.
    pub refuse: &'a [QueuedEvent],
    /// Why.
    pub letters: &'a [EventLetter],
    /// What was refused and goes, with its letters.
    pub forget: &'a [Offset],
}

/// What a write outlives once it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing yet: the next sync of the log takes it along.
    Later,
    /// The end of the process.
    Process,
    /// A loss of power.
    Disk,
}

/// Why an event is a dead letter. Not for logs: the answer may repeat what it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct EventLetter {
    /// When it was given up: milliseconds since the Unix epoch.
    pub at: u64,
    /// Its tick, under which the log has it.
    pub as_of: u64,
    /// Its place in the tick.
    pub index: u32,
    /// The error.
    pub error: String,
    /// The first characters of the answer.
    pub answer: String,
    /// Calls that were refused, those included in which it was with others.
    pub attempts: u32,
    /// Bytes of it, as JSON.
    pub bytes: usize,
    /// Whether it is to go once more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_retried: bool,
}

impl EventLetter {
    /// That of `entry`.
    pub fn new(entry: &QueuedEvent, why: &Refusal) -> Self {
        let Refusal { at, error, answer, attempts } = why.clone();
        let Offset { tick, index } = entry.position;
        let (at, as_of, bytes) = (at.as_ms(), tick.as_ms(), entry.json.len());
        EventLetter { at, as_of, index, error, answer, attempts, bytes, is_retried: false }
    }

    /// The place of the event.
    pub fn position(&self) -> Offset {
        Offset { tick: Tick::from_ms(self.as_of), index: self.index }
    }
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimit {
    /// EventLane at most.
    pub events: usize,
    /// Bytes of their JSON at most.
    pub bytes: usize,
}

/// EventLane that travel in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventBatch {
    /// The events, at least one.
    pub entries: Vec<QueuedEvent>,
    /// When they arrived, as far as that is remembered.
    pub received: Vec<Instant>,
}

/// A batch in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingEvents {
    /// The events.
    pub batch: Arc<EventBatch>,
    /// How often it was refused already, itself or what it is a piece of; a restart forgets it.
    pub refusals: u32,
    /// Whether it was a dead letter before.
    pub is_retry: bool,
    /// Whether a call with it began, or may have: then it goes once more as it was.
    pub has_begun: bool,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingEntries {
    /// EventLane, those in flight included.
    pub events: usize,
    /// Bytes of those that wait.
    pub bytes: usize,
    /// The tick of the oldest.
    pub oldest: Option<Tick>,
    /// EventLane that were given up because too many waited, since the start.
    pub overflowed: u64,
    /// Dead letters that had to make room for others, since the start.
    pub lost: u64,
    /// EventLane that did not go since their people did not consent any more, since the start.
    pub withheld: u64,
}
