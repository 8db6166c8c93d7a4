//! What travels in one call: rows, which a connector encodes.

use std::hash::Hash;
use std::sync::Arc;

use compact_str::CompactString;

use crate::egress::change::NamedChange;
use crate::egress::forward::{EventBatch, QueuedEvent};
use crate::egress::outbox::Batch;
use crate::egress::signature::{CallIdHasher, id_of};

/// The rows of one call, and which call it is: one that is repeated, also after a crash or by the next version of the program, has
/// the same rows in the same order, and the same id.
#[derive(Clone, Debug)]
pub struct CallBatch {
    destination: CompactString,
    rows: CallRows,
    /// How many resyncs there had been when it was taken: one tells what was told, and so is another call.
    resyncs: u32,
}

#[derive(Clone, Debug)]
enum CallRows {
    Changes { batch: Batch, audiences: Arc<[CompactString]> },
    Events(Arc<EventBatch>),
}

impl CallBatch {
    /// Changes of audiences, of which these are the names by id, after so many resyncs.
    pub(in crate::egress) fn of_changes(
        destination: CompactString,
        batch: Batch,
        audiences: Arc<[CompactString]>,
        resyncs: u32,
    ) -> Self {
        CallBatch { destination, rows: CallRows::Changes { batch, audiences }, resyncs }
    }

    /// Events that are forwarded.
    pub(in crate::egress) fn of_events(destination: CompactString, batch: Arc<EventBatch>) -> Self {
        CallBatch { destination, rows: CallRows::Events(batch), resyncs: 0 }
    }

    /// The name of the destination.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// Whether it carries events; else changes.
    pub fn is_of_events(&self) -> bool {
        matches!(self.rows, CallRows::Events(_))
    }

    /// Its changes, in the order in which they are to be done; none where it carries events.
    pub fn changes(&self) -> impl ExactSizeIterator<Item = NamedChange<'_>> {
        let (batch, audiences): (&[_], &[_]) = match &self.rows {
            CallRows::Changes { batch, audiences } => (batch, audiences),
            CallRows::Events(_) => (&[], &[]),
        };
        batch.iter().map(|change| change.named(audiences))
    }

    /// Its events, in the order of the log; none where it carries changes.
    pub fn events(&self) -> impl ExactSizeIterator<Item = OutgoingEvent<'_>> {
        let entries: &[_] = match &self.rows {
            CallRows::Changes { .. } => &[],
            CallRows::Events(batch) => &batch.entries,
        };
        entries.iter().map(OutgoingEvent)
    }

    /// How many resyncs there had been when it was taken.
    pub fn resyncs(&self) -> u32 {
        self.resyncs
    }

    /// Which call this is, for a destination that does each call once: the SHA-256 of its rows, in hexadecimal digits. No other call has
    /// it, also not one with another cut of the same rows.
    pub fn id(&self) -> CompactString {
        let mut hasher = CallIdHasher::default();
        hasher.part(self.destination.as_bytes());
        self.changes().for_each(|change| hasher.part(change.to_json().as_bytes()));
        self.events().for_each(|event| hasher.part(event.json()));
        hasher.finish(self.resyncs)
    }

    /// Which call a payload is of whose bytes are all that there is to it.
    pub fn id_of(&self, payload: &[u8]) -> CompactString {
        id_of(payload, self.resyncs)
    }

    /// Tells calls that fail together apart, so that they do not come back together.
    pub(in crate::egress) fn seed(&self) -> impl Hash {
        let change = self.changes().next();
        let change = change.map(|change| (change.as_of(), change.identifiers().first().cloned()));
        let event = self.events().next().map(|event| (event.as_of(), event.index()));
        (self.destination.clone(), change, event)
    }
}

/// An event as it goes to a destination.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingEvent<'a>(&'a QueuedEvent);

impl<'a> OutgoingEvent<'a> {
    /// Its JSON, on one line: `{"event", "profile_id", "identifiers", "traits", "consent", "as_of", "index"}`.
    pub fn json(&self) -> &'a [u8] {
        &self.0.json
    }

    /// Its tick, in milliseconds since 1970. Tick and index tell it from all others.
    pub fn as_of(&self) -> u64 {
        self.0.position.tick.as_ms()
    }

    /// Its place within the tick.
    pub fn index(&self) -> u32 {
        self.0.position.index
    }
}
