//! What leaves a queue, and how that ends.

use std::sync::Arc;

use dataflows::model::Tick;

use super::Queue;
use crate::egress::forward::doubt::Doubt;
use crate::egress::forward::entries::{EntryWrites, EventBatch, ForwardCursor, Hold, OutgoingEvents, QueuedEvent};
use crate::egress::forward::recheck::{ConsentAsked, Recheck};
use crate::egress::outbox::BatchLimit;
use crate::log::{Offset, StoreError};

impl Queue {
    /// Puts the oldest events in flight, as many as the limit lets, and gives them out. Where a batch is in flight, the
    /// same one. Nothing where none waits, or where it has to be found out first who consents: see [`Queue::in_doubt`].
    pub fn take(&mut self, limit: BatchLimit, recheck: Option<&Recheck>) -> Result<Option<OutgoingEvents>, StoreError> {
        if let Some(outgoing) = &self.in_flight {
            return Ok(Some(outgoing.clone()));
        }
        loop {
            let (outgoing, told) = match self.doubt.take() {
                Some(Doubt { outgoing, told, .. }) => (outgoing, told),
                None => match self.next(limit)? {
                    Some(outgoing) => (outgoing, None),
                    None => return Ok(None),
                },
            };
            let (outgoing, withheld) = match (recheck.filter(|_| self.has_waited(&outgoing)), told) {
                (None, _) => (outgoing, Vec::new()),
                (Some(_), Some(told)) => told.divide(outgoing),
                (Some(recheck), None) => {
                    self.doubt = Some(Doubt::new(outgoing, recheck));
                    return Ok(None);
                }
            };
            if let Some(outgoing) = self.depart(outgoing, &withheld)? {
                return Ok(Some(outgoing));
            }
        }
    }

    /// What is next to go, of which nothing is written down.
    fn next(&mut self, limit: BatchLimit) -> Result<Option<OutgoingEvents>, StoreError> {
        if let Some(half) = self.halves.pop() {
            return Ok(Some(half));
        }
        if let Some(retry) = self.next_retry()? {
            return Ok(Some(retry));
        }
        let batch = self.oldest(limit)?.map(Arc::new);
        Ok(batch.map(|batch| OutgoingEvents { batch, refusals: 0, is_retry: false, has_begun: false }))
    }

    /// Whether the state as of which its events came in is not the latest any more.
    fn has_waited(&self, outgoing: &OutgoingEvents) -> bool {
        let is_old = |tick: Tick| tick < self.opened_at || tick.next() < self.produced;
        outgoing.batch.entries.iter().any(|entry| is_old(entry.position.tick))
    }

    /// Whose the events are of which it has to be found out who consents.
    pub fn in_doubt(&self) -> Option<Vec<ConsentAsked>> {
        self.doubt.as_ref().map(Doubt::asked)
    }

    /// These consent, of those in doubt. To be followed by [`Queue::take`] at once.
    pub fn told(&mut self, consenting: Vec<ConsentAsked>) {
        self.doubt.iter_mut().for_each(|doubt| doubt.tell(&consenting));
    }

    /// What was told holds no more: something else comes first.
    pub fn forget_told(&mut self) {
        self.doubt.iter_mut().for_each(|doubt| doubt.told = None);
    }

    /// Writes down where a batch ends and what was withheld of it, before it is given out; nothing where nothing is left of it.
    fn depart(&mut self, outgoing: OutgoingEvents, withheld: &[Offset]) -> Result<Option<OutgoingEvents>, StoreError> {
        let end = outgoing.batch.entries.last().map(|entry| entry.position);
        match outgoing.is_retry {
            // It stays a letter until it is acknowledged.
            true => withheld.iter().try_for_each(|position| self.was_taken(*position))?,
            false => self.write(EntryWrites { remove: withheld, ..EntryWrites::default() }, end)?,
        }
        self.withheld += withheld.len() as u64;
        self.in_flight = end.map(|_| outgoing);
        Ok(self.in_flight.clone())
    }

    /// No call with the batch in flight began: it is next to go, as if it never was in flight.
    pub fn take_back(&mut self, recheck: Option<&Recheck>) -> Result<(), StoreError> {
        let Some(recheck) = recheck else { return Ok(()) };
        let Some(outgoing) = self.in_flight.take_if(|outgoing| !outgoing.has_begun) else { return Ok(()) };
        if !outgoing.is_retry {
            self.write(EntryWrites::default(), None)?;
        }
        self.doubt = Some(Doubt::new(outgoing, recheck));
        Ok(())
    }

    /// Takes the oldest of those that wait.
    fn oldest(&mut self, limit: BatchLimit) -> Result<Option<EventBatch>, StoreError> {
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
        let Some(end) = entries.last().map(|entry: &QueuedEvent| entry.position) else { return Ok(None) };
        self.floor = Some(end);
        self.events -= entries.len();
        self.bytes -= bytes;
        let until = self.received.partition_point(|(position, _)| *position <= end);
        let received = self.received.drain(..until).map(|(_, received)| received).collect();
        Ok(Some(EventBatch { entries, received }))
    }

    /// The batch in flight was acknowledged.
    pub fn acknowledge(&mut self) -> Result<(), StoreError> {
        let Some(outgoing) = self.in_flight.take() else { return Ok(()) };
        let done: Vec<Offset> = outgoing.batch.entries.iter().map(|entry| entry.position).collect();
        if outgoing.is_retry {
            return done.into_iter().try_for_each(|position| self.was_taken(position));
        }
        self.write(EntryWrites { remove: &done, ..EntryWrites::default() }, None)?;
        // Not at once: a destination that is too slow for ever would make a line of each call.
        self.is_told &= self.events > self.limit.events / 2 || self.bytes > self.limit.bytes / 2;
        Ok(())
    }

    /// The batch in flight was refused so many times, and goes in two halves; the first is next.
    pub fn split(&mut self, refusals: u32, recheck: Option<&Recheck>) -> Result<(), StoreError> {
        let Some(outgoing) = self.in_flight.take() else { return Ok(()) };
        let entries = &outgoing.batch.entries;
        let (first, second) = entries.split_at(entries.len().div_ceil(2));
        // When they arrived does not matter any more: an event that is looked for is no latency.
        let half = |entries: &[QueuedEvent]| {
            let batch = Arc::new(EventBatch { entries: entries.to_vec(), received: Vec::new() });
            OutgoingEvents { batch, refusals, is_retry: false, has_begun: false }
        };
        if !second.is_empty() {
            self.halves.push(half(second));
        }
        if recheck.is_none() {
            return self.depart(half(first), &[]).map(|_| ());
        }
        // They are calls of their own, and none of them began.
        self.halves.push(half(first));
        self.write(EntryWrites::default(), None)
    }

    /// The destination is another one: no call with what is in flight reached it.
    pub fn begin_anew(&mut self) {
        self.in_flight.iter_mut().for_each(|outgoing| outgoing.has_begun = false);
    }

    /// The batch in flight was refused so many times, and goes once more, later.
    pub fn put_back(&mut self, refusals: u32) {
        if let Some(outgoing) = &mut self.in_flight {
            (outgoing.refusals, outgoing.has_begun) = (refusals, true);
        }
    }

    /// Writes down what became of a outgoing, and where the next one ends if there is one.
    pub(super) fn write(&mut self, writes: EntryWrites<'_>, in_flight: Option<Offset>) -> Result<(), StoreError> {
        let cursor = ForwardCursor { in_flight, produced: self.produced };
        self.entries.write(writes, cursor, Hold::Process)?;
        self.written = cursor;
        Ok(())
    }
}
