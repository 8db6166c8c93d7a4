//! What leaves a queue, and how that ends.

use std::sync::Arc;

use super::Queue;
use crate::egress::forward::entries::{Batch, Cursor, Entry, Flight, Hold, Writes};
use crate::egress::outbox::BatchLimit;
use crate::engine::Offset;
use crate::log::StoreError;

impl Queue {
    /// Puts the oldest events in flight, as many as the limit lets, and gives them out. Where a batch is in flight, the
    /// same one. Nothing where none waits.
    pub fn take(&mut self, limit: BatchLimit) -> Result<Option<Flight>, StoreError> {
        if let Some(flight) = &self.in_flight {
            return Ok(Some(flight.clone()));
        }
        if let Some(half) = self.halves.pop() {
            return self.depart(half).map(Some);
        }
        if let Some(retry) = self.next_retry()? {
            self.in_flight = Some(retry.clone());
            return Ok(Some(retry));
        }
        let Some(batch) = self.oldest(limit)? else { return Ok(None) };
        self.depart(Flight { batch: Arc::new(batch), refusals: 0, is_retry: false }).map(Some)
    }

    /// Writes down where a batch ends, before it is given out.
    fn depart(&mut self, flight: Flight) -> Result<Flight, StoreError> {
        let end = flight.batch.entries.last().map(|entry| entry.position);
        self.write(Writes::default(), end)?;
        self.in_flight = Some(flight.clone());
        Ok(flight)
    }

    /// Takes the oldest of those that wait.
    fn oldest(&mut self, limit: BatchLimit) -> Result<Option<Batch>, StoreError> {
        if self.events == 0 {
            return Ok(None);
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry in self.entries.after(self.floor) {
            let entry = entry?;
            bytes += entry.json.len();
            if !entries.is_empty() && (entries.len() >= limit.changes || bytes > limit.bytes) {
                bytes -= entry.json.len();
                break;
            }
            entries.push(entry);
        }
        let Some(end) = entries.last().map(|entry: &Entry| entry.position) else { return Ok(None) };
        self.floor = Some(end);
        self.events -= entries.len();
        self.bytes -= bytes;
        let until = self.received.partition_point(|(position, _)| *position <= end);
        let received = self.received.drain(..until).map(|(_, received)| received).collect();
        Ok(Some(Batch { entries, received }))
    }

    /// The batch in flight was acknowledged.
    pub fn acknowledge(&mut self) -> Result<(), StoreError> {
        let Some(flight) = self.in_flight.take() else { return Ok(()) };
        let done: Vec<Offset> = flight.batch.entries.iter().map(|entry| entry.position).collect();
        if flight.is_retry {
            return done.into_iter().try_for_each(|position| self.was_taken(position));
        }
        self.write(Writes { remove: &done, ..Writes::default() }, None)?;
        // Not at once: a destination that is too slow for ever would make a line of each call.
        self.is_told &= self.events > self.limit.events / 2 || self.bytes > self.limit.bytes / 2;
        Ok(())
    }

    /// The batch in flight was refused so many times, and goes in two halves; the first is in flight now.
    pub fn split(&mut self, refusals: u32) -> Result<(), StoreError> {
        let Some(flight) = self.in_flight.take() else { return Ok(()) };
        let entries = &flight.batch.entries;
        let (first, second) = entries.split_at(entries.len().div_ceil(2));
        // When they arrived does not matter any more: an event that is looked for is no latency.
        let half = |entries: &[Entry]| {
            let batch = Arc::new(Batch { entries: entries.to_vec(), received: Vec::new() });
            Flight { batch, refusals, is_retry: false }
        };
        if !second.is_empty() {
            self.halves.push(half(second));
        }
        self.depart(half(first)).map(|_| ())
    }

    /// The batch in flight was refused so many times, and goes once more, later.
    pub fn put_back(&mut self, refusals: u32) {
        self.in_flight.iter_mut().for_each(|flight| flight.refusals = refusals);
    }

    /// Writes down what became of a flight, and where the next one ends if there is one.
    pub(super) fn write(&mut self, writes: Writes<'_>, in_flight: Option<Offset>) -> Result<(), StoreError> {
        let cursor = Cursor { in_flight, produced: self.produced };
        self.entries.write(writes, cursor, Hold::Process)?;
        self.written = cursor;
        Ok(())
    }
}
